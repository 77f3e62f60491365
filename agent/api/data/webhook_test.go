package data

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver verifies what is posted to it by the library of those who wrote
// the standard, and answers as it is told.
type receiver struct {
	t      *testing.T
	url    string
	secret string
	file   string
	verify *webhooks.Webhook

	mu     sync.Mutex
	answer func(p posting, seen int) int
	posts  map[string][]posting // by webhook-id
}

func newReceiver(t *testing.T, answer func(p posting, seen int) int) *receiver {
	t.Helper()
	r := &receiver{t: t, answer: answer, posts: map[string][]posting{}, file: filepath.Join(t.TempDir(), "secret")}
	r.secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	if err := os.WriteFile(r.file, []byte(r.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.verify, err = webhooks.NewWebhook(r.secret); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = r.verify.Verify(body, req.Header)
	}
	var p posting
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	if err != nil {
		r.t.Errorf("a post that cannot be verified: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := req.Header.Get("webhook-id")
	r.posts[id] = append(r.posts[id], p)
	w.WriteHeader(r.answer(p, len(r.posts[id])))
}

// until waits for check to be content with the posts.
func (r *receiver) until(what string, check func(posts map[string][]posting) bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		r.mu.Lock()
		done := check(r.posts)
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (r *receiver) hook(c *Config, d *Deps) {
	c.Webhook = WebhookConfig{URL: r.url, SecretFile: r.file}
	d.Judge = oddJudge{}
	d.Address = "http://gateway:8347"
}

// Every object's result is posted, signed, and one that was not taken again
// under the same id; a restart posts nothing that was taken.
func TestWebhooks(t *testing.T) {
	r := newReceiver(t, func(p posting, seen int) int {
		if p.ID == "second" && seen < 3 {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	})
	s := newSite(t, r.hook)
	s.service.posted.pauses = []time.Duration{time.Millisecond, time.Millisecond, time.Hour}
	id := s.add("ns", `[{"id":"first","metadata":{"k":"v"}},{"id":"second"},{"id":"refuse"}]`)
	r.until("all are taken", func(posts map[string][]posting) bool {
		n := 0
		for _, tries := range posts {
			n += len(tries)
		}
		return n == 5
	})
	byID := map[string]posting{}
	for _, tries := range r.posts {
		byID[tries[0].ID] = tries[0]
		if want := map[string]int{"first": 1, "second": 3, "refuse": 1}[tries[0].ID]; len(tries) != want {
			t.Errorf("%s: %d tries, want %d", tries[0].ID, len(tries), want)
		}
	}
	if len(r.posts) != 3 || len(byID) != 3 {
		t.Fatalf("got %v", r.posts)
	}
	link := "http://gateway:8347/v1/data/ns/requests/" + id
	if p := byID["first"]; p.Type != "workflow.succeeded" || p.Namespace != "ns" || p.RequestID != id || p.URL != link ||
		string(p.Metadata) != `{"k":"v"}` || string(p.Output) != `{"actions":[],"labels":[],"fields":{}}` || p.Error != "" {
		t.Errorf("got %+v", p)
	}
	if p := byID["refuse"]; p.Type != "workflow.failed" || p.Error != "no opinion" || p.Output != nil || p.RequestID != id {
		t.Errorf("got %+v", p)
	}
	s.restart()
	s.add("ns", `{"id":"third"}`)
	r.until("the third comes", func(posts map[string][]posting) bool { return len(posts) == 4 })
}

// A result that nobody takes is an exception in the end, and those behind it
// do not wait for it.
func TestWebhookThatIsNeverTaken(t *testing.T) {
	r := newReceiver(t, func(p posting, _ int) int {
		if p.ID == "bad" {
			return http.StatusGone
		}
		return http.StatusOK
	})
	s := newSite(t, r.hook)
	s.service.posted.pauses = []time.Duration{time.Millisecond}
	s.add("ns", `[{"id":"bad"},{"id":"good"}]`)
	n := s.service.findNamespace("ns")
	r.until("the bad one is given up", func(map[string][]posting) bool { return n.results.Totals().Rejected == 1 })
	r.until("the good one is taken", func(map[string][]posting) bool { return n.results.Totals().Stored == 1 })
	exceptions, err := n.results.Exceptions(t.Context(), 0, 10)
	if err != nil || len(exceptions) != 1 || exceptions[0].Record.Name != "bad.json" || !strings.Contains(exceptions[0].Outcome.Reason, "410") {
		t.Errorf("got %+v, %v", exceptions, err)
	}
	if !strings.Contains(s.log.String(), "webhook does not take results") || strings.Contains(s.log.String(), r.url) {
		t.Errorf("log: %s", s.log)
	}
}

// A webhook that was removed from the configuration holds nothing back.
func TestWebhookIsForgotten(t *testing.T) {
	r := newReceiver(t, func(posting, int) int { return http.StatusOK })
	hook := true
	s := newSite(t, func(c *Config, d *Deps) {
		if hook {
			r.hook(c, d)
		}
	})
	s.add("ns", `{"id":"a"}`)
	hook = false
	s.restart()
	for _, info := range s.spool.Streams() {
		if strings.HasPrefix(info.Name, webhookStream) {
			t.Errorf("stream %s is still there", info.Name)
		}
	}
}

func TestSecrets(t *testing.T) {
	for text, good := range map[string]bool{
		"whsec_" + strings.Repeat("QUJD", 8) + "\n": true, strings.Repeat("QUJD", 8): true,
		"whsec_QUJD": false, "": false, "whsec_***": false, strings.Repeat("QUJD", 30): false,
	} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSecret(file); (err == nil) != good {
			t.Errorf("%q: got %v, want good %v", text, err, good)
		}
	}
	c := Config{Enabled: true, Objects: 0, Bytes: 1, URL: "ftp://x", Webhook: WebhookConfig{URL: "plant", SecretFile: ""}}
	var got []string
	c.Validate(func(field, _, _ string) { got = append(got, field) })
	if want := "[objects bytes url webhook.url webhook.secret_file]"; fmt.Sprint(got) != want {
		t.Errorf("faults: got %v, want %s", got, want)
	}
}
