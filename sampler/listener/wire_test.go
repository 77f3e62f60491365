package listener

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// raw is the request as it goes over the wire.
func (u upload) raw() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: agent\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n", u.path, testKey, len(u.body))
	for k, v := range u.header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	b.WriteString("\r\n")
	b.Write(u.body)
	return b.Bytes()
}

func (x *tryout) dial() *net.TCPConn {
	x.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(x.url, "http://"))
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// answerOn reads one answer from a connection.
func answerOn(t *testing.T, conn net.Conn) (int, string, http.Header) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text), r.Header
}

// begin sends the first part of a request and returns when its first file is
// on its way into the spool.
func (x *tryout) begin(u upload, bytes int) *net.TCPConn {
	x.t.Helper()
	x.sink.staged = make(chan struct{}, 100)
	conn := x.dial()
	if _, err := conn.Write(u.raw()[:bytes]); err != nil {
		x.t.Fatal(err)
	}
	<-x.sink.staged
	return conn
}

func large() upload {
	return files("training", nil, part{"a.csv", "", csv(1)}, part{"b.csv", "", strings.Repeat("1,2\n", 100<<10)})
}

func TestNotRunning(t *testing.T) {
	s := newSource(DefaultConfig(), nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/training/files", nil))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.HasPrefix(w.Body.String(), `{"success":false`) {
		t.Errorf("before Run: got %d %s", w.Code, w.Body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/training/data", nil))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.HasPrefix(w.Body.String(), "{") {
		t.Errorf("after Run: got %d %s", w.Code, w.Body)
	}
}

// TestConnectionCut breaks off in the middle of the second file: not even the
// first one, which had arrived whole, is kept.
func TestConnectionCut(t *testing.T) {
	x := start(t)
	conn := x.begin(large(), 200<<10)
	<-x.sink.staged
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	x.stop()
	if got := len(x.sink.appended()); got != 0 {
		t.Errorf("got %d records, want none", got)
	}
	if got := x.inMemory.Load(); got != 0 {
		t.Errorf("%d bytes are still counted as held", got)
	}
}

func TestStopInTheMiddle(t *testing.T) {
	x := start(t)
	conn := x.begin(large(), 200<<10)
	x.stop()
	status, text, h := answerOn(t, conn)
	if status != 503 || h.Get("Retry-After") == "" {
		t.Errorf("got %d %s, Retry-After %q", status, text, h.Get("Retry-After"))
	}
	if got := len(x.sink.appended()); got != 0 {
		t.Errorf("got %d records, want none", got)
	}
}

// TestHalfClosed sends everything and closes its half, as netcat does.
func TestHalfClosed(t *testing.T) {
	x := start(t)
	conn := x.dial()
	if _, err := conn.Write(large().raw()); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := answerOn(t, conn); status != 200 || len(x.sink.appended()) != 2 {
		t.Errorf("got %d %s and %d records", status, text, len(x.sink.appended()))
	}
}

func TestTooManyAtOnce(t *testing.T) {
	x := start(t, func(c *Config) { c.MaxRequests = 1 })
	u := large()
	conn := x.begin(u, 200<<10)
	status, _, h := x.post(files("training", nil, part{"c.csv", "", csv(2)}))
	if status != 503 || h.Get("Retry-After") != "5" {
		t.Errorf("the second: got %d, Retry-After %q", status, h.Get("Retry-After"))
	}
	if _, err := conn.Write(u.raw()[200<<10:]); err != nil {
		t.Fatal(err)
	}
	if status, text, _ := answerOn(t, conn); status != 200 {
		t.Errorf("the first: got %d %s", status, text)
	}
}

func TestTooMuchInMemory(t *testing.T) {
	x := start(t)
	x.inMemory.Store(mostHeld)
	good := files("training", nil, part{"c.csv", "", csv(2)})
	if status, _, h := x.post(good); status != 503 || h.Get("Retry-After") != "5" {
		t.Errorf("got %d, Retry-After %q", status, h.Get("Retry-After"))
	}
	x.inMemory.Store(0)
	if status, text, _ := x.post(good); status != 200 || x.inMemory.Load() != 0 {
		t.Errorf("got %d %s with %d bytes held", status, text, x.inMemory.Load())
	}
	s := shipment{inMemory: &x.inMemory}
	var no *refusal
	for no == nil {
		no = s.hold(smallBody)
	}
	if no.status != 413 {
		t.Errorf("one request alone: got %d", no.status)
	}
	s.letGo()
	if got := x.inMemory.Load(); got != 0 {
		t.Errorf("%d bytes are still counted as held", got)
	}
}

func TestGzip(t *testing.T) {
	x := start(t, func(c *Config) { c.MaxRequest = 1 << 20 })
	squeeze := func(u upload) upload {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(u.body)
		w.Close()
		u.header["Content-Encoding"], u.body = "gzip", b.Bytes()
		return u
	}
	x.want(squeeze(files("training", nil, part{"a.csv", "", csv(1)})), 200,
		`{"success":true,"files":[{"success":true,"projectId":1,"sampleId":1,"fileName":"a.csv"}]}`)
	if status, text, _ := x.post(squeeze(files("training", nil, part{"b.csv", "", strings.Repeat("0", 2<<20)}))); status != 413 {
		t.Errorf("much in little: got %d %s", status, text)
	}
	if got := bodyText(t, x.sink.appended()[0].Body); got != csv(1) {
		t.Errorf("got %q", got)
	}
}

// TestConcurrentRepeats sends one file from many clients at once: each is told
// the same id, and it is stored once.
func TestConcurrentRepeats(t *testing.T) {
	x := start(t)
	const clients = 12
	answers := make([]string, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			var status int
			status, answers[i], _ = x.post(files("training", nil, part{"same.csv", "", csv(0)}, part{fmt.Sprintf("own%d.csv", i), "", csv(i + 1)}))
			if status != 200 {
				t.Errorf("client %d: got %d %s", i, status, answers[i])
			}
		})
	}
	all.Wait()
	if got := len(x.sink.appended()); got != clients+1 {
		t.Errorf("got %d records, want %d", got, clients+1)
	}
	first, _, _ := strings.Cut(answers[0], "},")
	for i, a := range answers {
		if !strings.HasPrefix(a, first) {
			t.Errorf("client %d: got %s, want one that begins %s", i, a, first)
		}
	}
}

// A pipeListener gives a server the other ends of in-memory connections.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipeListener) Close() error   { close(p.done); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// TestPatience has a client that is slow, one that falls silent, and one that
// leaves its connection open for longer than any deadline of its last request.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(DefaultConfig(), nil)
		sink := &memorySink{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, sink) }()
		synctest.Wait()
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		server := &http.Server{Handler: s}
		go server.Serve(l)
		dial := func() net.Conn {
			a, b := net.Pipe()
			l.conns <- b
			return a
		}
		raw := files("training", nil, part{"a.csv", "", csv(1)}).raw()

		slow := dial()
		defer slow.Close()
		go func() {
			for i := range raw {
				_, _ = slow.Write(raw[i : i+1])
				time.Sleep(50 * time.Second)
			}
		}()
		if status, text, _ := answerOn(t, slow); status != 200 {
			t.Errorf("slow: got %d %s", status, text)
		}
		time.Sleep(time.Hour)
		go func() { _, _ = slow.Write(raw) }()
		if status, text, _ := answerOn(t, slow); status != 200 {
			t.Errorf("an hour later: got %d %s", status, text)
		}

		silent := dial()
		defer silent.Close()
		go func() { _, _ = silent.Write(raw[:len(raw)-10]) }()
		began := time.Now()
		if status, text, _ := answerOn(t, silent); status != 408 {
			t.Errorf("silent: got %d %s", status, text)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %v for the silent one, want one minute", waited)
		}

		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Close()
		synctest.Wait()
		if sink.count() != 1 {
			t.Errorf("got %d records, want 1", sink.count())
		}
	})
}

// memorySink keeps records in memory, for tests of many thousand requests.
type memorySink struct {
	mu      sync.Mutex
	records []spool.Record
}

func (m *memorySink) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

func (m *memorySink) Append(_ context.Context, recs ...spool.Record) (spool.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var r spool.Receipt
	for _, rec := range recs {
		result := spool.Result{Sequence: uint64(len(m.records) + 1)}
		for i, known := range m.records {
			if known.Identity == rec.Identity {
				result = spool.Result{Sequence: uint64(i + 1), Duplicate: true}
			}
		}
		if !result.Duplicate {
			m.records = append(m.records, rec)
		}
		r.Results = append(r.Results, result)
	}
	return r, nil
}

func (m *memorySink) Stage(_ context.Context, r io.Reader, limit int64) (spool.Body, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, spool.ErrTooLarge
	}
	return spool.Bytes(text), nil
}

func (m *memorySink) Seen([32]byte) (uint64, bool) { return 0, false }

// A notedLog collects what is logged.
type notedLog struct {
	slog.Handler
	lines chan slog.Record
}

func (n *notedLog) Enabled(context.Context, slog.Level) bool { return true }
func (n *notedLog) Handle(_ context.Context, r slog.Record) error {
	n.lines <- r
	return nil
}

// address waits for the line that says where the source listens.
func (n *notedLog) address(t *testing.T) (address string) {
	t.Helper()
	r := <-n.lines
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "address" {
			address = a.Value.String()
		}
		return true
	})
	if address == "" {
		t.Fatalf("got the log line %q, want one with the address", r.Message)
	}
	return address
}

func TestListenOnItsOwn(t *testing.T) {
	c := DefaultConfig()
	c.Listen = "127.0.0.1:0"
	s := newSource(c, func() (string, error) { return testKey, nil })
	lines := &notedLog{slog.DiscardHandler, make(chan slog.Record, 10)}
	s.setup.Log = slog.New(lines)
	x := &tryout{Source: s, t: t, sink: newSink(t)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, x.sink) }()
	address := lines.address(t)
	x.url = "http://" + address
	x.want(data("anomaly", "a.csv", "text/csv", csv(1), nil), 200, "a.csv")

	// A second source wants the same address: it waits and says so.
	c.Listen = address
	second := newSource(c, nil)
	taken := &notedLog{slog.DiscardHandler, make(chan slog.Record, 10)}
	second.setup.Log = slog.New(taken)
	ctx2, cancel2 := context.WithCancel(t.Context())
	ended2 := make(chan error, 1)
	go func() { ended2 <- second.Run(ctx2, x.sink) }()
	if r := <-taken.lines; r.Level != slog.LevelWarn {
		t.Errorf("got %q, want a warning", r.Message)
	}
	cancel2()
	cancel()
	if err := <-ended2; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p := second.setup.Progress.Snapshot()
	if p.State != sampler.StateWaiting || !strings.Contains(p.Error, address) {
		t.Errorf("got state %s, error %q", p.State, p.Error)
	}
}

func TestFullSpool(t *testing.T) {
	x := start(t)
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile, c.WhenFull, c.MinFree = t.TempDir(), true, "refuse", 1<<60
	full, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	x.sink.Spool = full
	for _, u := range []upload{large(), data("training", "a.csv", "text/csv", csv(1), nil)} {
		status, text, h := x.post(u)
		if status != 503 || h.Get("Retry-After") != "60" || !strings.Contains(text, "The spool is full") {
			t.Errorf("%s: got %d %s, Retry-After %q", u.path, status, text, h.Get("Retry-After"))
		}
	}
	if p := x.setup.Progress.Snapshot(); p.State != sampler.StateWaiting || p.Error == "" {
		t.Errorf("got state %s, error %q", p.State, p.Error)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(c *Config) {}, ""},
		{func(c *Config) { c.APIKeyFile = "" }, "api_key_file"},
		{func(c *Config) { c.APIKeyEnv = "KEY" }, "api_key_file"},
		{func(c *Config) { c.Listen = "4810" }, "listen"},
		{func(c *Config) { c.MaxFile = 200 << 20 }, "max_file"},
		{func(c *Config) { c.MaxRequest = 1 << 20 }, "max_request"},
		{func(c *Config) { c.MaxRequests = 0 }, "max_requests"},
		{func(c *Config) { c.Timeout = 0 }, "timeout"},
	} {
		config := DefaultConfig()
		config.APIKeyFile = "key"
		c.change(&config)
		var got []string
		config.Validate(func(field, problem, remedy string) {
			if problem == "" || remedy == "" {
				t.Errorf("%s: a fault without problem or remedy", field)
			}
			got = append(got, field)
		})
		if strings.Join(got, " ") != c.want {
			t.Errorf("got faults in %q, want %q", got, c.want)
		}
	}
}
