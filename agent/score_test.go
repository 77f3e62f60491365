package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
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
