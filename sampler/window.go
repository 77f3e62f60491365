package sampler

import (
	"math"
	"time"
)

// A Window collects consecutive readings until they make a sample. It must
// not be used concurrently.
//
// A reading that comes late may mean that others are missing, or only that
// somebody was slow to hand them on. In the second case the late ones catch up;
// so judgement waits until they do, until it is clear that they do not, or
// until the sample is due.
type Window struct {
	length, stride, least time.Duration
	every, gap            time.Duration

	axes     int
	interval time.Duration // between readings; 0 while it is not known
	rowGap   time.Duration // between readings when judging gaps

	values   []float64       // readings one after the other, axes each
	arrivals []time.Duration // of each reading, on the boot clock
	last     time.Duration   // of the newest arrival
	suspect  int             // the reading that came late; 0 is none

	ready [2]span // finished stretches of values, oldest first
	made  int     // how many there are
	taken int     // how many of them were handed out
	used  int     // readings at the front that a finished stretch has
	spent int     // readings at the front that are not needed any more
	skip  int     // readings to leave out until the next stride begins
	after time.Duration

	dropped, skipped uint64
}

// span are the readings from one index to before another.
type span struct{ from, to int }

// A Stretch is what makes one sample. Its slice holds until the Window is
// used again.
type Stretch struct {
	Values   []float64     // readings one after the other
	Start    time.Duration // arrival of the first one, on the boot clock
	Interval time.Duration // between two readings
	Rows     int
}

// NewWindow makes a window of the lengths that c gives, which must be valid.
func NewWindow(c ReadingConfig) *Window {
	w := &Window{length: c.Window, stride: c.Stride, least: c.MinWindow, every: c.Every, gap: c.Gap}
	if w.stride == 0 {
		w.stride = w.length
	}
	if w.least == 0 {
		w.least = w.length / 2
	}
	return w
}

// SetRate says how often readings come: hz as samples are to say it, and
// measured (0 if it is not known) for judging what is late.
func (w *Window) SetRate(hz, measured float64) {
	w.interval = time.Duration(math.Round(1e9 / hz))
	w.rowGap = w.interval
	if measured > 0 {
		w.rowGap = time.Duration(1e9 / measured)
	}
}

// Add takes the next reading, which arrived when the boot clock stood at at.
// All readings up to End have the same number of values. It tells whether
// readings turned out to be missing.
func (w *Window) Add(values []float64, at time.Duration) (gap bool) {
	w.settle()
	// Readings of one burst arrive together; their instants stay apart, or
	// equal windows of a machine at rest would be taken for one.
	at = max(at, w.last+1)
	jump := w.last > 0 && w.rowGap > 0 && at-w.last > w.late()
	w.last = at
	if w.skip > 0 || len(w.arrivals) == 0 && at < w.after {
		w.skip = max(w.skip-1, 0)
		w.skipped++
		return jump
	}
	w.axes = len(values)
	w.values = append(w.values, values...)
	w.arrivals = append(w.arrivals, at)
	if len(w.arrivals) == 1 {
		return w.cut() || jump // what is missing is missing between windows
	}
	return w.judge(at, jump) || w.cut()
}

// judge looks for a gap before the newest reading, which comes late if jump
// says so, or at an earlier suspect.
// It tells whether it has ended a stretch at one.
func (w *Window) judge(at time.Duration, jump bool) bool {
	n, late := len(w.arrivals)-1, w.late()
	switch first := w.suspect; {
	case first > 0 && at-w.arrivals[first-1] <= time.Duration(n-first+1)*w.rowGap+late/2:
		w.suspect = 0 // caught up
	case first > 0 && (jump || at-w.arrivals[first] > max(time.Second, late)):
		w.end(0, first)
		w.suspect = 0
		if jump {
			w.suspect = n
		}
		return true
	case jump:
		w.suspect = n
	}
	return false
}

// late is how long after the last one a reading must come to be late.
func (w *Window) late() time.Duration {
	if w.gap > 0 {
		return w.gap
	}
	return max(w.rowGap*5/2, 250*time.Millisecond)
}

// cut finishes a stretch that is long enough. It tells whether a gap was left
// in it, which ends it there.
func (w *Window) cut() bool {
	if w.interval == 0 {
		if len(w.values) >= maxValues {
			w.end(0, len(w.arrivals)) // so many readings, and still no rate
		}
		return false
	}
	rows := w.rows(w.length)
	if len(w.arrivals) < rows {
		return false
	}
	if w.suspect > 0 { // has had its time to catch up
		w.end(0, w.suspect)
		w.suspect = 0
		return true
	}
	w.finish(span{0, rows})
	stride := w.rows(w.stride)
	w.used, w.spent = rows, min(stride, len(w.arrivals))
	w.skip = stride - w.spent
	w.skipped += uint64(max(w.spent-w.used, 0))
	return false
}

func (w *Window) finish(s span) {
	w.ready[w.made] = s
	w.made++
	if w.every > 0 {
		w.after = w.arrivals[s.from] + w.every
	}
}

// rows is how many readings make d, at least one.
func (w *Window) rows(d time.Duration) int {
	return max(1, int((d+w.interval/2)/w.interval))
}

// end finishes the readings of a span as they are, if they are enough, and
// forgets all up to there.
func (w *Window) end(from, to int) {
	fresh := to - max(w.used, from)
	switch {
	case fresh <= 0:
	case w.interval > 0 && to-from >= w.rows(w.least):
		w.finish(span{from, to})
	default:
		w.dropped += uint64(fresh)
	}
	w.used, w.spent, w.skip = to, to, 0
}

// End says that the next reading does not follow on the last one.
func (w *Window) End() {
	w.settle()
	if first := w.suspect; first > 0 {
		w.end(0, first)
		w.suspect = 0
		w.end(first, len(w.arrivals))
		return
	}
	w.end(0, len(w.arrivals))
}

// Idle says what time it is while no readings come, so that a stretch does
// not wait for the next one to be ended.
func (w *Window) Idle(now time.Duration) {
	if n := len(w.arrivals); n > 0 && w.rowGap > 0 && now-w.arrivals[n-1] > w.late()+time.Second {
		w.End()
	}
}

// Take hands out the next finished stretch, oldest first.
func (w *Window) Take() (s Stretch, ok bool) {
	if w.taken == w.made {
		return s, false
	}
	r := w.ready[w.taken]
	w.taken++
	return Stretch{
		Values: w.values[r.from*w.axes : r.to*w.axes], Start: w.arrivals[r.from],
		Interval: w.interval, Rows: r.to - r.from,
	}, true
}

// settle forgets the readings at the front that are not needed any more.
func (w *Window) settle() {
	w.made, w.taken = 0, 0
	if w.spent == 0 {
		return
	}
	w.values = w.values[:copy(w.values, w.values[w.spent*w.axes:])]
	w.arrivals = w.arrivals[:copy(w.arrivals, w.arrivals[w.spent:])]
	w.used = max(w.used-w.spent, 0)
	w.suspect = max(w.suspect-w.spent, 0)
	w.spent = 0
}
