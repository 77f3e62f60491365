package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A systemd is a service manager's socket.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
}

// manage makes this process one that a service manager has started.
func manage(t *testing.T) *systemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "") // t.TempDir may be longer than a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return &systemd{t, conn}
}

// next is the next notification's lines, none if there is none in time.
func (m *systemd) next(patience time.Duration) []string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	} else if err != nil {
		m.t.Fatal(err)
	}
	return strings.Split(string(b[:n]), "\n")
}

// wants waits for a notification with this line and returns all of them
// until then.
func (m *systemd) wants(line string) (got []string) {
	m.t.Helper()
	for {
		lines := m.next(time.Minute)
		if lines == nil {
			m.t.Fatalf("waited in vain for %s; got %q", line, got)
		}
		if got = append(got, lines...); slices.Contains(lines, line) {
			return got
		}
	}
}

// start builds an agent, has it changed, and runs it until the test ends or
// stop is called.
func start(t *testing.T, text string, change func(a *Agent)) (a *Agent, stop func()) {
	t.Helper()
	c, err := ParseConfig("edgespool.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err = Build(ctx, c, Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	change(a)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return a, stop
}

const managed = `
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: vibration, type: serial, port: %[2]s, sensors: [{name: accX, units: m/s2}], frequency: 100, window: 200ms}
  - {name: recordings, type: directory, path: %[1]s/in}
  - {name: lan, type: ingestion, api_key_file: %[1]s/key}
destinations:
  - {name: archive, type: dataset, path: %[1]s/dataset}
api: {listen: "127.0.0.1:0"}
`

// TestIdleAgentFeedsTheWatchdog: an agent with nothing to read and nothing to
// send tells the service manager that it runs, feeds its watchdog more than
// once, and says when it stops.
func TestIdleAgentFeedsTheWatchdog(t *testing.T) {
	_, port, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v; mount /dev/pts to run this test", err)
	}
	defer port.Close()
	dir := t.TempDir()
	writeFile(t, dir, "key", "lan\n")
	m := manage(t)
	a, stop := start(t, fmt.Sprintf(managed, dir, port.Name()), func(a *Agent) { a.pulse.every = 50 * time.Millisecond })

	if got := m.wants("READY=1"); len(got) != 2 || !strings.Contains(got[1], "sources: 3, destinations: 1, page: http://"+a.Address()) {
		t.Errorf("got %q first", got)
	}
	m.wants("WATCHDOG=1")
	if !testing.Short() {
		m.wants("WATCHDOG=1")
		if err := (face{a}).Healthy(); err != nil {
			t.Errorf("health: got %v", err)
		}
	}
	stop()
	m.wants("STOPPING=1")
}

// busy is a source that never rests, and keeps the spool from doing so.
type busy struct{ progress *sampler.Progress }

func (b busy) Run(ctx context.Context, sink sampler.Sink) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := uint64(1); ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		b.progress.Beat()
		rec := spool.Record{Dataset: "training", Name: fmt.Sprint(n), Source: "busy", Body: spool.Bytes([]byte("x"))}
		binary.LittleEndian.PutUint64(rec.Identity[:], n)
		receipt, err := sink.Append(ctx, rec)
		if err != nil {
			return err
		}
		if err := receipt.Wait(ctx); err != nil {
			return err
		}
	}
}

// TestHungPartStopsTheFeed: a source that hangs keeps the watchdog from being
// fed, however lively the others are, and the health names it.
func TestHungPartStopsTheFeed(t *testing.T) {
	m := manage(t)
	hung := deaf{make(chan struct{})}
	a, stop := start(t, fmt.Sprintf("spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}\n"+
		"sources: [{name: recordings, type: directory, path: %[1]s/in}]\napi: {listen: \"127.0.0.1:0\"}\n", t.TempDir()), func(a *Agent) {
		a.pulse.every, a.pulse.patience = 10*time.Millisecond, 2*time.Second
		setup := a.crew.sources[0].setup
		setup.Progress.Beat() // once, and never again
		a.crew.sources[0].room = hung
		setup.Progress = &sampler.Progress{}
		a.crew.sources = append(a.crew.sources, &source{name: "lively", room: busy{setup.Progress}, setup: setup, memory: a.spool})
	})
	defer stop()

	lines := m.wants("STATUS=no sign of life for 2s: source recordings")
	if fed := strings.Count(strings.Join(lines, "\n"), "WATCHDOG=1"); fed != 1 {
		t.Errorf("fed %d times, want once, for the beat before it hung: %q", fed, lines)
	}
	if code, text := healthOf(t, a); code != http.StatusServiceUnavailable || !strings.Contains(text, "source recordings") {
		t.Errorf("health: got %d %s", code, text)
	}
	close(hung.until) // it ends, and is no part any more
	m.wants("WATCHDOG=1")
	if code, text := healthOf(t, a); code != http.StatusOK {
		t.Errorf("health: got %d %s", code, text)
	}
}

func healthOf(t *testing.T, a *Agent) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.Address()+"/healthz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := new(http.Client).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
