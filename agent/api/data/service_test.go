package data

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
	"github.com/edgespool/edgespool/spool"
)

// A site is a service on a real spool and a real port, with its Run.
type site struct {
	t       *testing.T
	dir     string
	change  func(c *Config, d *Deps)
	spool   *spool.Spool
	service *Service
	server  *httptest.Server
	log     *lockedBuffer
	stop    func()
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newSite(t *testing.T, change func(c *Config, d *Deps)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), change: change, log: &lockedBuffer{}}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// start opens the spool and serves, also after a stop.
func (s *site) start() {
	s.t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile, c.MaxBytes, c.MinFree = s.dir, true, 256<<20, 1<<20
	var err error
	if s.spool, err = spool.Open(c); err != nil {
		s.t.Fatal(err)
	}
	config := DefaultConfig()
	deps := Deps{Spool: s.spool, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	if s.change != nil {
		s.change(&config, &deps)
	}
	if s.service, err = New(config, deps); err != nil {
		s.t.Fatal(err)
	}
	s.server = httptest.NewServer(openapitest.Check(s.t, s.service))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.service.Run(ctx); close(done) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			s.server.Close()
			cancel()
			<-done
			if err := s.spool.Close(); err != nil {
				s.t.Error(err)
			}
		})
	}
}

// restart stops everything and starts it again on the same folder.
func (s *site) restart() {
	s.stop()
	s.start()
}

// ask sends one request; path may be a whole address.
func (s *site) ask(method, path, body string, pairs ...string) (int, http.Header, string) {
	s.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.server.URL + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	resp, err := s.server.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// get sends a request that must succeed and reads its answer.
func (s *site) get(method, path, body string, into any) {
	s.t.Helper()
	code, _, text := s.ask(method, path, body)
	if code != http.StatusOK {
		s.t.Fatalf("%s %s: got %d %s", method, path, code, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
}

// add sends objects and returns the request's id.
func (s *site) add(ns, data string) string {
	s.t.Helper()
	var a accepted
	s.get("POST", "/v1/data/"+ns, `{"data":`+data+`}`, &a)
	if a.Status != "accepted" || a.RequestID == "" {
		s.t.Fatalf("got %+v", a)
	}
	return a.RequestID
}

// A reply is a status answer in either shape.
type reply struct {
	Namespace string `json:"namespace"`
	RequestID string `json:"request_id"`
	Status    string `json:"status"`
	Data      []struct {
		ID       string          `json:"id"`
		Output   Output          `json:"output"`
		URL      string          `json:"url"`
		Metadata json.RawMessage `json:"metadata"`
	} `json:"data"`
	URL       *string    `json:"data_url"`
	Count     *int64     `json:"data_count"`
	ExpiresAt *time.Time `json:"data_expires_at"`
	Summary   *string    `json:"error_summary"`
}

// ended asks for a request's status until it has ended.
func (s *site) ended(ns, id string) reply {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		var r reply
		s.get("GET", "/v1/data/"+ns+"/requests/"+id, "", &r)
		if r.Status == stateSucceeded || r.Status == stateFailed {
			return r
		}
		if len(r.Data) > 0 || r.URL != nil {
			s.t.Fatalf("results of a request that is %s: %+v", r.Status, r)
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("request %s is still %s; the log: %s", id, r.Status, s.log)
		}
	}
}

const hotRules = `{"settings":{"rules":[
	{"field":"temperature","above":80,"below":-20,"label":"overheated","action":"inspect","score":0.9},
	{"field":"features.rms","above":2.5,"score":0.5}]}}`

func TestAddIsJudgedByTheRules(t *testing.T) {
	s := newSite(t, nil)
	var set struct {
		Status  string
		Version int
	}
	s.get("PUT", "/v1/data/motors/settings", hotRules, &set)
	if set.Status != "updated" || set.Version != 1 {
		t.Errorf("settings: got %+v", set)
	}
	one := s.add("motors", `{"id":"m-1","temperature":95.5,"metadata":{"site":"plant-4"}}`)
	r := s.ended("motors", one)
	if r.Namespace != "motors" || r.RequestID != one || r.Status != "succeeded" || len(r.Data) != 1 || r.Summary != nil {
		t.Fatalf("got %+v", r)
	}
	d := r.Data[0]
	if d.ID != "m-1" || string(d.Metadata) != `{"site":"plant-4"}` || d.Output.Fields["risk_score"] != 0.9 ||
		len(d.Output.Labels) != 1 || d.Output.Labels[0].Label != "overheated" || d.Output.Labels[0].Confidence != "high" ||
		len(d.Output.Actions) != 1 || d.Output.Actions[0] != "inspect" {
		t.Errorf("got %+v", d)
	}
	if !strings.HasPrefix(d.URL, s.server.URL+"/v1/data/motors/requests/") {
		t.Errorf("url: got %q", d.URL)
	}
	many := s.add("motors", `[{"id":"a","temperature":20},{"id":"b","features":{"rms":3}},{"id":"c","anomaly_score":0.7}]`)
	var got []string
	for _, d := range s.ended("motors", many).Data {
		got = append(got, fmt.Sprint(d.ID, len(d.Output.Labels), d.Output.Fields["risk_score"]))
	}
	if want := "[a0 0 b1 0.5 c0 0.7]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// An object that goes back to what it was is judged again; its identity is
// not that of its bytes.
func TestUpdateThatGoesBackIsJudgedAgain(t *testing.T) {
	s := newSite(t, nil)
	for i, data := range []string{`{"id":"x","v":1}`, `{"id":"x","v":2}`, `{"id":"x","v":1}`, `{"id":"x","v":1}`} {
		if r := s.ended("ns", s.add("ns", data)); len(r.Data) != 1 || r.Data[0].ID != "x" {
			t.Errorf("add %d: got %+v", i, r)
		}
	}
}

func TestRequestsSurviveARestart(t *testing.T) {
	s := newSite(t, nil)
	add := s.add("ns", `[{"id":"a"},{"id":"b"}]`)
	var up issued
	if _, _, text := s.ask("POST", "/v1/data/ns/requests/upload-url", "{}"); !strings.Contains(text, "&signature=") || json.Unmarshal([]byte(text), &up) != nil {
		t.Fatalf("the address cannot be copied as it stands: %s", text)
	}
	s.restart()
	if r := s.ended("ns", add); len(r.Data) != 2 {
		t.Errorf("add: got %+v", r)
	}
	var r reply
	s.get("GET", "/v1/data/ns/requests/"+up.RequestID, "", &r)
	if r.Status != stateUploading {
		t.Errorf("upload: got %+v", r)
	}
	// The address was signed by a server that had another port.
	address := s.server.URL + up.UploadURL[strings.Index(up.UploadURL, "/v1/"):]
	if code, _, text := s.ask("PUT", address, `{"id":"c"}`); code != 200 {
		t.Fatalf("upload: got %d %s", code, text)
	}
	s.restart()
	if r := s.ended("ns", up.RequestID); r.Count == nil || *r.Count != 1 {
		t.Errorf("upload: got %+v", r)
	}
}

func TestUploadAndDownload(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"import", "requests/upload-url"} {
		var up issued
		s.get("POST", "/v1/data/big/"+path, "{}", &up)
		if up.Status != "pending_upload" || !strings.HasSuffix(up.ObjectKey, "/big/"+up.RequestID+".jsonl") {
			t.Errorf("got %+v", up)
		}
		if left := time.Until(up.ExpiresAt); left < 11*time.Hour || left > 12*time.Hour {
			t.Errorf("the address is good for %v", left)
		}
		const objects = 2500
		var file strings.Builder
		for i := range objects {
			fmt.Fprintf(&file, "{\"id\":\"o-%d\",\"anomaly_score\":%v}\r\n", i, float64(i%10)/10)
		}
		file.WriteString("\nnonsense\n{\"noid\":1}\n[]\n{\"id\":\"last\"}")
		// An answer that is lost is asked for again: nothing comes twice.
		for range 2 {
			if code, _, text := s.ask("PUT", up.UploadURL, file.String()); code != 200 || text != "" {
				t.Fatalf("upload: got %d %q", code, text)
			}
		}
		r := s.ended("big", up.RequestID)
		if r.Status != stateSucceeded || r.Count == nil || *r.Count != objects+1 || r.ExpiresAt == nil {
			t.Fatalf("got %+v", r)
		}
		if want := "3 of 2504 lines were refused; line 2502: it is not JSON"; r.Summary == nil || !strings.HasPrefix(*r.Summary, want) {
			t.Errorf("summary: got %v, want %s…", *r.Summary, want)
		}
		var also reply
		s.get("GET", "/v1/data/big/requests/"+up.RequestID+"/results/download-url", "", &also)
		for _, address := range []string{*r.URL, *also.URL} {
			code, header, text := s.ask("GET", address, "")
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			if code != 200 || len(lines) != objects+1 || header.Get("Content-Type") != "application/jsonl" {
				t.Fatalf("download: got %d, %d lines, %v", code, len(lines), header)
			}
			for i, line := range lines[:objects] {
				if !strings.HasPrefix(line, fmt.Sprintf(`{"id":"o-%d","output":{`, i)) {
					t.Fatalf("line %d: got %s", i, line)
				}
			}
		}
		if code, _, text := s.ask("GET", strings.Replace(*r.URL, "signature=", "signature=x", 1), ""); code != 403 {
			t.Errorf("another signature: got %d %s", code, text)
		}
		if code, _, _ := s.ask("PUT", *r.URL, `{"id":"x"}`); code != 405 {
			t.Errorf("PUT to a download: got %d", code)
		}
	}
	if next := s.spool.Stats().NextSequence; next > 2*2*2501+1 {
		t.Errorf("the spool has %d records, want 2501 objects and results of two files", next-1)
	}
}

// A file that breaks off leaves its request waiting; sent again it brings
// every object once.
func TestUploadThatBreaksOff(t *testing.T) {
	s := newSite(t, nil)
	var up issued
	s.get("POST", "/v1/data/ns/import", "", &up)
	var file strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&file, "{\"id\":\"o-%d\"}\n", i)
	}
	broken, write := io.Pipe()
	go func() {
		_, _ = io.WriteString(write, file.String()[:file.Len()/2])
		write.CloseWithError(io.ErrUnexpectedEOF)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, up.UploadURL, broken)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := s.server.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Fatalf("half a file: got %d", resp.StatusCode)
	}
	var r reply
	s.get("GET", "/v1/data/ns/requests/"+up.RequestID, "", &r)
	if r.Status != stateUploading || r.URL != nil {
		t.Errorf("after half a file: got %+v", r)
	}
	for { // the server may still be at the half file
		code, _, text := s.ask("PUT", up.UploadURL, file.String())
		if code == http.StatusConflict {
			continue
		}
		if code != 200 {
			t.Fatalf("whole file: got %d %s", code, text)
		}
		break
	}
	if r := s.ended("ns", up.RequestID); *r.Count != 3000 || r.Summary != nil {
		t.Errorf("got %+v", r)
	}
}

func TestLargeResultsAreNotInline(t *testing.T) {
	s := newSite(t, func(c *Config, _ *Deps) { c.Bytes = 16 << 20 })
	var data []string
	for i := range 6 {
		data = append(data, fmt.Sprintf(`{"id":"%d","metadata":{"text":"%s"}}`, i, strings.Repeat("x", 1<<20)))
	}
	id := s.add("ns", "["+strings.Join(data, ",")+"]")
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		code, _, text := s.ask("GET", "/v1/data/ns/requests/"+id, "")
		if code == 200 && !strings.Contains(text, stateSucceeded) {
			continue
		}
		if code != 413 || !strings.Contains(text, "download-url") {
			t.Fatalf("got %d %.300s", code, text)
		}
		break
	}
	var r reply
	s.get("GET", "/v1/data/ns/requests/"+id+"/results/download-url", "", &r)
	if _, _, text := s.ask("GET", *r.URL, ""); *r.Count != 6 || strings.Count(text, "\n") != 6 {
		t.Errorf("got %d results, %d lines", *r.Count, strings.Count(text, "\n"))
	}
}

func TestRefusals(t *testing.T) {
	s := newSite(t, func(c *Config, _ *Deps) { c.Bytes = 10_000 })
	id := s.add("ns", `{"id":"a"}`)
	var many []string
	for i := range 501 {
		many = append(many, fmt.Sprintf(`{"id":"%d"}`, i))
	}
	for _, c := range []struct {
		name, method, path, body string
		pairs                    []string
		code                     int
		holds                    string
	}{
		{"no id", "POST", "/v1/data/ns", `{"data":{"x":1}}`, nil, 400, "has no id"},
		{"ID is not id", "POST", "/v1/data/ns", `{"data":{"ID":"x"}}`, nil, 400, "has no id"},
		{"number as id", "POST", "/v1/data/ns", `{"data":[{"id":"a"},{"id":7}]}`, nil, 400, "object 1: its id is not a string"},
		{"null as id", "POST", "/v1/data/ns", `{"data":{"id":null}}`, nil, 400, "not a string"},
		{"empty id", "POST", "/v1/data/ns", `{"data":{"id":""}}`, nil, 400, "0 bytes"},
		{"text as data", "POST", "/v1/data/ns", `{"data":"x"}`, nil, 400, "not a JSON object"},
		{"null as data", "POST", "/v1/data/ns", `{"data":null}`, nil, 400, "not a JSON object"},
		{"no data", "POST", "/v1/data/ns", `{}`, nil, 400, `has no \"data\"`},
		{"empty array", "POST", "/v1/data/ns", `{"data":[]}`, nil, 400, "empty"},
		{"broken", "POST", "/v1/data/ns", `{"data":`, nil, 400, "read body"},
		{"bad schema", "POST", "/v1/data/ns", `{"data":{"id":"a"},"schema":{"f":{"content_type":"smell"}}}`, nil, 400, "smell"},
		{"form", "POST", "/v1/data/ns", `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "send JSON"},
		{"gzip", "POST", "/v1/data/ns", `{}`, []string{"Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{"too large", "POST", "/v1/data/ns", `{"data":{"id":"` + strings.Repeat("x", 10_000) + `"}}`, nil, 413, "upload-url"},
		{"too many", "POST", "/v1/data/ns", `{"data":[` + strings.Join(many, ",") + `]}`, nil, 413, "501 objects"},
		{"bad namespace", "POST", "/v1/data/n%20s", `{"data":{"id":"a"}}`, nil, 400, "not a namespace"},
		{"nothing there", "GET", "/v1/data/ns/nothing", "", nil, 404, "nothing at this path"},
		{"deeper", "GET", "/v1/data/ns/requests/x/y/z", "", nil, 404, ""},
		{"wrong method", "DELETE", "/v1/data/ns", "", nil, 405, "POST"},
		{"no such request", "GET", "/v1/data/ns/requests/req_0000000000000000000000000g", "", nil, 404, "no such request"},
		{"foreign id", "GET", "/v1/data/ns/requests/req_01h2m7qdmdjckc30e1mnq6xqfd", "", nil, 404, "no such request"},
		{"another's request", "GET", "/v1/data/other/requests/" + id, "", nil, 404, "no such request"},
		{"upload unsigned", "PUT", "/v1/data/ns/uploads/" + id, `{"id":"a"}`, nil, 403, "signature"},
		{"download unsigned", "GET", "/v1/data/ns/results/" + id, "", nil, 403, "signature"},
		{"no settings", "GET", "/v1/data/nobody/settings", "", nil, 404, "no such namespace"},
		{"nothing to set", "PUT", "/v1/data/ns/settings", `{}`, nil, 400, "nothing to change"},
		{"unknown hint", "PUT", "/v1/data/ns/settings", `{"schema":{"f":{"display_hint":{"type":"loud"}}}}`, nil, 400, "loud"},
		{"bad limit", "PUT", "/v1/data/ns/settings", `{"schema":{"f":{"field_limit":0}}}`, nil, 400, "field_limit"},
		{"rule without bound", "PUT", "/v1/data/ns/settings", `{"settings":{"rules":[{"field":"x"}]}}`, nil, 400, "no bound"},
		{"misspelt rule", "PUT", "/v1/data/ns/settings", `{"settings":{"rules":[{"field":"x","abov":1}]}}`, nil, 400, "abov"},
		{"score beyond 1", "PUT", "/v1/data/ns/settings", `{"settings":{"rules":[{"field":"x","above":1,"score":2}]}}`, nil, 400, "0 to 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, header, text := s.ask(c.method, c.path, c.body, c.pairs...)
			var f map[string]string
			if err := json.Unmarshal([]byte(text), &f); err != nil || f["error"] == "" || f["error"] != f["message"] {
				t.Errorf("the answer is not an error of this API: %s", text)
			}
			if code != c.code || !strings.Contains(text, c.holds) {
				t.Errorf("got %d %s, want %d with %q", code, text, c.code, c.holds)
			}
			if code == 405 && header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if code, _, text := s.ask("HEAD", "/v1/data/ns/requests/"+id, ""); code != 200 || text != "" {
		t.Errorf("HEAD: got %d %q", code, text)
	}
}

func TestSettings(t *testing.T) {
	s := newSite(t, nil)
	schema := `{"picture":{"content_type":"image_url","display_hint":{"type":"primary_image_url","name":"Picture","order":1},"field_limit":3,"belongs_to":"users","later":true}}`
	s.get("PUT", "/v1/data/ns/settings", `{"schema":`+schema+`}`, &struct{}{})
	s.get("PUT", "/v1/data/ns/settings", `{"settings":{"mine":[1,2]},"previous_version":1}`, &struct{}{})
	if code, _, text := s.ask("PUT", "/v1/data/ns/settings", `{"schema":{},"previous_version":1}`); code != 409 || !strings.Contains(text, "previous_version") {
		t.Errorf("an old version: got %d %s", code, text)
	}
	s.restart()
	_, _, text := s.ask("GET", "/v1/data/ns/settings", "")
	want := `{"namespace":"ns","schema":` + schema + `,"settings":{"mine":[1,2]},"version":2}` + "\n"
	if text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	// What older clients send beside the data counts where nothing was set.
	s.get("POST", "/v1/data/old", `{"data":{"id":"a"},"schema":{"f":{"content_type":"datetime"}}}`, &struct{}{})
	s.get("POST", "/v1/data/old", `{"data":{"id":"a"},"schema":{"g":{"content_type":"card"}}}`, &struct{}{})
	if _, _, text := s.ask("GET", "/v1/data/old/settings", ""); !strings.Contains(text, `"schema":{"f":`) || !strings.Contains(text, `"version":1`) {
		t.Errorf("got %s", text)
	}
}

// oddJudge panics at, refuses or takes an object as its id says.
type oddJudge struct{}

func (oddJudge) Judge(_ context.Context, _ string, object json.RawMessage) (Output, error) {
	switch {
	case bytes.Contains(object, []byte("panic")):
		panic("bad judge")
	case bytes.Contains(object, []byte("refuse")):
		return Output{}, fmt.Errorf("no opinion")
	}
	return Output{}, nil
}

func TestObjectsThatCannotBeJudged(t *testing.T) {
	s := newSite(t, func(_ *Config, d *Deps) { d.Judge = oddJudge{} })
	r := s.ended("ns", s.add("ns", `[{"id":"panic"},{"id":"fine"},{"id":"refuse"}]`))
	if r.Status != stateSucceeded || len(r.Data) != 1 || r.Data[0].ID != "fine" || r.Summary == nil || *r.Summary != "2 of 3 objects could not be judged" {
		t.Errorf("got %+v", r)
	}
	if r := s.ended("ns", s.add("ns", `{"id":"refuse"}`)); r.Status != stateFailed || len(r.Data) != 0 {
		t.Errorf("got %+v", r)
	}
}

// Requests of many clients at once each get their own results.
func TestManyAtOnce(t *testing.T) {
	s := newSite(t, nil)
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for i := range 10 {
				id := s.add("ns", fmt.Sprintf(`[{"id":"%d-%d-a"},{"id":"%d-%d-b"}]`, c, i, c, i))
				if r := s.ended("ns", id); len(r.Data) != 2 || r.Data[0].ID != fmt.Sprintf("%d-%d-a", c, i) {
					t.Errorf("got %+v", r)
				}
			}
		})
	}
	clients.Wait()
}
