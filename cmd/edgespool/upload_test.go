package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// A stand is an ingestion service that remembers what it was sent.
type stand struct {
	*httptest.Server
	mu          sync.Mutex
	connections int
	requests    int
	files       map[[32]byte]posted
	// answer, if set, may answer a request in place of the service.
	answer func(w http.ResponseWriter, n int) (done bool)
}

// posted is what came with a file.
type posted struct {
	name, category, label, metadata string
	noLabel                         bool
	times                           int
	companions                      []string
}

func newStand(t *testing.T) *stand {
	s := &stand{files: map[[32]byte]posted{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			s.connections++
			s.mu.Unlock()
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP takes POST /api/CATEGORY/files.
func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	n, answer := s.requests, s.answer
	s.mu.Unlock()
	if answer != nil && answer(w, n) {
		return
	}
	if r.Header.Get("x-api-key") != standKey {
		http.Error(w, `{"success":false,"error":"Invalid API key"}`, http.StatusUnauthorized)
		return
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	label, _ := url.QueryUnescape(r.Header.Get("x-label"))
	as := posted{category: strings.Split(r.URL.Path, "/")[2], label: label, noLabel: r.Header.Get("x-no-label") == "1", metadata: r.Header.Get("x-metadata")}
	type file struct {
		sum  [32]byte
		name string
	}
	var files []file
	parts := multipart.NewReader(r.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h := sha256.New()
		if _, err := io.Copy(h, part); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if strings.HasSuffix(part.FileName(), ".labels") {
			as.companions = append(as.companions, part.FileName())
			continue
		}
		files = append(files, file{[32]byte(h.Sum(nil)), part.FileName()})
	}
	var got []map[string]any
	for _, f := range files {
		got = append(got, s.take(f.sum, f.name, as))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "files": got})
}

const standKey = "ei_stand"

func (s *stand) take(sum [32]byte, name string, as posted) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, known := s.files[sum]
	if known {
		first.times++
		s.files[sum] = first
		return map[string]any{"success": false, "error": "An item with this hash already exists (ids: 1)"}
	}
	as.name, as.times = name, 1
	s.files[sum] = as
	return map[string]any{"success": true, "projectId": 1, "sampleId": len(s.files), "fileName": name}
}

// byName lists what arrived.
func (s *stand) byName() map[string]posted {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]posted{}
	for _, p := range s.files {
		all[p.name] = p
	}
	return all
}

// answers sets what may answer in place of the service; nil takes it back.
func (s *stand) answers(answer func(w http.ResponseWriter, n int) (done bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// figures are the counts of the stand, which start anew.
func (s *stand) figures() (connections, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	connections, requests = s.connections, s.requests
	s.connections, s.requests = 0, 0
	return connections, requests
}

// uploading is one run of `edgespool upload` as a process of its own.
func uploading(t *testing.T, s *stand, state string, args ...string) (*exec.Cmd, string, string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, append([]string{"upload", "--url", s.URL}, args...)...)
	c.Env = append(os.Environ(), "EI_API_KEY="+standKey, "XDG_STATE_HOME="+state)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c, out.String(), errs.String()
}

// documents writes n signed CBOR documents of about 10 KB.
func documents(t *testing.T, dir string, n int) {
	t.Helper()
	h := acquisition.PayloadHeader{
		DeviceName: "02:00:00:00:00:01", DeviceType: "TEST", IntervalMS: 16,
		Sensors: []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "m/s2"}, {Name: "accZ", Units: "m/s2"}},
	}
	for i := range n {
		values := make([]float64, 625*3)
		for j := range values {
			values[j] = float64(float32(math.Sin(float64(i*7+j)) * 9.81))
		}
		payload, err := acquisition.AppendPayload(nil, h, values)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: []byte("fed53116f20684c067774ebf9e7bcbdc")})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, fmt.Sprintf("idle.%d.cbor", i)), raw)
	}
}

func write(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sound is a WAV file of so many bytes of samples.
func sound(seed, size int) []byte {
	b := append([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(36+size))...)
	b = append(b, "WAVEfmt "...)
	for _, v := range []uint32{16, 1 | 1<<16, 16000, 32000, 2 | 16<<16} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(size))
	for i := range size {
		b = append(b, byte(i*seed>>3))
	}
	return b
}

func TestUploadLabelsAndCategories(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	write(t, dir+"/walking.1.wav", sound(1, 100))
	write(t, dir+"/noise.wav", sound(2, 100))
	write(t, dir+"/notes.md", []byte("not a sample"))
	write(t, dir+"/.hidden/x.wav", sound(9, 100))
	write(t, dir+"/export/testing/a.wav", sound(3, 100))
	write(t, dir+"/export/b.wav", sound(4, 100))
	write(t, dir+"/export/info.labels", []byte(`{"version":1,"files":[
		{"path":"testing/a.wav","name":"renamed","category":"testing","label":{"type":"label","label":"löss"},"metadata":{"site":"4"}}]}`))
	write(t, dir+"/images/lamp.png", []byte("\x89PNG\r\n\x1a\n1"))
	write(t, dir+"/images/bounding_boxes.labels", []byte(`{"version":1,"type":"bounding-box-labels","boundingBoxes":{"lamp.png":[{"label":"lamp","x":1,"y":2,"width":3,"height":4}]}}`))
	s := newStand(t)
	c, out, errs := uploading(t, s, state, "--json", dir)
	if code := c.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("got exit code %d\n%s%s", code, out, errs)
	}
	if want := `{"files":5,"bytes":585,"stored":5,"already_there":0,"skipped":0,"rejected":0}` + "\n"; out != want {
		t.Errorf("got %s, want %s", out, want)
	}
	got := s.byName()
	want := map[string]posted{
		"walking.1.wav": {name: "walking.1.wav", category: "training", label: "walking", times: 1},
		"noise.wav":     {name: "noise.wav", category: "training", label: "noise", times: 1},
		"renamed.wav":   {name: "renamed.wav", category: "testing", label: "löss", metadata: `{"site":"4"}`, times: 1},
		"b.wav":         {name: "b.wav", category: "training", label: "b", times: 1},
		"lamp.png":      {name: "lamp.png", category: "training", noLabel: true, times: 1, companions: []string{"bounding_boxes.labels"}},
	}
	if !maps.EqualFunc(got, want, func(a, b posted) bool {
		return a.name == b.name && a.category == b.category && a.label == b.label && a.metadata == b.metadata && a.times == b.times &&
			(len(b.companions) == 0 || slices.Equal(a.companions, b.companions))
	}) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestUploadFlagsWin(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want posted
	}{
		{[]string{"--label", "idle", "--category", "testing", "--metadata", "a=b", "--metadata", "c=d=e"},
			posted{category: "testing", label: "idle", metadata: `{"a":"b","c":"d=e"}`}},
		{[]string{"--no-label", "--category", "validation"}, posted{category: "validation", noLabel: true}},
	} {
		dir := t.TempDir()
		write(t, dir+"/walking.1.wav", sound(1, 100))
		write(t, dir+"/info.labels", []byte(`{"version":1,"files":[{"path":"walking.1.wav","category":"training","label":{"type":"label","label":"x"}}]}`))
		s := newStand(t)
		c, out, errs := uploading(t, s, t.TempDir(), append(tc.args, dir)...)
		if code := c.ProcessState.ExitCode(); code != 0 {
			t.Fatalf("got exit code %d\n%s%s", code, out, errs)
		}
		got := s.byName()["walking.1.wav"]
		if got.category != tc.want.category || got.label != tc.want.label || got.noLabel != tc.want.noLabel || got.metadata != tc.want.metadata {
			t.Errorf("%q: got %+v, want %+v", tc.args, got, tc.want)
		}
	}
}

func TestUploadGoesOnWhereItStopped(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	documents(t, dir, 40)
	write(t, dir+"/twin.wav", sound(1, 50))
	write(t, dir+"/twin2.wav", sound(1, 50))
	s := newStand(t)
	s.answers(func(w http.ResponseWriter, n int) bool {
		if n != 1 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	c, out, errs := uploading(t, s, state, "--json", dir)
	if code := c.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("got exit code %d\n%s%s", code, out, errs)
	}
	if !strings.Contains(out, `"stored":41,"already_there":0,"skipped":1,`) {
		t.Errorf("got %s", out)
	}
	s.figures()
	s.answers(nil)
	write(t, dir+"/late.wav", sound(7, 50))
	if _, out, errs = uploading(t, s, state, "--json", dir); !strings.Contains(out, `"stored":1,"already_there":0,"skipped":42,`) {
		t.Errorf("got %s%s", out, errs)
	}
	if _, requests := s.figures(); requests != 1 {
		t.Errorf("got %d requests for one new file, want 1", requests)
	}
	if c, out, errs = uploading(t, s, state, dir); c.ProcessState.ExitCode() != 0 {
		t.Errorf("got exit code %d\n%s%s", c.ProcessState.ExitCode(), out, errs)
	}
	if _, requests := s.figures(); requests != 0 {
		t.Errorf("got %d requests for nothing new, want 0", requests)
	}
	// Another key is another project.
	c = exec.Command(c.Path, "upload", "--url", s.URL, "--json", "--patience", "1s", dir)
	c.Env = append(os.Environ(), "EI_API_KEY=another", "XDG_STATE_HOME="+state)
	text, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(text), "EI_API_KEY") {
		t.Errorf("wrong key: got exit code %d\n%s", c.ProcessState.ExitCode(), text)
	}
}

func TestUploadRejectsAndGivesUp(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/broken.cbor", []byte("\xa3iprotected"))
	write(t, dir+"/good.wav", sound(1, 50))
	s := newStand(t)
	c, out, errs := uploading(t, s, t.TempDir(), "--json", dir, filepath.Join(dir, "good.wav"))
	if code := c.ProcessState.ExitCode(); code != exitRejected {
		t.Errorf("malformed document: got exit code %d, want %d\n%s%s", code, exitRejected, out, errs)
	}
	if !strings.Contains(errs, "broken.cbor") || !strings.Contains(out, `"rejected":1`) {
		t.Errorf("got %s%s", out, errs)
	}

	s.answers(func(w http.ResponseWriter, n int) bool { w.WriteHeader(http.StatusBadGateway); return true })
	c, out, errs = uploading(t, s, t.TempDir(), "--patience", "1ms", filepath.Join(dir, "good.wav"))
	if code := c.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(errs, "same command again") {
		t.Errorf("service out of order: got exit code %d, want %d\n%s%s", code, exitFailed, out, errs)
	}

	for _, args := range [][]string{{}, {"--concurrency", "9", dir}, {"--category", "bogus", dir}, {"--metadata", "x", dir}, {"--label", "a", "--no-label", dir}} {
		if c, _, errs := uploading(t, s, t.TempDir(), args...); c.ProcessState.ExitCode() != exitUsage {
			t.Errorf("%q: got exit code %d, want %d\n%s", args, c.ProcessState.ExitCode(), exitUsage, errs)
		}
	}
	write(t, dir+"/info.labels", []byte(`{"version":2}`))
	if c, _, errs := uploading(t, s, t.TempDir(), dir); c.ProcessState.ExitCode() != exitFailed || !strings.Contains(errs, "info.labels") {
		t.Errorf("malformed manifest: got exit code %d\n%s", c.ProcessState.ExitCode(), errs)
	}
}

// TestUploadShowsProgressToPeople: a bar on a terminal, nothing of it in a log.
func TestUploadShowsProgressToPeople(t *testing.T) {
	dir := t.TempDir()
	documents(t, dir, 3)
	near, far, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := newStand(t)
	c := exec.Command(path, "upload", "--url", s.URL, dir)
	c.Env = append(os.Environ(), "EI_API_KEY="+standKey, "XDG_STATE_HOME="+t.TempDir(), "TERM=xterm")
	c.Stderr = far
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	far.Close()
	shown, _ := io.ReadAll(near) // ends with EIO, since nobody has the far end open
	if !strings.Contains(string(shown), "3 of 3 files") {
		t.Errorf("got %q on the terminal", shown)
	}
	if _, _, errs := uploading(t, s, t.TempDir(), dir); errs != "" {
		t.Errorf("got %q in a log", errs)
	}
}
