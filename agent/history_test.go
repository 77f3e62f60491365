package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
	"github.com/edgespool/edgespool/spool"
)

const (
	adminToken   = "admin-token-0123456789"
	consumeToken = "consume-token-0123456789"
	ingestToken  = "ingest-token-0123456789"
)

// guardedHouse is an agent that asks for tokens.
func guardedHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	for name, token := range map[string]string{"admin": adminToken, "consume": consumeToken, "ingest": ingestToken} {
		writeFile(t, dir, name, token+"\n")
	}
	return live(t, fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: in, type: directory, path: %[1]s/in}
destinations:
  - {name: archive, type: dataset, path: %[1]s/out}
api: {listen: "127.0.0.1:0", tokens: {admin: %[1]s/admin, consume: %[1]s/consume, ingest: %[1]s/ingest}}
`, dir))
}

// TestHistorysOwnSamples runs the commands on the page of the wire against the
// agent, with only host and token replaced.
func TestHistorysOwnSamples(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(shared(t), "reference", "detection-history.txt"))
	if err != nil {
		t.Skipf("%v; set EDGESPOOL_SHARED to the folder that holds reference/detection-history.txt", err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed; apt-get install curl brings it")
	}
	commands := regexp.MustCompile(`(?m)^curl (?:.*\\\n)*.*$`).FindAllString(string(page), -1)
	if len(commands) == 0 {
		t.Fatal("the page has no curl command")
	}
	h := guardedHouse(t)
	_, err = h.spool.Detect(t.Context(), spool.Detection{Name: "document.jpg", ContentType: "image/jpeg", Model: "document", Score: 0.155})
	if err != nil {
		t.Fatal(err)
	}
	var want any // the answer that the page shows
	body := string(page)[strings.Index(string(page), "\n{\n"):]
	if err := json.NewDecoder(strings.NewReader(body)).Decode(&want); err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		command = strings.NewReplacer("curl ", curl+" --silent --show-error --fail ", "https://api.deepxl.ai", openapitest.Proxy(t, "http://"+h.Address()), "<token>", consumeToken).Replace(command)
		run := exec.CommandContext(t.Context(), "sh", "-c", command)
		run.Stderr = os.Stderr
		out, err := run.Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		var got any
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v in %s", command, err, out)
		}
		sameShape(t, "answer", got, want)
		if total := got.(map[string]any)["totalCount"]; total != 1.0 {
			t.Errorf("%s: %v detections, want 1", command, total)
		}
	}
}

// TestREADMEsHistory runs the commands of README.md: everything but the scoring
// answers what it says, for without detectors there is no such model.
func TestREADMEsHistory(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed; apt-get install curl brings it")
	}
	h := guardedHouse(t)
	r, err := h.spool.Append(t.Context(), spool.Record{Kind: spool.KindFile, Name: "idle.csv", Dataset: "anomaly", ContentType: "text/csv", Body: spool.Bytes([]byte("timestamp,x\n0,1\n"))})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.spool.Detect(t.Context(), spool.Detection{Sequence: r.Results[0].Sequence, Name: "idle.csv", ContentType: "text/csv", Source: "vibration", Model: "statistics", Score: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, dir, "idle.csv", "timestamp,x\n0,1\n")
	commands := regexp.MustCompile(`(?m)^curl .*/v1/(?:detection|files).*$`).FindAllString(string(page), -1)
	if len(commands) < 7 {
		t.Fatalf("the page has %d commands, want 7", len(commands))
	}
	for _, command := range commands {
		post := strings.Contains(command, " -F ")
		run := exec.CommandContext(t.Context(), "sh", "-c", strings.NewReplacer("curl ", curl+" --silent --show-error ", "127.0.0.1:8347", h.Address(), "TOKEN", adminToken).Replace(command))
		run.Dir, run.Stderr = dir, os.Stderr
		out, err := run.Output()
		switch {
		case err != nil:
			t.Errorf("%s: %v", command, err)
		case strings.Contains(command, "/v1/files/"):
			if string(out) != "timestamp,x\n0,1\n" {
				t.Errorf("%s: got %s", command, out)
			}
		case post && !bytes.Contains(out, []byte(`"statusCode":404`)), !post && bytes.Contains(out, []byte("statusCode")):
			t.Errorf("%s: got %s", command, out)
		case strings.Contains(command, "/v1/detection?") && !bytes.Contains(out, []byte(`"totalCount":1`)):
			t.Errorf("%s: got %s", command, out)
		}
	}
}

// sameShape: everything that the page shows is there, with values of its kind.
func sameShape(t *testing.T, place string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", place, got)
		}
		for name, value := range want {
			if _, there := have[name]; !there {
				t.Errorf("%s has no %s", place, name)
				continue
			}
			sameShape(t, place+"."+name, have[name], value)
		}
	case []any:
		have, ok := got.([]any)
		if !ok {
			t.Errorf("%s is %v, want a list", place, got)
		}
		for i := range have {
			sameShape(t, fmt.Sprintf("%s[%d]", place, i), have[i], want[0])
		}
	default:
		if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			t.Errorf("%s is %v, want something like %v", place, got, want)
		}
	}
}

// Who may do what with the history, and how it is told who may not.
func TestHistoryIsGuarded(t *testing.T) {
	h := guardedHouse(t)
	for _, c := range []struct {
		method, path string
		header       []string
		want         int
	}{
		{"GET", "/v1/detection", nil, 401},
		{"GET", "/v1/detection", []string{"x-api-key", "not-a-token-0123456789"}, 401},
		{"GET", "/v1/detection", []string{"x-api-key", consumeToken}, 200},
		{"GET", "/v1/detection", []string{"Authorization", "Bearer " + consumeToken}, 200},
		{"GET", "/v1/detection", []string{"Authorization", "bearer " + adminToken}, 200},
		{"GET", "/v1/detection", []string{"Authorization", "Bearer " + consumeToken, "x-api-key", "not-a-token-0123456789"}, 200},
		{"GET", "/v1/detection", []string{"Authorization", "Bearer wrong", "x-api-key", consumeToken}, 401},
		{"GET", "/v1/detection", []string{"x-api-key", ingestToken}, 403},
		{"POST", "/v1/detection", []string{"x-api-key", consumeToken}, 403},
		{"POST", "/v1/detection", []string{"x-api-key", ingestToken}, 415},
		{"POST", "/v1/detection", []string{"x-api-key", adminToken}, 415},
		{"GET", "/v1/detection-models", []string{"x-api-key", consumeToken}, 200},
		{"GET", "/v1/detection-models/x", []string{"x-api-key", consumeToken}, 404},
		{"GET", "/v1/files/x", nil, 401},
		{"GET", "/v1/files", []string{"x-api-key", consumeToken}, 404},
		{"DELETE", "/v1/detection", []string{"x-api-key", consumeToken}, 405},
		{"GET", "/api/status", []string{"x-api-key", adminToken}, 401}, // that route knows no such header
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+h.Address()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(c.header); i += 2 {
			req.Header.Set(c.header[i], c.header[i+1])
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s %v: got %d %s, want %d", c.method, c.path, c.header, resp.StatusCode, body.String(), c.want)
		}
		var f struct {
			StatusCode int
			Error, Why string
		}
		if strings.HasPrefix(c.path, "/v1/") && c.want >= 400 && (json.Unmarshal(body.Bytes(), &f) != nil || f.StatusCode != c.want || f.Error != http.StatusText(c.want)) {
			t.Errorf("%s %s: got %s", c.method, c.path, body.String())
		}
	}
}
