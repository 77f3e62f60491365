package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// house is a running agent in a test.
type house struct {
	*Agent
	t      *testing.T
	client *Client
	log    *bytes.Buffer
	stop   func()
}

// live runs an agent of this configuration until the test ends or stop is
// called.
func live(t *testing.T, text string) *house {
	t.Helper()
	c, err := ParseConfig("edgespool.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := Build(ctx, c, Options{Version: "test", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	client, err := NewClient("http://"+a.Address(), "")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Agent: a, t: t, client: client, log: log}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	h.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(func() {
		h.stop()
		if t.Failed() {
			t.Logf("the agent said:\n%s", log)
		}
	})
	return h
}

// until asks for the status again and again until check is content.
func (h *house) until(what string, check func(Status) bool) {
	h.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		s, err := h.client.Status(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		if check(s) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("waited in vain until %s; the status is %+v", what, s)
		}
	}
}

func stateOf(s Status, source string) string {
	for _, src := range s.Sources {
		if src.Name == source {
			return src.State
		}
	}
	return ""
}

func labelled(t *testing.T, h *house, source, label, length string) {
	t.Helper()
	change := Change{Label: &label}
	if length != "" {
		change.For = &length
	}
	if _, err := h.client.Label(t.Context(), source, change); err != nil {
		t.Fatal(err)
	}
}

// From the wire to 200 OK, over every kind of source: a serial port, a folder
// and the ingestion API, with a label that an operator gives on the way.
func TestSamplesArriveFromEverySource(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // the last of all, behind the service's end
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
	writeFile(t, dir, "lan-key", "lan\n")
	if err := os.MkdirAll(filepath.Join(dir, "in", "testing"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := live(t, fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB, commit: {interval: 100ms}}
sources:
  - {name: vibration, type: serial, port: %[2]s, sensors: [{name: accX, units: m/s2}, {name: accY, units: m/s2}], frequency: 100, window: 200ms, label: idle, metadata: {site: plant-4}}
  - {name: recordings, type: directory, path: %[1]s/in, settle: 10ms}
  - {name: lan, type: ingestion, api_key_file: %[1]s/lan-key}
destinations:
  - {name: studio, type: edge-impulse, url: %[3]s, api_key_file: %[1]s/key}
api: {listen: "127.0.0.1:0"}
`, dir, port.Name(), server.URL))

	lines := func(n, from int) {
		for i := range n {
			fmt.Fprintf(master, "%d.5,-1\n", from+i)
		}
	}
	h.until("the port is open", func(s Status) bool {
		return stateOf(s, "vibration") == sampler.StateRunning || s.Sources[0].Detail["sessions"] > 0
	})
	lines(41, 0) // the first line may be cut off
	h.until("two windows are there", func(s Status) bool { return s.Sources[0].Samples >= 2 })
	view, err := h.client.Watch(t.Context(), "vibration")
	if err != nil {
		t.Fatal(err)
	}
	labelled(t, h, "vibration", "shaking", "60s")
	lines(20, 100)
	checkView(t, view)
	writeFile(t, dir, "in/testing/wave.1.csv", "timestamp,x\n0,1\n10,2\n")
	post(t, "http://"+h.Address()+"/api/anomaly/files", "lan", "odd.1.csv", "timestamp,x\n0,3\n10,4\n")
	h.until("all is delivered", func(s Status) bool {
		return s.Destinations[0].Stored >= 5 && s.Destinations[0].Backlog == 0
	})
	h.stop()

	got := map[string]int{}
	for _, s := range service.Samples() {
		got[s.Category+"/"+s.Label]++
	}
	for what, n := range map[string]int{"training/idle": 2, "training/shaking": 1, "testing/wave": 1, "anomaly/odd": 1} {
		if got[what] < n || what != "training/idle" && got[what] != n {
			t.Errorf("%s: got %d samples, want %d; all are %v", what, got[what], n, got)
		}
	}
}

// checkView expects the readings from 100.5 on and then their sample.
func checkView(t *testing.T, view *api.View) {
	t.Helper()
	defer view.Close()
	want := 100.5
	for {
		g, err := view.Next()
		switch {
		case err != nil:
			t.Fatal(err)
		case g.Sample != nil:
			if g.Sample.Label != "shaking" || want == 100.5 || g.Sample.Sequence == 0 {
				t.Errorf("sample: got %+v after readings up to %v", g.Sample, want-1)
			}
			return
		case g.Values[0] < 100: // what was still on its way
		case float64(g.Values[0]) != want || g.Values[1] != -1 || g.Sensors[1] != "accY":
			t.Errorf("reading: got %+v, want %v", g, want)
		default:
			want++
		}
	}
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	// Into its place by a rename: no half-written file is ever seen.
	from, to := filepath.Join(dir, "."+filepath.Base(name)), filepath.Join(dir, name)
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func post(t *testing.T, url, key, name, text string) {
	t.Helper()
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("data", name)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(part, text)
	m.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, &form)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.Header.Set("x-api-key", key)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("post %s: %s %s", name, resp.Status, body)
	}
}

const quiet = `
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: folder, type: directory, path: %[1]s/in}
  - {name: line, type: serial, port: %[1]s/tty, sensors: [{name: x}], frequency: 10, window: 1s, label: %[2]s}
api: {listen: "127.0.0.1:0"}
`

// What an operator sets for good holds over a restart, until the file says
// something else; what is set for a time does not. The device keeps its name.
func TestChoicesAndNameSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	source := func(s Status, name string) SourceStatus {
		for _, src := range s.Sources {
			if src.Name == name {
				return src
			}
		}
		return SourceStatus{}
	}
	h := live(t, fmt.Sprintf(quiet, dir, "idle"))
	first, err := h.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := source(first, "line"); got.Label != "idle" || got.Category != "training" || !got.Enabled || got.State != sampler.StateWaiting {
		t.Errorf("as configured: got %+v", got)
	}
	labelled(t, h, "line", "shaking", "")
	no := false
	if _, err := h.client.Label(t.Context(), "folder", Change{Enabled: &no}); err != nil {
		t.Fatal(err)
	}
	labelled(t, h, "line", "for a moment", "1h")
	now, _ := h.client.Status(t.Context())
	if got := source(now, "line"); got.Label != "for a moment" || got.LabelledForS < 3000 {
		t.Errorf("for a time: got %+v", got)
	}
	labelled(t, h, "line", "", "0s")
	now, _ = h.client.Status(t.Context())
	if got := source(now, "line"); got.Label != "shaking" || got.LabelledForS != 0 {
		t.Errorf("after the time: got %+v", got)
	}
	h.stop()

	h = live(t, fmt.Sprintf(quiet, dir, "idle"))
	now, _ = h.client.Status(t.Context())
	if got := source(now, "line"); got.Label != "shaking" {
		t.Errorf("after a restart: got %+v", got)
	}
	if source(now, "folder").Enabled {
		t.Error("after a restart the folder is not paused any more")
	}
	if now.Device != first.Device || now.Device.Name == "" {
		t.Errorf("device: got %+v, had %+v", now.Device, first.Device)
	}
	labelled(t, h, "line", "", "")
	now, _ = h.client.Status(t.Context())
	if got := source(now, "line"); got.Label != "idle" {
		t.Errorf("with an empty label: got %+v, want what is configured", got)
	}
	labelled(t, h, "line", "shaking", "")
	h.stop()

	h = live(t, fmt.Sprintf(quiet, dir, "humming"))
	now, _ = h.client.Status(t.Context())
	if got := source(now, "line"); got.Label != "humming" {
		t.Errorf("after a change of the file: got %+v", got)
	}
}

func TestBuildGivesBackWhatItTook(t *testing.T) {
	dir := t.TempDir()
	h := live(t, fmt.Sprintf(quiet, dir, "idle"))
	c, err := ParseConfig("x", []byte(fmt.Sprintf(quiet, dir, "idle")))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Log: slog.New(slog.DiscardHandler)}
	_, err = Build(t.Context(), c, o)
	var hint interface{ Hint() string }
	if !errors.Is(err, spool.ErrLocked) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "spool.path") {
		t.Errorf("a spool that is held: got %v", err)
	}
	c.API.Listen = h.Address()
	if _, err = Build(t.Context(), c, o); !errors.Is(err, spool.ErrLocked) {
		t.Errorf("the same configuration a second time: got %v, want ErrLocked before what it says of the port", err)
	}
	held := c.Spool.Path
	c.Spool.Path = filepath.Join(t.TempDir(), "other")
	if _, err = Build(t.Context(), c, o); err == nil || !strings.Contains(err.Error(), "another program has this port") {
		t.Errorf("a port that is taken: got %v", err)
	}
	c.Spool.Path = held
	h.stop()
	a, err := Build(t.Context(), c, o)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ended); err != nil {
		t.Error(err)
	}
}

// broken is a source that gives up or panics.
type broken struct{ panics bool }

func (b broken) Run(context.Context, sampler.Sink) error {
	if b.panics {
		panic("out of order")
	}
	return errors.New("out of order")
}

func TestBrokenSourceHarmsNobody(t *testing.T) {
	for _, room := range []broken{{panics: false}, {panics: true}} {
		s := &source{name: "s", room: room, setup: sampler.Setup{
			Log: slog.New(slog.DiscardHandler), Progress: &sampler.Progress{}, Labelling: sampler.NewLabelling(sampler.Choice{}),
		}}
		s.serve(t.Context())
		if got := s.status(); got.State != sampler.StateFailed || !strings.Contains(got.Error, "out of order") {
			t.Errorf("panics %v: got %+v", room.panics, got)
		}
	}
}

// The API tells of readiness, and ends its own part while the agent stops.
func TestReadiness(t *testing.T) {
	h := live(t, fmt.Sprintf(quiet, t.TempDir(), "idle"))
	var f api.Agent = face{h.Agent}
	h.until("the agent runs", func(Status) bool { return f.Ready() == nil })
	h.stop()
	if err := f.Ready(); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("after the stop: got %v", err)
	}
}
