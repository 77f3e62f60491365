package sampler

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edgespool/edgespool/spool"
)

// A Tap lets people look at what a source collects while it does. Nobody
// looking costs one atomic load; a slow onlooker misses readings and delays
// nothing. Methods may be called concurrently and on a nil Tap.
type Tap struct {
	watched   atomic.Bool
	mu        sync.Mutex
	onlookers []chan Sight
}

// A Sight is one thing seen at a Tap: a reading, or a sample if Sample is set.
type Sight struct {
	// Sensors and Values are a reading's, in the same order.
	Sensors []string
	Values  []float64
	// Sample is what the spool was given, without its bytes.
	Sample *spool.Record
	// Result is what the spool made of the sample.
	Result spool.Result
}

const (
	maxOnlookers = 8   // at one Tap
	sightsAhead  = 256 // that an onlooker may be behind
)

// Watch returns what is seen from now on, until stop is called. There is
// place for a few onlookers only; ok is false when it is taken.
func (t *Tap) Watch() (sights <-chan Sight, stop func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.onlookers) >= maxOnlookers {
		return nil, nil, false
	}
	c := make(chan Sight, sightsAhead)
	t.onlookers = append(t.onlookers, c)
	t.watched.Store(true)
	return c, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.onlookers = slices.DeleteFunc(t.onlookers, func(o chan Sight) bool { return o == c })
		t.watched.Store(len(t.onlookers) > 0)
	}, true
}

// Reading shows one reading. The values are copied only if somebody looks.
func (t *Tap) Reading(sensors []string, values []float64) {
	if t == nil || !t.watched.Load() {
		return
	}
	t.show(Sight{Sensors: sensors, Values: slices.Clone(values)})
}

// Sample shows a record and what became of it.
func (t *Tap) Sample(rec spool.Record, result spool.Result) {
	if t == nil || !t.watched.Load() {
		return
	}
	rec.Body = nil
	t.show(Sight{Sample: &rec, Result: result})
}

func (t *Tap) show(s Sight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.onlookers {
		select {
		case o <- s:
		default:
		}
	}
}
