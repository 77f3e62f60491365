package uploader

import (
	"sync"
	"sync/atomic"
	"time"
)

// The states of a destination.
const (
	StateIdle    = "idle"    // nothing to send
	StateSending = "sending" // a batch is under way
	StateWaiting = "waiting" // for the next try, or for its hours
	StatePaused  = "paused"  // the credentials are not accepted
)

// A Snapshot is a worker's progress at one instant. Counters start at zero
// with the worker.
type Snapshot struct {
	State string
	// NextTry is when a waiting or paused worker tries again; zero otherwise.
	NextTry time.Time
	// Error says why it waits or is paused; empty when all is well.
	Error string
	// Since is when the present outage began; zero without one.
	Since time.Time
	// BytesSent counts what went out, repeats and framing included.
	BytesSent                      int64
	Stored, AlreadyThere, Rejected uint64
	// Held is the number of records that the destination does not answer
	// for while it takes others; they are tried again by themselves.
	Held int
	// LastStored is when a record was last taken.
	LastStored time.Time
	// LastRejected says why the last rejected record was refused.
	LastRejected string
}

// progress is the snapshot and its lock.
type progress struct {
	beats atomic.Uint64
	mu    sync.Mutex
	s     Snapshot
}

func (p *progress) update(change func(s *Snapshot)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.s)
}

// Snapshot returns a copy of the worker's figures. It may be called
// concurrently with Run.
func (w *Worker) Snapshot() Snapshot {
	w.progress.mu.Lock()
	defer w.progress.mu.Unlock()
	s := w.progress.s
	if m, ok := w.o.Destination.(Metered); ok {
		s.BytesSent = m.BytesSent()
	}
	return s
}

// beatEvery is how often a worker that waits says that it is alive.
const beatEvery = 10 * time.Second

// Beats grows while the worker is alive: whenever its loop comes round, every
// 10 s while it waits, and with what a Metered destination sends. An answer may
// be minutes in coming, and does not count until then.
func (w *Worker) Beats() uint64 {
	beats := w.progress.beats.Load()
	if m, ok := w.o.Destination.(Metered); ok {
		beats += uint64(m.BytesSent())
	}
	return beats
}
