package sampler

import (
	"encoding/binary"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// A judged window is a record and how many readings it has.
type judgedWindow struct {
	rec  spool.Record
	rows int
}

func (w *judgedWindow) start() time.Duration { return w.rec.Time.Since }
func (w *judgedWindow) end() time.Duration   { return w.rec.Time.Since + w.rec.Length }

const (
	maxHeld      = 4096    // windows held back for an anomaly that may follow
	maxHeldBytes = 8 << 20 // and their bytes
)

// A sorter decides which windows are kept: every anomaly, what is around one,
// and one in so many of the rest. It holds windows back as long as an anomaly
// may follow that wants them.
type sorter struct {
	plan      Judging
	held      []judgedWindow
	heldBytes int64
	until     time.Duration // windows that begin by then are kept
}

// sorted is what a window leads to.
type sorted struct {
	keep    []judgedWindow // besides an anomaly itself
	around  int            // how many of them are kept for an anomaly's sake
	dropped int
}

// anomaly releases what was held back before the anomaly.
func (s *sorter) anomaly(w judgedWindow) (out sorted) {
	for _, h := range s.held {
		if h.end() >= w.start()-s.plan.Before {
			out.keep = append(out.keep, h)
		} else {
			out.dropped++
		}
	}
	out.around = len(out.keep)
	s.held, s.heldBytes = nil, 0
	s.until = max(s.until, w.end()+s.plan.After)
	return out
}

// normal takes a window that is no anomaly.
func (s *sorter) normal(w judgedWindow) (out sorted) {
	out.dropped = s.forget(w.start() - s.plan.Before)
	switch {
	case s.chosen(w):
		out.keep = []judgedWindow{w}
	case s.plan.After > 0 && w.start() <= s.until:
		out.keep, out.around = []judgedWindow{w}, 1
	case s.plan.Before > 0:
		s.held, s.heldBytes = append(s.held, w), s.heldBytes+w.rec.Size
		for len(s.held) > maxHeld || s.heldBytes > maxHeldBytes {
			s.shift()
			out.dropped++
		}
	default:
		out.dropped++
	}
	return out
}

// chosen tells whether a window is one of those that stand for the rest. Its
// identity decides, so that the choice follows no rhythm of the machine.
func (s *sorter) chosen(w judgedWindow) bool {
	return s.plan.KeepOneIn <= 1 || binary.BigEndian.Uint64(w.rec.Identity[:8])%s.plan.KeepOneIn == 0
}

// forget drops the held windows that end before an instant.
func (s *sorter) forget(before time.Duration) (n int) {
	for len(s.held) > 0 && s.held[0].end() < before {
		s.shift()
		n++
	}
	return n
}

func (s *sorter) shift() {
	s.heldBytes -= s.held[0].rec.Size
	s.held[0] = judgedWindow{}
	s.held = s.held[1:]
}
