package agent

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The status has the streams of programs on site, with what they did and left.
func TestStatusShowsStreamsOfReaders(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	h := live(t, fmt.Sprintf(`
device: {name: pi-1}
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources: [{name: inbox, type: directory, path: %[1]s/in, settle: 10ms, label: none, category: anomaly}]
api: {listen: "127.0.0.1:0"}
`, dir))
	tell := func(method, path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.Address()+"/api/v1/datasets/pi-1/anomaly/streams"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: got %d", method, path, resp.StatusCode)
		}
	}
	tell("PUT", "", `{"stream":{"name":"lamp"}}`)
	if s := h.status().Streams; len(s) != 1 || s[0].Name != "pi-1/anomaly/lamp" || s[0].LastFetchAt != nil || s[0].LastAdvanceAt != nil {
		t.Fatalf("got %+v, want a new stream", s)
	}
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(dir, "in", fmt.Sprintf("%d.csv", i)), fmt.Appendf(nil, "timestamp,x\n0,%d\n10,2\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.until("the samples wait for the reader", func(s Status) bool { return s.Streams[0].Backlog == 3 })
	tell("POST", "/lamp/fetch", `{"size":2}`)
	tell("PUT", "/lamp/exceptions", `{"exceptions":[{"uid":"a.1","metadata":{"type":"odd"}},{"uid":"a.2","metadata":{"type":"odd"}}]}`)
	tell("DELETE", "/lamp/exceptions?uid=a.1", "")
	if s := h.status().Streams[0]; s.LastFetchAt == nil || s.LastAdvanceAt != nil || s.Exceptions != 1 || s.Lost != 0 {
		t.Errorf("got %+v, want a fetch and an exception", s)
	}
	tell("POST", "/lamp/reset", `{"to_comment_created_at":"2100-01-01"}`)
	if s := h.status().Streams[0]; s.LastAdvanceAt == nil || s.Backlog != 0 {
		t.Errorf("got %+v, want all passed", s)
	}
	tell("DELETE", "/lamp", "")
	if s := h.status().Streams; len(s) != 0 {
		t.Errorf("got %+v, want none", s)
	}
}
