package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/history"
	"github.com/edgespool/edgespool/sampler"
)

// scored is what is answered to a file that came to be scored.
type scored struct {
	Data struct {
		Model      string
		Likelihood float64
		FileName   string
	} `json:"result"`
	Why string `json:"message"`
}

// submit has a file scored.
func submit(t *testing.T, h *house, model, name, content string) (code int, s scored) {
	t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	_ = w.WriteField("model", model)
	part, err := w.CreateFormFile("file", name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write([]byte(content))
	_ = w.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+h.Address()+"/v1/detection", &form)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, s
}

// Files are scored by the sources' detectors, and nothing is learned from them.
func TestFilesAreScored(t *testing.T) {
	dir := t.TempDir()
	h := live(t, fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - name: pump
    type: serial
    port: %[1]s/none
    sensors: [{name: accX}, {name: accY}]
    frequency: 100
    detect:
      - {type: threshold, axes: {accX: {max: 5, rate: 1000}}}
      - {type: statistics, warm_up: 20}
      - {type: command, name: opinion, command: [/bin/sh, -c, 'while read -r line; do echo "{\"score\":0.25,\"label\":\"steady\"}"; done']}
      - {type: command, name: broken, command: [/bin/false], timeout: 1s}
  - name: fan
    type: serial
    port: %[1]s/none2
    detect: [{type: threshold, axes: {accX: {max: 50}}}]
destinations: [{name: archive, type: dataset, path: %[1]s/archive}]
api: {listen: "127.0.0.1:0"}
`, dir))
	var models struct {
		Data []struct{ Model, Description string }
	}
	call(t, h, "GET", "/v1/detection-models", "", &models)
	var names []string
	for _, m := range models.Data {
		names = append(names, m.Model)
	}
	if got := strings.Join(names, " "); got != "pump/threshold statistics opinion broken fan/threshold" {
		t.Errorf("models are %s", got)
	}
	const loud, quiet = "accY,accX\n1,2\n1,9\n", "accY,accX\n1,2\n1,3\n"
	for _, tc := range []struct {
		model, name, content string
		code                 int
		likelihood           float64
		why                  string
	}{
		{"pump/threshold", "loud.csv", loud, 200, 100, ""},
		{"pump/threshold", "quiet.csv", quiet, 200, 0, ""},
		{"fan/threshold", "loud.csv", loud, 200, 0, ""},
		{"opinion", "loud.csv", loud, 200, 25, ""},
		{"threshold", "loud.csv", loud, 404, 0, "no model"},
		{"pump/threshold", "x.csv", "accZ\n1\n", 415, 0, "no axis accX"},
		{"pump/threshold", "x.png", "x", 415, 0, "neither"},
		{"statistics", "short.csv", loud, 415, 0, "too few"},
		{"statistics", "long.csv", "accX,accY\n" + strings.Repeat("1,2\n", 50), 503, 0, "learning"},
		{"broken", "loud.csv", loud, 503, 0, "broken"},
	} {
		code, s := submit(t, h, tc.model, tc.name, tc.content)
		if code != tc.code || s.Data.Likelihood != tc.likelihood || !strings.Contains(s.Why, tc.why) {
			t.Errorf("%s scored by %s: %d, %+v, want %d, %g, %s", tc.name, tc.model, code, s, tc.code, tc.likelihood, tc.why)
		}
	}
	var history struct{ TotalCount int }
	call(t, h, "GET", "/v1/detection?tagFilter=source=pump", "", &history)
	if history.TotalCount != 3 {
		t.Errorf("the history has %d detections of the pump, want 3", history.TotalCount)
	}
	if s := h.status().Sources[0]; s.Detail["learning"]+s.Detail["detector_failures"]+s.Detail["judged"] > 0 {
		t.Errorf("what was asked is counted: %v", s.Detail)
	}
}

// A sender that is slow holds up nobody but itself.
func TestSlowSenderHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	h := live(t, fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: pump, type: serial, port: %[1]s/none, frequency: 100, detect: [{type: threshold, axes: {accX: {max: 5}}}]}
api: {listen: "127.0.0.1:0"}
`, dir))
	const quiet = "accX\n1\n3\n"
	slow := sendSlowly(t, h, quiet)
	if code, s := submit(t, h, "threshold", "quick.csv", "accX\n1\n9\n"); code != http.StatusOK || s.Data.Likelihood != 100 {
		t.Errorf("the quick one is answered %d, %+v", code, s)
	}
	if code := slow.finish(); code != http.StatusOK {
		t.Errorf("the slow one is answered %d in the end", code)
	}
}

// What is in memory of files whose senders are slow is bounded.
func TestFilesHeldAreBounded(t *testing.T) {
	s := &scorer{}
	for _, tc := range []struct {
		held, size, read int
		err              error
	}{
		{0, 100, 100, nil}, {0, 5 << 20, sampler.MaxCaseFile + heldStep, nil}, // too large, as CaseFromFile will say
		{heldFiles - heldStep, 100, 100, nil}, {heldFiles - heldStep, 2 * heldStep, 2 * heldStep, history.ErrNotReady},
	} {
		s.held.Store(int64(tc.held))
		raw, err := s.read(bytes.NewReader(make([]byte, tc.size)))
		if len(raw) != tc.read || !errors.Is(err, tc.err) || s.held.Load() != int64(tc.held+tc.read) {
			t.Errorf("%d held and %d more: read %d, %v, then %d held; want %d, %v", tc.held, tc.size, len(raw), err, s.held.Load(), tc.read, tc.err)
		}
	}
}

// A slowSender has sent all of its file but the end of the form.
type slowSender struct {
	t    *testing.T
	pipe *io.PipeWriter
	form *multipart.Writer
	code chan int
}

func sendSlowly(t *testing.T, h *house, content string) *slowSender {
	t.Helper()
	body, pipe := io.Pipe()
	s := &slowSender{t: t, pipe: pipe, form: multipart.NewWriter(pipe), code: make(chan int, 1)}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+h.Address()+"/v1/detection", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", s.form.FormDataContentType())
	go func() {
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			s.code <- 0
			return
		}
		_ = resp.Body.Close()
		s.code <- resp.StatusCode
	}()
	_ = s.form.WriteField("model", "threshold")
	part, err := s.form.CreateFormFile("file", "slow.csv")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write([]byte(content))
	return s
}

// finish sends the rest, and gives the answer's code.
func (s *slowSender) finish() int {
	s.t.Helper()
	_ = s.form.Close()
	_ = s.pipe.Close()
	return <-s.code
}

// checkScored: what the source's own detector has learned, it knows for files,
// and learns nothing from them.
func checkScored(t *testing.T, h *house) {
	t.Helper()
	for _, tc := range []struct {
		shaking float64
		loud    bool
	}{{4, true}, {0, false}} {
		var text bytes.Buffer
		text.WriteString("accX,accY,accZ\n")
		m := &machine{out: &text, dice: rand.New(rand.NewPCG(3, 5))}
		m.run(64, tc.shaking)
		code, s := submit(t, h, "statistics", "asked.csv", text.String())
		if code != http.StatusOK || s.Data.Model != "statistics" || (s.Data.Likelihood >= 80) != tc.loud {
			t.Errorf("shaking of %g is scored %d, %+v", tc.shaking, code, s)
		}
	}
}
