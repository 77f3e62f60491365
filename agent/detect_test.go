package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/creack/pty"
	"go.uber.org/goleak"

	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// A machine is a shaft on a bench that can be struck: three axes, 100 readings
// a second.
type machine struct {
	out  io.Writer
	dice *rand.Rand
	n    int
}

// run makes readings with so much shaking.
func (m *machine) run(rows int, shaking float64) {
	var b bytes.Buffer
	for range rows {
		turn := 2 * math.Pi * 7.3 * float64(m.n) / 100
		fmt.Fprintf(&b, "%.3f,%.3f,%.3f\n", math.Sin(turn)+m.noise(0.1+shaking), math.Cos(turn)/2+m.noise(0.1+shaking), 9.81+m.noise(0.05+shaking))
		m.n++
	}
	_, _ = m.out.Write(b.Bytes())
}

func (m *machine) noise(size float64) float64 { return size * m.dice.NormFloat64() }

// From a machine that begins to shake to the anomaly endpoint: learned on the
// spot, kept at once, sent before all that waits, told to whom it concerns.
func TestShakingMachineIsReportedFirst(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	master, port, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v; mount /dev/pts to run this test", err)
	}
	defer master.Close()
	defer port.Close()
	dir := t.TempDir()
	service := uploadertest.NewService()
	service.Key = "ei_1234"
	server := uploadertest.Serve(t, service)
	writeFile(t, dir, "key", "ei_1234\n")
	server.Down()
	text := fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB, commit: {interval: 1m, bytes: 8MiB}}
sources:
  - name: shaft
    type: serial
    port: %[2]s
    sensors: [{name: accX}, {name: accY}, {name: accZ}]
    frequency: 100
    window: 640ms
    gap: 1h
    label: running
    detect:
      - {type: statistics, warm_up: 30}
      - {type: threshold, axes: {accZ: {min: -50, max: 50}}}
      - {type: command, name: opinion, command: [/bin/sh, -c, 'while read -r line; do echo "{\"score\":0.25,\"label\":\"steady\"}"; done'], timeout: 1m}
    keep_normal: 1/4
    on_detection: {command: [/bin/sh, -c, 'cat >> %[1]s/told'], every: 1h}
destinations:
  - {name: studio, type: edge-impulse, url: %[3]s, api_key_file: %[1]s/key}
api: {listen: "127.0.0.1:0"}
`, dir, port.Name(), server.URL)
	h := live(t, text)
	m := &machine{out: master, dice: rand.New(rand.NewPCG(7, 9))}
	h.until("the port is open", func(s Status) bool { return s.Sources[0].Detail["sessions"] > 0 })
	m.windows(t, h, 30, 0)
	h.until("it has learned", func(s Status) bool { return s.Sources[0].Detail["learning"] >= 30 })
	m.windows(t, h, 20, 0)
	h.until("the quiet windows are judged", func(s Status) bool { return s.Sources[0].Detail["judged"] >= 50 })
	m.windows(t, h, 2, 4)
	h.until("the shaking is found, told and on disk, long before the others would be", func(s Status) bool {
		return s.Sources[0].Detail["anomalies"] >= 2 && s.Sources[0].Detail["alarms"] >= 1 && waiting(s, "studio/anomaly") >= 2
	})
	checkShown(t, h)
	checkScored(t, h)
	checkSeen(t, h.status())
	server.Up()
	samplertest.Until(t, "delivery", func() bool { return len(service.Samples()) >= 3 }, nil)
	h.stop()
	checkDelivered(t, service.Samples())
	checkTold(t, filepath.Join(dir, "told"))

	// After a restart it knows what is normal and learns nothing.
	h = live(t, text)
	h.until("the port is open", func(s Status) bool { return s.Sources[0].Detail["sessions"] > 0 })
	m.windows(t, h, 3, 4)
	h.until("the shaking is found again", func(s Status) bool { return s.Sources[0].Detail["anomalies"] >= 2 })
	h.until("nothing is learned", func(s Status) bool { return s.Sources[0].Detail["learning"] == 0 })
}

// waiting is how many records a stream has yet to deliver.
func waiting(s Status, stream string) uint64 {
	for _, of := range s.Destinations[0].Streams {
		if of.Name == stream {
			return uint64(of.Backlog)
		}
	}
	return 0
}

// windows makes so many windows, not faster than they are read.
func (m *machine) windows(t *testing.T, h *house, n int, shaking float64) {
	t.Helper()
	before := h.status().Sources[0].Detail["judged"]
	for i := range n {
		m.run(64, shaking)
		h.until("the window is judged", func(s Status) bool { return s.Sources[0].Detail["judged"] > before+uint64(i) })
	}
}

func checkDelivered(t *testing.T, samples []uploadertest.Sample) {
	t.Helper()
	for i, s := range samples {
		score, err := strconv.ParseFloat(s.Metadata["anomaly_score"], 64)
		switch {
		case i < 2 && s.Category != "anomaly":
			t.Errorf("sample %d is of %s, want the anomalies first", i+1, s.Category)
		case s.Category == "anomaly" && (err != nil || score < 0.8 || s.Metadata["model"] != "statistics" || s.Metadata["prediction"] != "steady"):
			t.Errorf("anomaly %s has metadata %v", s.Name, s.Metadata)
		case s.Category != "anomaly" && s.Metadata["anomaly_score"] != "":
			t.Errorf("%s tells its score, which makes a request of its own", s.Name)
		}
	}
}

// checkTold expects one line: the second anomaly is within the hour.
func checkTold(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Source, Model string
		Score         float64
		Sequence      uint64
		Reasons       []string
	}
	if err := json.Unmarshal(text, &d); err != nil || strings.Count(string(text), "\n") != 1 {
		t.Fatalf("told %q: %v, want one line", text, err)
	}
	if d.Source != "shaft" || d.Model != "statistics" || d.Score < 0.8 || d.Sequence == 0 || len(d.Reasons) == 0 {
		t.Errorf("told %s", text)
	}
}

// checkSeen expects the detectors in the status, and the history they fill.
func checkSeen(t *testing.T, s Status) {
	t.Helper()
	d := s.Sources[0].Detect
	if d == nil || len(d.Detectors) != 3 || d.Judged < 52 || d.Anomalies != 2 || d.SampledOut == 0 || d.Alarms != 1 || d.LastScore < 0.8 ||
		d.LastJudgedAt == nil || d.LastAnomalyAt == nil {
		t.Fatalf("got detectors %+v", d)
	}
	for i, want := range []string{"statistics statistics ready 2", "threshold threshold ready 0", "opinion command running 0"} {
		if got := d.Detectors[i]; fmt.Sprint(got.Name, " ", got.Type, " ", got.State, " ", got.Anomalies) != want || got.Error != "" {
			t.Errorf("detector %d: got %+v, want %s", i, got, want)
		}
	}
	if l := d.Detectors[0]; l.Learned != 30 || l.WarmUp != 30 {
		t.Errorf("learned %d of %d, want all 30", l.Learned, l.WarmUp)
	}
	if h := s.Detections; h == nil || h.Count != 4 || h.MaxBytes != 18<<20+768<<10 {
		t.Errorf("history: got %+v, want both anomalies and two scored files", h)
	}
}
