package sampler

import (
	"sync"
	"sync/atomic"
	"time"
)

// The states of a source.
const (
	StateRunning = "running" // taking samples
	StateWaiting = "waiting" // for its device, folder or room in the spool
	StateFailed  = "failed"  // gave up; only a change of configuration helps
	StatePaused  = "paused"  // switched off by an operator
)

// Progress is what a source says of itself to status pages. All methods may
// be called concurrently; the zero value is ready.
type Progress struct {
	beats atomic.Uint64
	mu    sync.Mutex
	s     Snapshot
}

// BeatEvery is how often a source that waits says that it is alive.
const BeatEvery = 10 * time.Second

// Beat says that the source is alive: its loop has come round, or a long piece
// of work has got on. A source that has nothing to read does so as well, every
// BeatEvery or sooner.
func (p *Progress) Beat() { p.beats.Add(1) }

// Beats counts the calls of Beat.
func (p *Progress) Beats() uint64 { return p.beats.Load() }

// A Snapshot is a source's progress at one instant.
type Snapshot struct {
	State      string
	Samples    uint64 // records handed to the spool, duplicates excluded
	Readings   uint64 // good readings (lines, frames)
	Rejected   uint64 // bad lines or files
	Duplicates uint64 // samples skipped because they are known
	Dropped    uint64 // readings that belonged to no complete window, or lost to a full spool
	LastSample time.Time
	LastBad    string            // the last bad line or file, shortened, with its fault
	Error      string            // why it waits or failed; empty when all is well
	Frequency  float64           // measured rate of readings in Hz; 0 when unknown
	Detail     map[string]uint64 // further counters of this kind of source
	// Detectors are those that judge its windows, in the configuration's order.
	Detectors []DetectorProgress
	// LastScore is what the last judged window got, at LastJudged; LastAnomaly
	// is when the last anomaly was kept.
	LastScore               float64
	LastJudged, LastAnomaly time.Time
}

// The states of a detector, as of the last window that it was asked about.
const (
	DetectorWaiting  = "waiting"  // no window has come yet
	DetectorLearning = "learning" // what is normal
	DetectorReady    = "ready"    // it judges
	DetectorRunning  = "running"  // so does its program
	DetectorFailing  = "failing"  // it has no answer, or its program has none
)

// A DetectorProgress is what is known of one detector since the start.
type DetectorProgress struct {
	Name, Type, State string
	Error             string // why it fails
	Judged            uint64 // windows
	Anomalies         uint64 // whose score is this detector's
	// Learned of WarmUp windows; both 0 for one that learns nothing.
	Learned, WarmUp int
}

// Update changes the figures under the lock.
func (p *Progress) Update(change func(s *Snapshot)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.s)
}

// Snapshot returns a copy of the figures.
func (p *Progress) Snapshot() Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.s
	s.Detail = make(map[string]uint64, len(p.s.Detail))
	for k, v := range p.s.Detail {
		s.Detail[k] = v
	}
	s.Detectors = append([]DetectorProgress(nil), p.s.Detectors...)
	return s
}
