package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// testAgent is an agent with two sources, one of them with a nasty name.
type testAgent struct {
	mu      sync.Mutex
	changes []Change
	tap     sampler.Tap
	unready error
	ill     error
	panics  bool
}

func (a *testAgent) Status() Status {
	if a.panics {
		panic("the status is broken")
	}
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	return Status{
		Version: "1.2.3", UptimeS: 61, Device: DeviceStatus{Name: "b8:27:eb:12:34:56", Type: "RASPBERRY_PI"},
		Spool: SpoolStatus{Records: 3, MaxBytes: 1 << 31, NextSequence: 4, WrittenBytes: 5000, WrittenPerDay: 700,
			Card: &CardStatus{Name: "mmcblk0", Bytes: 1 << 35, LifeUsedPercent: 20, DaysLeft: 365, Cycles: 100}},
		Sources: []SourceStatus{{Name: "vibration", Type: "serial", State: "running", Samples: 3, LastSampleAt: &at, Enabled: true, Detail: map[string]uint64{"reopened": 2},
			Detect: &DetectStatus{LastScore: 0.25, Detectors: []DetectorStatus{{Name: "pump", Type: "model", State: "failing", Judged: 7, Anomalies: 1}}}}, {Name: `a"b\` + "\n", Type: "directory", State: "waiting"}},
		Destinations: []DestinationStatus{{Name: "studio", Type: "edge-impulse", State: "idle", Stored: 3, Lost: 2,
			Streams: []StreamStatus{{Name: "studio/training", Lost: 2}}}},
		Detections: &DetectionsStatus{Count: 1, Bytes: 700, MaxBytes: 1 << 24}, Streams: manyStreams(at),
		Namespaces: []NamespaceStatus{{Name: "orders", Backlog: 4, Judged: 900}},
	}
}

func (a *testAgent) Healthy() error { return a.ill }

func (a *testAgent) Ready() error { return a.unready }

func (a *testAgent) Label(_ context.Context, name string, c Change) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name != "vibration" {
		return ErrUnknownSource
	}
	a.changes = append(a.changes, c)
	return nil
}

func (a *testAgent) Exceptions(context.Context, int) ([]spool.Exception, error) {
	return []spool.Exception{{Stream: "studio/training", Record: spool.Record{Name: "bad.csv", Dataset: "training"},
		Outcome: spool.Outcome{Sequence: 7, Fate: spool.FateRejected, Status: 400, Reason: "no values"}}}, a.unready
}

func (a *testAgent) Retry(_ context.Context, stream string, sequences []uint64) (Retried, error) {
	switch {
	case stream != "studio/training":
		return Retried{}, fmt.Errorf("find stream: %w", spool.ErrUnknownStream)
	case len(sequences) == 0:
		return Retried{Retried: 2, Gone: 1}, nil
	case sequences[0] == 7:
		return Retried{Retried: len(sequences)}, nil
	case sequences[0] == 8:
		return Retried{}, spool.ErrUnknownRecord
	}
	return Retried{}, spool.ErrNoException
}

func (a *testAgent) Outcomes(_ context.Context, stream string, q spool.OutcomeQuery) ([]spool.Outcome, error) {
	if stream != "studio/training" {
		return nil, spool.ErrUnknownStream
	}
	return []spool.Outcome{{Sequence: q.After + 1, Last: q.Of, Fate: spool.FateLost, Status: q.Limit}}, nil
}

func (a *testAgent) Tap(name string) (*sampler.Tap, bool) { return &a.tap, name == "vibration" }

// start runs a server on a loopback port and returns its address.
func start(t *testing.T, c Config, a Agent, mount http.Handler) string {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	s, err := New(c, a, silent{})
	if err != nil {
		t.Fatal(err)
	}
	if mount != nil {
		s.MountIngestion(mount)
	}
	ctx, stop := context.WithCancel(context.Background())
	if err := s.Bind(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s.Address()
}

type silent struct{}

func (silent) Info(string, ...any)  {}
func (silent) Error(string, ...any) {}

// ask sends one request; pairs are header names and values, "Host" included.
func ask(t *testing.T, method, url, body string, pairs ...string) (code int, header http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
		if pairs[i] == "Host" {
			req.Host = pairs[i+1]
		}
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestAnswers(t *testing.T) {
	base := "http://" + start(t, Config{}, &testAgent{}, nil)
	long := `{"label":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		name, method, path, body string
		pairs                    []string
		code                     int
		holds                    string
	}{
		{"health", "GET", "/healthz", "", nil, 200, `"ok"`},
		{"readiness", "GET", "/readyz", "", nil, 200, `"ready"`},
		{"status", "GET", "/api/status", "", nil, 200, `"next_sequence":4`},
		{"exceptions", "GET", "/api/exceptions", "", nil, 200, `{"exceptions":[{"stream":"studio/training","sequence":7,"id":"000000000000000000000000","name":"bad.csv","category":"training","source":"","status":400,"reason":"no values"`},
		{"outcomes", "GET", "/api/outcomes?stream=studio/training&after=4&limit=7", "", nil, 200, `{"outcomes":[{"sequence":5,"fate":"lost","status":7,"at":`},
		{"outcomes of one", "GET", "/api/outcomes?stream=studio%2Ftraining&sequence=9", "", nil, 200, `"last":9,"fate":"lost","status":100`},
		{"outcomes of nothing", "GET", "/api/outcomes", "", nil, 404, "no such stream"},
		{"outcomes without limit", "GET", "/api/outcomes?stream=studio/training&limit=1001", "", nil, 400, "1 to 1000"},
		{"outcomes behind what", "GET", "/api/outcomes?stream=studio/training&after=-1", "", nil, 400, "after"},
		{"retry", "POST", "/api/exceptions/retry", `{"stream":"studio/training","sequences":[7]}`, json1, 200, `{"retried":1,"gone":0}`},
		{"retry all", "POST", "/api/exceptions/retry", `{"stream":"studio/training","all":true}`, json1, 200, `{"retried":2,"gone":1}`},
		{"retry nothing", "POST", "/api/exceptions/retry", `{"stream":"studio/training"}`, json1, 400, "GET /api/exceptions"},
		{"retry all and some", "POST", "/api/exceptions/retry", `{"stream":"studio/training","all":true,"sequences":[7]}`, json1, 400, "GET /api/exceptions"},
		{"retry what is gone", "POST", "/api/exceptions/retry", `{"stream":"studio/training","sequences":[8]}`, json1, 410, "no such record"},
		{"retry what is none", "POST", "/api/exceptions/retry", `{"stream":"studio/training","sequences":[9]}`, json1, 404, "no such exception"},
		{"retry elsewhere", "POST", "/api/exceptions/retry", `{"stream":"x","all":true}`, json1, 404, "no such stream"},
		{"page", "GET", "/", "", nil, 200, "<title>edgespool</title>"},
		{"no such path", "GET", "/nothing", "", nil, 404, ""},
		{"no such path of the API", "GET", "/api/nothing", "", nil, 404, `{"success":false,"error":"there is nothing at this path"}`},
		{"wrong method", "POST", "/api/status", "", nil, 405, `"this path takes GET, HEAD"`},
		{"ingestion without such a source", "POST", "/api/training/files", "", nil, 404, `"success":false`},
		{"label", "PUT", "/api/sources/vibration", `{"label":"idle"}`, json1, 200, `"name":"vibration"`},
		{"label for a while", "PUT", "/api/sources/vibration", `{"label":"idle","category":"split","for":"60s"}`, json1, 200, `"name":"vibration"`},
		{"label with charset", "PUT", "/api/sources/vibration", `{"enabled":false}`, []string{"Content-Type", "application/json; charset=utf-8"}, 200, ""},
		{"unknown source", "PUT", "/api/sources/nobody", `{"label":"idle"}`, json1, 404, `there is no source \"nobody\"`},
		{"no JSON", "PUT", "/api/sources/vibration", `label=idle`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "send JSON"},
		{"broken JSON", "PUT", "/api/sources/vibration", `{"label"`, json1, 400, "read body"},
		{"unknown field", "PUT", "/api/sources/vibration", `{"lable":"x"}`, json1, 400, "lable"},
		{"two objects", "PUT", "/api/sources/vibration", `{"label":"x"}{}`, json1, 400, "more than one"},
		{"nothing to change", "PUT", "/api/sources/vibration", `{}`, json1, 400, "nothing to change"},
		{"bad category", "PUT", "/api/sources/vibration", `{"category":"bogus"}`, json1, 400, "bogus"},
		{"bad time", "PUT", "/api/sources/vibration", `{"label":"x","for":"-1s"}`, json1, 400, "for:"},
		{"pause for a time", "PUT", "/api/sources/vibration", `{"enabled":false,"for":"1s"}`, json1, 400, "leave out for"},
		{"control characters", "PUT", "/api/sources/vibration", `{"label":"a\u001bb"}`, json1, 400, "control characters"},
		{"too large", "PUT", "/api/sources/vibration", long, json1, 413, "larger than"},
		{"foreign name", "GET", "/api/status", "", []string{"Host", "evil.example"}, 421, "not one of mine"},
		{"foreign name in upper case", "GET", "/api/status", "", []string{"Host", "LOCALHOST:99"}, 200, ""},
		{"IPv6", "GET", "/api/status", "", []string{"Host", "[::1]:8347"}, 200, ""},
		{"foreign page by fetch metadata", "PUT", "/api/sources/vibration", `{"label":"x"}`, append([]string{"Sec-Fetch-Site", "cross-site"}, json1...), 403, "another site"},
		{"foreign page by origin", "PUT", "/api/sources/vibration", `{"label":"x"}`, append([]string{"Origin", "http://evil.example"}, json1...), 403, "another site"},
		{"no such live view", "GET", "/api/sources/nobody/live", "", nil, 404, "there is no source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, header, answer := ask(t, c.method, base+c.path, c.body, c.pairs...)
			if code != c.code || !strings.Contains(answer, c.holds) {
				t.Errorf("got %d %s, want %d with %s", code, answer, c.code, c.holds)
			}
			if strings.HasPrefix(c.path, "/api/") && (header.Get("Content-Type") != "application/json" || !json.Valid([]byte(answer))) {
				t.Errorf("got %q %s, want JSON", header.Get("Content-Type"), answer)
			}
		})
	}
}

var json1 = []string{"Content-Type", "application/json"}

func TestLabelReachesTheAgent(t *testing.T) {
	a := &testAgent{}
	base := "http://" + start(t, Config{}, a, nil)
	ask(t, "PUT", base+"/api/sources/vibration", `{"label":"idle","category":"testing","for":"90s"}`, json1...)
	if len(a.changes) != 1 {
		t.Fatalf("got %d changes, want 1", len(a.changes))
	}
	c := a.changes[0]
	d, bounded, err := c.Duration()
	if *c.Label != "idle" || *c.Category != "testing" || c.Enabled != nil || d != 90*time.Second || !bounded || err != nil {
		t.Errorf("got %+v, %v, %v, %v", c, d, bounded, err)
	}
}

func TestNotReady(t *testing.T) {
	base := "http://" + start(t, Config{}, &testAgent{unready: errors.New("the spool is full")}, nil)
	if code, _, answer := ask(t, "GET", base+"/readyz", ""); code != 503 || !strings.Contains(answer, "the spool is full") {
		t.Errorf("got %d %s", code, answer)
	}
}

func TestNotHealthy(t *testing.T) {
	base := "http://" + start(t, Config{}, &testAgent{ill: errors.New("the disk does not answer")}, nil)
	if code, _, answer := ask(t, "GET", base+"/healthz", ""); code != 503 || !strings.Contains(answer, "the disk does not answer") {
		t.Errorf("got %d %s", code, answer)
	}
}

func TestPanicEndsItsRequestOnly(t *testing.T) {
	a := &testAgent{panics: true}
	base := "http://" + start(t, Config{}, a, nil)
	if code, _, answer := ask(t, "GET", base+"/api/status", ""); code != 500 || !strings.Contains(answer, `"success":false`) {
		t.Errorf("got %d %s, want 500 in the API's form", code, answer)
	}
	if code, _, _ := ask(t, "GET", base+"/healthz", ""); code != 200 {
		t.Errorf("after the panic: got %d, want 200", code)
	}
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	file := func(name, token string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c := Config{TokenFile: file("admin", "admin-0123456789"), Tokens: Tokens{Consume: file("consume", "reader-0123456789"), Ingest: file("ingest", "ingest-0123456789")}}
	base := "http://" + start(t, c, &testAgent{}, nil)
	const put = "PUT /api/sources/vibration"
	for _, r := range []struct {
		token, request string
		code           int
	}{
		{"", "GET /api/status", 401}, {"wrong-0123456789", "GET /api/status", 401}, {"ingest-0123456789", "GET /api/status", 403},
		{"reader-0123456789", "GET /api/status", 200}, {"admin-0123456789", "GET /api/status", 200}, {"reader-0123456789", "GET /metrics", 200}, {"", "GET /metrics", 401},
		{"", put, 401}, {"reader-0123456789", put, 403}, {"admin-0123456789", put, 200},
		{"", "GET /healthz", 200}, {"", "GET /readyz", 200}, {"", "GET /", 200},
	} {
		method, path, _ := strings.Cut(r.request, " ")
		pairs := append([]string{"Host", "board.local"}, json1...)
		if r.token != "" {
			pairs = append(pairs, "Authorization", "Bearer "+r.token)
		}
		if code, _, answer := ask(t, method, base+path, `{"label":"x"}`, pairs...); code != r.code {
			t.Errorf("%s with %q: got %d %s, want %d", r.request, r.token, code, answer, r.code)
		}
	}
	if _, err := New(Config{TokenFile: file("short", "abc")}, &testAgent{}, silent{}); err == nil {
		t.Error("a token of three characters was taken")
	}
	if _, err := New(Config{TokenFile: filepath.Join(dir, "gone")}, &testAgent{}, silent{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the file is not there", err)
	}
}

// Ingestion routes check the key of their source and nothing of the API's.
func TestIngestionIsMountedWithoutToken(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := "http://" + start(t, Config{TokenFile: token}, &testAgent{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Method+r.URL.Path)
	}))
	for _, path := range []string{"/api/training/files", "/api/post-processing/data", "/api/split/files"} {
		if code, _, answer := ask(t, "POST", base+path, "x", "Host", "board.local"); code != 200 || answer != "POST"+path {
			t.Errorf("%s: got %d %s", path, code, answer)
		}
	}
	if code, _, _ := ask(t, "POST", base+"/api/sources/files", "x"); code != 405 {
		t.Errorf("a path of the API: got %d, want 405", code)
	}
}

func TestLiveShowsReadingsAndSamples(t *testing.T) {
	a := &testAgent{}
	address := start(t, Config{}, a, nil)
	client, err := NewClient("http://"+address, "")
	if err != nil {
		t.Fatal(err)
	}
	view, err := client.Watch(t.Context(), "vibration")
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	a.tap.Reading([]string{"accX", "accY"}, []float64{0.5, -1})
	a.tap.Sample(spool.Record{Name: "idle.1.cbor", Dataset: "testing", Label: spool.Label{Text: "idle"}, Size: 10, Length: 2 * time.Second}, spool.Result{Sequence: 7})
	reading, err := view.Next()
	if err != nil || len(reading.Values) != 2 || reading.Values[1] != -1 || reading.Sensors[0] != "accX" || reading.Sample != nil {
		t.Errorf("reading: got %+v, %v", reading, err)
	}
	sample, err := view.Next()
	if err != nil || sample.Sample == nil || sample.Sample.Sequence != 7 || sample.Sample.Label != "idle" || sample.Sample.LengthMS != 2000 || sample.Sample.Category != "testing" {
		t.Errorf("sample: got %+v, %v", sample.Sample, err)
	}
}

func TestLiveEndsWithTheServerAndHasPlaces(t *testing.T) {
	a := &testAgent{}
	s, err := New(Config{Listen: "127.0.0.1:0"}, a, silent{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	if err := s.Bind(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client, _ := NewClient("http://"+s.Address(), "")
	var views []*View
	for {
		v, err := client.Watch(t.Context(), "vibration")
		if err != nil {
			if !strings.Contains(err.Error(), "too many are looking") {
				t.Error(err)
			}
			break
		}
		views = append(views, v)
	}
	if len(views) != 8 {
		t.Errorf("got %d views, want 8", len(views))
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, v := range views {
		if _, err := v.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("view after the server's end: got %v, want EOF", err)
		}
	}
}

func TestPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listen(t.Context(), l.Addr().String())
	var h interface{ Hint() string }
	if err == nil || !strings.Contains(err.Error(), "another program has this port") || !errors.As(err, &h) || !strings.Contains(h.Hint(), "ss -ltnp") {
		t.Errorf("got %v", err)
	}
}

// More clients than places: the further ones wait, and nobody is refused.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &bounded{Listener: inner, places: make(chan struct{}, 2)}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, http.NotFoundHandler(), func() {}) }()
	defer func() { stop(); <-done }()
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	third, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	io.WriteString(third, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(third).ReadString('\n')
		answered <- line
	}()
	// Both places must be taken before one is given back, or the third may
	// have been let in first.
	for _, c := range held {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case line := <-answered:
		t.Fatalf("the third client got %q while both places were taken", line)
	default:
	}
	held[0].Close()
	if line := <-answered; !strings.HasPrefix(line, "HTTP/1.1 404") {
		t.Errorf("got %q, want an answer once there is a place", line)
	}
	held[1].Close()
}

func TestConfigFaults(t *testing.T) {
	for _, c := range []struct {
		config Config
		fields string
	}{
		{DefaultConfig(), ""},
		{Config{Listen: "[::1]:80"}, ""},
		{Config{Listen: "localhost:0"}, ""},
		{Config{Listen: "0.0.0.0:8347"}, "listen"},
		{Config{Listen: ":8347"}, "listen"},
		{Config{Listen: "board.local:8347"}, "listen"},
		{Config{Listen: ":8347", TokenFile: "/t"}, ""},
		{Config{Listen: ":8347", Tokens: Tokens{Admin: "/t"}}, ""},
		{Config{Listen: ":8347", Tokens: Tokens{Consume: "/t"}}, "listen"},
		{Config{Listen: "127.0.0.1", TokenFile: "/t"}, "listen"},
		{Config{Listen: "127.0.0.1:http", TokenFile: "/t"}, "listen"},
		{Config{Listen: ":1", TokenFile: "/t", Tokens: Tokens{Admin: "/u"}}, "tokens.admin"},
	} {
		var fields []string
		c.config.Validate(func(field, _, _ string) { fields = append(fields, field) })
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("%+v: got faults %q, want %q", c.config, got, c.fields)
		}
	}
}

// manyStreams are more than have metrics of their own.
func manyStreams(at time.Time) (all []ReaderStatus) {
	for i := range 100 {
		all = append(all, ReaderStatus{Name: fmt.Sprintf("pi/anomaly/%03d", i), Backlog: int64(i), Exceptions: 2, LastFetchAt: &at})
	}
	return all
}
