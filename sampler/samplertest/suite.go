package samplertest

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// Setup is what a source in a test is given.
func Setup(name string, log *slog.Logger) sampler.Setup {
	return sampler.Setup{
		Name: name, Device: sampler.Device{Name: "02:00:00:00:00:01", Type: "TEST_BOARD"},
		Labelling: sampler.NewLabelling(sampler.Choice{Label: "idle", Category: "training"}),
		Progress:  &sampler.Progress{}, Log: log, Metadata: map[string]string{"site": "bench"},
		Memory: memory{}, Clock: sampler.NewClock(), Tap: &sampler.Tap{},
	}
}

// memory is a Memory that never knew anything.
type memory struct{}

func (memory) Remember(string, [16]byte) error              { return nil }
func (memory) Remembered(string, [16]byte) bool             { return false }
func (memory) Retain(string, func(key [16]byte) bool) error { return nil }

// A Subject is a source under test.
type Subject struct {
	Source sampler.Source
	// Ready, if there is one, is called while the source runs, before the
	// first sample is made.
	Ready func(t *testing.T)
	// Make causes one more sample, unlike all before, while the source runs.
	Make func(t *testing.T)
}

// Run puts a source through what all sources must do. make is called for each
// test; it builds the source with the setup given.
func Run(t *testing.T, log *slog.Logger, build func(t *testing.T, s sampler.Setup) Subject) {
	start := func(t *testing.T) (*running, *Sink) {
		setup, sink := Setup("subject", log), NewSink()
		return startSubject(t, build(t, setup), setup, sink), sink
	}
	t.Run("whole records", func(t *testing.T) {
		r, sink := start(t)
		r.subject.Make(t)
		r.subject.Make(t)
		for _, rec := range sink.Await(t, 2) {
			checkRecord(t, rec, r.setup)
		}
		r.stop(t)
		if n := r.setup.Progress.Snapshot().Samples; int(n) != len(sink.Records()) {
			t.Errorf("progress says %d samples, the sink has %d", n, len(sink.Records()))
		}
	})
	t.Run("full spool", func(t *testing.T) {
		r, sink := start(t)
		sink.Refuse(spool.ErrFull)
		r.subject.Make(t)
		AwaitProgress(t, "the source to wait for room", r.setup.Progress, func(s sampler.Snapshot) bool {
			return s.State == sampler.StateWaiting && s.Error != ""
		})
		sink.Refuse(nil)
		r.subject.Make(t)
		sink.Await(t, 1)
		AwaitProgress(t, "the source to run again", r.setup.Progress, func(s sampler.Snapshot) bool {
			return s.State == sampler.StateRunning && s.Error == ""
		})
		r.stop(t)
	})
	t.Run("stop at once", func(t *testing.T) {
		setup := Setup("subject", log)
		subject := build(t, setup)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := subject.Source.Run(ctx, NewSink()); err != nil {
			t.Errorf("Run with an ended context: got %v, want nil", err)
		}
	})
	t.Run("no goroutine stays", func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		r, sink := start(t)
		r.subject.Make(t)
		sink.Await(t, 1)
		r.stop(t)
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
	})
}

// running is a source that runs.
type running struct {
	subject Subject
	setup   sampler.Setup
	cancel  context.CancelFunc
	done    chan error
}

func startSubject(t *testing.T, subject Subject, setup sampler.Setup, sink *Sink) *running {
	t.Helper()
	r := &running{subject: subject, setup: setup, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.done <- subject.Source.Run(ctx, sink)
	}()
	t.Cleanup(func() { r.stop(t) })
	if subject.Ready != nil {
		subject.Ready(t)
	}
	return r
}

// stop ends the source and waits for it.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run: got %v, want nil once its context has ended", err)
	}
}

// Start runs a source until the test ends, or until stop is called, which
// waits for it.
func Start(t *testing.T, source sampler.Source, setup sampler.Setup, sink *Sink) (stop func()) {
	t.Helper()
	r := startSubject(t, Subject{Source: source}, setup, sink)
	return func() { t.Helper(); r.stop(t) }
}

// checkRecord looks for what every record must have.
func checkRecord(t *testing.T, rec spool.Record, s sampler.Setup) {
	t.Helper()
	body := Body(t, rec)
	if sum := sha256.Sum256(body); rec.SHA256 != sum || rec.Size != int64(len(body)) {
		t.Errorf("hash or size of %s is not its body's", rec.Name)
	}
	if rec.Identity == ([32]byte{}) || rec.Kind == spool.KindFile && rec.Identity != rec.SHA256 {
		t.Errorf("identity of %s is not what its kind asks for", rec.Name)
	}
	if rec.Kind != spool.KindFile && rec.Kind != spool.KindWindow {
		t.Errorf("kind of %s: got %d", rec.Name, rec.Kind)
	}
	if rec.Name == "" || rec.ContentType == "" || !sampler.IsCategory(rec.Dataset) {
		t.Errorf("record is called %q, of type %q, for dataset %q", rec.Name, rec.ContentType, rec.Dataset)
	}
	if rec.Source != s.Name || rec.DeviceName != s.Device.Name || rec.DeviceType != s.Device.Type {
		t.Errorf("record comes from %q, device %q of type %q; want %q, %+v", rec.Source, rec.DeviceName, rec.DeviceType, s.Name, s.Device)
	}
	for k, v := range s.Metadata {
		if rec.Metadata[k] != v {
			t.Errorf("metadata %s: got %q, want %q", k, rec.Metadata[k], v)
		}
	}
	if rec.Time.Boot == ([16]byte{}) || rec.Time.Since <= 0 || rec.Time.Wall == 0 {
		t.Errorf("record has no time: %+v", rec.Time)
	}
	if f, err := rec.Body.Open(); err != nil {
		t.Errorf("body cannot be opened twice: %v", err)
	} else if b, err := io.ReadAll(f); err != nil || len(b) != len(body) {
		t.Errorf("body reads differently the second time: %d bytes, %v", len(b), err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
}
