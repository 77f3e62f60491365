package demo

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// stage is a site after a demo in which all went well.
type stage struct {
	*site
	made    []fallen
	records []spool.Record
	arrived map[string][]byte // by path
	labels  map[string]string
	order   []string // names as the service received them
	seen    sighting
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{
		site:    &site{dir: t.TempDir(), hmacKey: []byte("fed53116f20684c067774ebf9e7bcbdc"), sensor: newAccelerometer("")},
		arrived: map[string][]byte{}, labels: map[string]string{},
	}
	for _, kind := range kinds {
		r, err := makeRecording(kind, "training", "walking", 1, s.hmacKey)
		if err != nil {
			t.Fatal(err)
		}
		s.made = append(s.made, fallen{recording: r})
		body := spool.Bytes(r.body)
		s.records = append(s.records, spool.Record{Kind: spool.KindFile, Identity: body.SHA256(), SHA256: body.SHA256(),
			Name: r.name, Dataset: r.category, Size: body.Size(), Body: body})
		s.arrive(r.path(), r.label, r.body)
	}
	for i := range leastWindows - 1 {
		s.window(t, i, "testing")
	}
	anomaly := s.window(t, leastWindows-1, "anomaly")
	s.order = []string{"walking.1.wav", anomaly, s.records[len(s.records)-2].Name}
	s.seen = sighting{away: 2, reported: 1, history: []string{anomaly}, streamed: []string{anomaly}}
	broken := fallen{recording: recording{kind: "JSON", category: "training", name: "broken.6.json", body: []byte("{")}, malformed: true}
	s.made = append(s.made, broken)
	for _, name := range []string{"broken.6.json", "broken.6.json.reason.txt"} {
		lay(t, filepath.Join(s.watched(), ".edgespool", "failed", name), []byte("x"))
	}
	return s
}

// window lets the accelerometer give ten readings, which arrive as a window of a
// category.
func (s *stage) window(t *testing.T, i int, category string) (name string) {
	t.Helper()
	var values []float64
	for j := range 10 {
		_, line := s.sensor.unused(10*i + j)
		s.sensor.remember(line)
		for axis := range strings.SplitSeq(line, ",") {
			v, err := strconv.ParseFloat(axis, 64)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
	}
	payload, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{DeviceType: "TEST", IntervalMS: 10,
		Sensors: []acquisition.Sensor{{Name: "x", Units: "m/s2"}, {Name: "y", Units: "m/s2"}, {Name: "z", Units: "m/s2"}}}, values)
	if err != nil {
		t.Fatal(err)
	}
	document, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: s.hmacKey})
	if err != nil {
		t.Fatal(err)
	}
	body := spool.Bytes(payload)
	r := spool.Record{Kind: spool.KindWindow, Identity: body.SHA256(), SHA256: body.SHA256(), Dataset: category, Size: body.Size(), Body: body}
	r.Name = windowLabel + "." + r.ID() + ".cbor"
	s.records = append(s.records, r)
	s.arrive(category+"/"+r.Name, windowLabel, document)
	return r.Name
}

func (s *stage) arrive(path, label string, body []byte) {
	s.arrived[path], s.labels[path] = bytes.Clone(body), label
}

// set writes the spools and the dataset folder.
func (s *stage) set(t *testing.T) {
	t.Helper()
	keep(t, s.spool(), s.records)
	var received []spool.Record
	for _, name := range s.order {
		body := spool.Bytes([]byte(name))
		received = append(received, spool.Record{Kind: spool.KindFile, Identity: body.SHA256(), SHA256: body.SHA256(), Name: name,
			Dataset: "training", Size: body.Size(), Body: body})
	}
	keep(t, s.receivedSpool(), received)
	var m acquisition.Manifest
	for path, body := range s.arrived {
		lay(t, filepath.Join(s.received(), path), body)
		m.Files = append(m.Files, acquisition.ManifestFile{Path: path, Category: filepath.Dir(path),
			Label: acquisition.Label{Type: acquisition.LabelText, Text: s.labels[path]}})
	}
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	lay(t, filepath.Join(s.received(), acquisition.ManifestName), text.Bytes())
}

// keep makes a spool.
func keep(t *testing.T, path string, records []spool.Record) {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile, c.MinFree = path, true, 0
	sp, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sp.Append(t.Context(), records...)
	if closed := sp.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
}

func lay(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFindsWhatIsWrong spoils one thing after another.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		what  string
		spoil func(s *stage)
		fault string // part of it; "" when nothing is wrong
	}{
		{"nothing", func(*stage) {}, ""},
		{"a recording that is missing", func(s *stage) { delete(s.arrived, "training/walking.1.wav") }, "walking.1.wav arrived 0 times"},
		{"a recording that came twice", func(s *stage) {
			s.arrive("training/again.wav", "walking", s.arrived["training/walking.1.wav"])
		}, "walking.1.wav arrived 2 times"},
		{"a stranger", func(s *stage) { s.arrive("training/x.csv", "x", []byte("x")) }, "training/x.csv arrived, which nobody made"},
		{"a wrong label", func(s *stage) { s.labels["training/walking.1.csv"] = "idle" }, `labelled "idle"`},
		{"a wrong category", func(s *stage) {
			s.arrive("testing/walking.1.csv", "walking", s.arrived["training/walking.1.csv"])
			delete(s.arrived, "training/walking.1.csv")
		}, "arrived as testing"},
		{"another HMAC key", func(s *stage) { s.hmacKey = []byte("other") }, "signature is invalid"},
		{"a window that is missing", func(s *stage) {
			for path := range s.arrived {
				if strings.HasPrefix(path, "testing/") {
					delete(s.arrived, path)
					return
				}
			}
		}, "arrived 0 times"},
		{"readings that nobody gave", func(s *stage) { s.sensor = newAccelerometer("") }, "was never given"},
		{"readings that stopped coming", func(s *stage) {
			for n := range 10*leastWindows + 1 {
				_, line := s.sensor.unused(1000 + n)
				s.sensor.remember(line)
			}
		}, "only 50 of 101 readings arrived"},
		{"a recording that is not in the spool", func(s *stage) { s.records = s.records[1:] }, "is in the spool 0 times"},
		{"a malformed file that is gone", func(s *stage) {
			_ = os.Remove(filepath.Join(s.watched(), ".edgespool", "failed", "broken.6.json"))
		}, "was not set aside"},
		{"shaking that was not reported in time", func(s *stage) { s.seen.reported = 0 }, "was not reported"},
		{"shaking that waited its turn", func(s *stage) { s.order[1], s.order[2] = s.order[2], s.order[1] }, "overtook nothing"},
		{"shaking that overtook nothing", func(s *stage) { s.order = s.order[:2] }, "overtook nothing"},
		{"a history without the shaking", func(s *stage) { s.seen.history = nil }, "the detection history has 0 samples"},
		{"a stream with something else", func(s *stage) { s.seen.streamed[0] = "walking.1.csv" }, "the stream of anomalies has 1 samples"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			s := newStage(t)
			tc.spoil(s)
			s.set(t)
			v, err := check(t.Context(), s.site, s.made, s.seen)
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(v.faults, "\n")
			if (tc.fault == "") != (all == "") || !strings.Contains(all, tc.fault) {
				t.Errorf("got %q, want %q", all, tc.fault)
			}
		})
	}
}

// TestRecordingsAreWhatTheySay: others must be able to read them.
func TestRecordingsAreWhatTheySay(t *testing.T) {
	picture, err := png.Decode(bytes.NewReader(makePNG(2)))
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Dx() * picture.Bounds().Dy(); got != 96*96 {
		t.Errorf("got %d pixels, want %d", got, 96*96)
	}
	for _, kind := range kinds {
		one, err := makeRecording(kind, "training", "x", 1, []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		two, err := makeRecording(kind, "training", "x", 2, []byte("key"))
		if err != nil || bytes.Equal(one.body, two.body) {
			t.Errorf("%s: two recordings are the same, %v", kind, err)
		}
	}
}

// TestReadingsAreUnique: each line of the accelerometer must tell its place.
func TestReadingsAreUnique(t *testing.T) {
	a := newAccelerometer("")
	for n := range 30 * frequency {
		_, line := a.unused(n)
		a.remember(line)
	}
	if got := len(a.places); got != 30*frequency {
		t.Errorf("got %d different readings, want %d", got, 30*frequency)
	}
	if _, ok := a.Place([]float64{1, 2, 3}); ok {
		t.Error("a reading that was never given has a place")
	}
}

// TestPTY: the far end gives what is written to the near one, unchanged.
func TestPTY(t *testing.T) {
	near, far, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	if _, err := fmt.Fprint(near, "1,2\r\n"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	n, err := far.Read(got)
	if err != nil || string(got[:n]) != "1,2\r\n" {
		t.Errorf("got %q, %v", got[:n], err)
	}
}

// TestReleasedPort: a claim of exclusive use does not outlive its owner.
func TestReleasedPort(t *testing.T) {
	near, far, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	exclusive := func() (state int) {
		t.Helper()
		if err := control(far, func(fd int) (err error) {
			state, err = unix.IoctlGetInt(fd, unix.TIOCGEXCL)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return state
	}
	killed, err := os.OpenFile(far.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := control(killed, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCEXCL, 0) }); err != nil {
		t.Fatal(err)
	}
	killed.Close()
	if exclusive() == 0 {
		t.Fatal("the claim went with its owner, so there is nothing to release")
	}
	if err := release(far); err != nil {
		t.Fatal(err)
	}
	if exclusive() != 0 {
		t.Error("the port is still claimed")
	}
}
