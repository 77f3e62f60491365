package sampler

import (
	"math"
	"strconv"
	"time"
)

// A rate measures how often readings come: the slope of a line fitted to
// arrival times over the readings' numbers. Bursts and late wake-ups cancel
// out, and it needs only that readings are evenly spaced at their origin. The
// sums of stretches without a break are pooled; old ones fade.
type rate struct {
	n            float64 // readings in this stretch
	first, last  time.Duration
	pause        time.Duration // longest time between two of them
	meanT        float64       // seconds since first
	xx, xt       float64       // centred sums of this stretch
	oldXX, oldXT float64       // of former ones
	oldN         float64
	oldSpan      time.Duration
}

const (
	rateRows = 5                // readings that it takes to know a rate
	rateSpan = 2 * time.Second  // and the time they must span
	rateFade = 60 * time.Second // after so long,
	rateKeep = 32               // and so many readings, what was counts half
)

// add takes the arrival of the next reading.
func (r *rate) add(at time.Duration) {
	if r.n == 0 {
		r.first, r.last = at, at
	}
	r.pause = max(r.pause, at-r.last)
	r.last = at
	x, t := r.n, (at - r.first).Seconds()
	r.n++
	// Centred sums, updated (Welford): x has the mean (n-1)/2.
	before := t - r.meanT
	r.meanT += before / r.n
	r.xx += (x - (r.n-2)/2) * (x - (r.n-1)/2)
	r.xt += before * (x - (r.n-1)/2)
	if r.n >= rateKeep && r.last-r.first > rateFade {
		r.cut()
	}
}

// cut ends a stretch: the next reading does not follow on the last one.
func (r *rate) cut() {
	if r.n >= 2 && r.even() {
		r.oldXX, r.oldXT = r.oldXX+r.xx, r.oldXT+r.xt
		r.oldN += r.n
		r.oldSpan += r.last - r.first
	}
	if r.oldN >= rateKeep && r.oldSpan > rateFade {
		r.oldXX, r.oldXT, r.oldN, r.oldSpan = r.oldXX/2, r.oldXT/2, r.oldN/2, r.oldSpan/2
	}
	r.abandon()
}

// abandon forgets this stretch: something is missing in it.
func (r *rate) abandon() { r.n, r.pause, r.meanT, r.xx, r.xt = 0, 0, 0, 0, 0 }

// even tells whether no pause makes up most of this stretch: then the device
// stopped meanwhile, and the slope says nothing.
func (r *rate) even() bool { return r.n < 4 || r.pause <= (r.last-r.first)/3 }

// hz is the rate; false until it is known.
func (r *rate) hz() (float64, bool) {
	xx, xt, n, span := r.oldXX, r.oldXT, r.oldN, r.oldSpan
	if r.n >= 4 && r.even() {
		xx, xt, n, span = xx+r.xx, xt+r.xt, n+r.n, span+r.last-r.first
	}
	if n < rateRows || span < rateSpan || xt <= 0 {
		return 0, false
	}
	return xx / xt, true
}

// nominal is the rate that a measured one stands for: the roundest number of
// Hz, or of milliseconds between two readings, that is within 0.2 % of it, or
// else the rate itself to four digits. 62.47 Hz is 62.5 (16 ms).
func nominal(hz float64) float64 {
	for digits := 1; digits <= 3; digits++ {
		for _, candidate := range []float64{roundTo(hz, digits), 1000 / roundTo(1000/hz, digits)} {
			if math.Abs(candidate/hz-1) <= 0.002 {
				return candidate
			}
		}
	}
	return roundTo(hz, 4)
}

func roundTo(v float64, digits int) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	return r
}
