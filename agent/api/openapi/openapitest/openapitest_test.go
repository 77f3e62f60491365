package openapitest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
)

// A complaints collects what a test would be told.
type complaints struct {
	*testing.T
	all []string
}

func (c *complaints) Errorf(format string, args ...any) {
	c.all = append(c.all, fmt.Sprintf(format, args...))
}

// TestWhatIsNotDescribedFails has servers answer wrongly, each in one way.
func TestWhatIsNotDescribedFails(t *testing.T) {
	const (
		streams  = "/api/v1/datasets/plant%2Fline/streams"
		advanced = `{"status":"ok","sequence_id":"4LvtenIBAAA="}`
		issued   = `{"requestId":"req_01h455vb4pex5vsknk084sn02q","status":"accepted"}`
		empty    = `{"totalCount":0,"count":0,"data":[]}`
	)
	for _, c := range []struct {
		name, method, path, sent string
		code                     int
		answer                   string
		wrong                    bool
	}{
		{"an answer as described", "POST", streams + "/s/advance", `{"sequence_id":"4LvtenIBAAA="}`, 200, advanced, false},
		{"the former name", "POST", strings.ReplaceAll(streams, "streams", "triggers") + "/s/advance/", `{"sequence_id":"4LvtenIBAAA="}`, 200, advanced, false},
		{"a status that is not described", "POST", streams + "/s/advance", `{"sequence_id":"4LvtenIBAAA="}`, 202, advanced, true},
		{"a member missing", "POST", streams + "/s/advance", `{"sequence_id":"4LvtenIBAAA="}`, 200, `{"status":"ok"}`, true},
		{"ok that is none", "POST", streams + "/s/advance", `{"sequence_id":"4LvtenIBAAA="}`, 200, strings.ReplaceAll(advanced, "ok", "error"), true},
		{"a request that should be refused", "POST", streams + "/s/fetch", `{"size":0}`, 200, `{"status":"ok","results":[],"filtered":0,"sequence_id":"4LvtenIBAAA=","is_end_sequence":true}`, true},
		{"an error of another family", "GET", streams + "/s", "", 404, `{"error":"no","message":"no"}`, true},
		{"an error of its family", "GET", streams + "/s", "", 404, `{"status":"error","message":"404 Not Found"}`, false},
		{"nothing where nothing is", "GET", "/api/v1/other", "", 404, `{"status":"error","message":"404 Not Found"}`, false},
		{"something where nothing is", "GET", "/api/v1/other", "", 200, `{"status":"ok"}`, true},
		{"a method without Allow", "PATCH", streams, "", 405, `{"status":"error","message":"no"}`, true},
		{"an add", "POST", "/v1/data/ns", `{"data":{"id":"a"}}`, 200, issued, false},
		{"an add with more than is described", "POST", "/v1/data/ns", `{"data":{"id":"a"}}`, 200, strings.Replace(issued, "{", `{"more":1,`, 1), true},
		{"an add without an id", "POST", "/v1/data/ns", `{"data":{}}`, 200, issued, true},
		{"a page", "GET", "/v1/detection?limit=5&minTimestamp=", "", 200, empty, false},
		{"a page that no client may ask for", "GET", "/v1/detection?limit=500", "", 200, empty, true},
		{"a negative count", "GET", "/v1/detection", "", 200, strings.Replace(empty, "0", "-1", 1), true},
		{"no JSON", "GET", "/v1/detection", "", 200, "all is well", true},
		{"a path of nobody", "GET", "/healthz", "", 200, "all is well", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := &complaints{T: t}
			server := httptest.NewServer(openapitest.Check(told, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.code)
				_, _ = io.WriteString(w, c.answer)
			})))
			through := openapitest.Proxy(told, server.URL)
			req, err := http.NewRequestWithContext(t.Context(), c.method, through+c.path, strings.NewReader(c.sent))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			server.Close()
			if err != nil || resp.StatusCode != c.code || string(text) != c.answer {
				t.Errorf("got %d %q (%v), want what the server sent", resp.StatusCode, text, err)
			}
			if wrong := len(told.all) > 0; wrong != c.wrong {
				t.Errorf("got %q, want a complaint: %v", told.all, c.wrong)
			}
		})
	}
}
