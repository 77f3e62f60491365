package directory

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// A shelf is a sink and a memory that counts what it is given.
type shelf struct {
	*samplertest.Sink
	mu       sync.Mutex
	memory   map[[16]byte]bool
	calls    int    // of Append
	repeats  int    // records that were appended again
	tooLarge string // name of a record that fails with ErrTooLarge
}

func newShelf() *shelf {
	return &shelf{Sink: samplertest.NewSink(), memory: make(map[[16]byte]bool)}
}

func (s *shelf) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	for _, r := range recs {
		if r.Name == s.tooLarge {
			return spool.Receipt{}, spool.ErrTooLarge
		}
	}
	receipt, err := s.Sink.Append(ctx, recs...)
	for _, r := range receipt.Results {
		if r.Duplicate {
			s.repeats++
		}
	}
	return receipt, err
}

func (s *shelf) Remember(_ string, key [16]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory[key] = true
	return nil
}

func (s *shelf) Remembered(_ string, key [16]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory[key]
}

func (s *shelf) Retain(_ string, keep func(key [16]byte) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.memory {
		if !keep(key) {
			delete(s.memory, key)
		}
	}
	return nil
}

// record finds the record of this name.
func (s *shelf) record(t *testing.T, name string) spool.Record {
	t.Helper()
	for _, r := range s.Records() {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no record %q", name)
	return spool.Record{}
}

// names are the names of all records, sorted.
func (s *shelf) names() []string {
	var names []string
	for _, r := range s.Records() {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// A bench is a source at work on a folder of its own.
type bench struct {
	*shelf
	t        *testing.T
	dir      string
	progress *sampler.Progress
	labels   *sampler.Labelling
	log      *logged
	watcher  func() (*fsnotify.Watcher, error) // nil: the usual one
	stop     func()
}

// logged keeps what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// quick is the default configuration for dir, impatient.
func quick(dir string) Config {
	c := DefaultConfig()
	c.Path, c.Settle = dir, 100*time.Millisecond
	return c
}

// prepare makes a bench whose source is not running yet.
func prepare(t *testing.T) *bench { return prepareIn(t, t.TempDir()) }

func prepareIn(t *testing.T, dir string) *bench {
	b := &bench{shelf: newShelf(), t: t, dir: dir, progress: new(sampler.Progress),
		labels: sampler.NewLabelling(sampler.Choice{}), log: new(logged)}
	b.stop = func() {}
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("log:\n%s\nprogress: %+v", b.log.text.String(), b.progress.Snapshot())
		}
	})
	return b
}

// run starts the source; b.stop stops it.
func (b *bench) run(c Config) {
	b.runInto(c, b.shelf, b.shelf)
}

func (b *bench) runInto(c Config, sink sampler.Sink, memory sampler.Memory) {
	b.t.Helper()
	b.stop()
	source, err := New(sampler.Setup{
		Name: "recordings", Device: sampler.Device{Name: "aa:bb", Type: "TEST"}, Labelling: b.labels, Progress: b.progress,
		Log: testLog(b), Metadata: map[string]string{"site": "plant-4"},
		Memory: memory, Clock: sampler.NewClock(),
	}, c)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.watcher != nil {
		source.watcher = b.watcher
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx, sink) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
		b.stop = func() {}
	}
}

// write puts a file into the watched folder, making folders as needed.
func (b *bench) write(rel, text string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, filepath.FromSlash(rel))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// until waits for what the bench must show some time.
func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	samplertest.Until(b.t, what, holds, nil)
}

// untilNames waits for exactly these records.
func (b *bench) untilNames(want ...string) {
	b.t.Helper()
	slices.Sort(want)
	b.until("the records are "+strings.Join(want, " "), func() bool { return slices.Equal(b.names(), want) })
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// csv is a table that differs by n.
func csv(n string) string { return "timestamp,x\n0," + n + "\n10,2\n" }

func testLog(b *bench) *slog.Logger { return slog.New(slog.NewTextHandler(b.log, nil)) }
