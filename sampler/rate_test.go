package sampler

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// fed is a rate that has seen n readings at hz, each at the time at gives it.
func fed(n int, hz float64, at func(i int, t time.Duration) time.Duration) *rate {
	r := &rate{}
	for i := range n {
		r.add(at(i, 1000*time.Hour+time.Duration(float64(i)*1e9/hz)))
	}
	return r
}

func TestRateMeasures(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	exact := func(_ int, t time.Duration) time.Duration { return t }
	coalesced := func(_ int, t time.Duration) time.Duration {
		return t.Truncate(10*time.Millisecond) + 10*time.Millisecond
	}
	jitter := func(_ int, t time.Duration) time.Duration {
		return t + time.Duration(random.IntN(int(8*time.Millisecond)))
	}
	bursts := func(_ int, t time.Duration) time.Duration {
		return t.Truncate(500*time.Millisecond) + 500*time.Millisecond
	}
	tests := []struct {
		what string
		n    int
		hz   float64
		at   func(int, time.Duration) time.Duration
		off  float64 // relative
	}{
		{"exact", 200, 62.5, exact, 1e-6},
		{"coalesced", 200, 62.5, coalesced, 0.003},
		{"jitter", 1000, 100, jitter, 0.001},
		{"bursts", 1000, 100, bursts, 0.02},
		{"long", 100_000, 99.7, coalesced, 1e-4},
		{"slow", 5, 0.1, exact, 1e-6},
		{"slower", 8, 1.0 / 3600, exact, 1e-6},
		{"fast", 9000, 4000, coalesced, 0.01},
	}
	for _, tt := range tests {
		hz, ok := fed(tt.n, tt.hz, tt.at).hz()
		if !ok || math.Abs(hz/tt.hz-1) > tt.off {
			t.Errorf("%s: got %v Hz (%v), want %v within %v", tt.what, hz, ok, tt.hz, tt.off)
		}
	}
}

func TestRateWaitsUntilItKnows(t *testing.T) {
	exact := func(_ int, t time.Duration) time.Duration { return t }
	if hz, ok := fed(100, 100, exact).hz(); ok {
		t.Errorf("after 1 s: got %v, want nothing yet", hz)
	}
	if hz, ok := fed(4, 1, exact).hz(); ok {
		t.Errorf("after 4 readings: got %v, want nothing yet", hz)
	}
	pause := func(i int, t time.Duration) time.Duration {
		if i >= 50 {
			t += 5 * time.Second
		}
		return t
	}
	if hz, ok := fed(100, 100, pause).hz(); ok {
		t.Errorf("with a pause of 5 s in 6: got %v, want nothing yet", hz)
	}
}

// TestRatePools: noise cuts the stream every half second, and the rate is
// known all the same.
func TestRatePools(t *testing.T) {
	r := &rate{}
	for i := range 1000 {
		if i%50 == 0 {
			r.cut()
		}
		r.add(time.Duration(i)*10*time.Millisecond + time.Duration(i/50)*300*time.Millisecond)
	}
	if hz, ok := r.hz(); !ok || math.Abs(hz/100-1) > 1e-6 {
		t.Errorf("got %v (%v), want 100 Hz", hz, ok)
	}
}

func TestRateFollowsAChange(t *testing.T) {
	r := fed(6000, 100, func(_ int, t time.Duration) time.Duration { return t })
	r.cut()
	for i := range 200 * 600 {
		r.add(2000*time.Hour + time.Duration(i)*5*time.Millisecond)
	}
	if hz, _ := r.hz(); math.Abs(hz/200-1) > 0.01 {
		t.Errorf("after ten minutes at 200 Hz: got %v", hz)
	}
}

func TestNominal(t *testing.T) {
	for _, tt := range []struct{ measured, want float64 }{
		{62.47, 62.5}, {99.9, 100}, {100.1, 100}, {98.7, 98.7}, {59.03, 59}, {103.9, 104}, {0.1, 0.1}, {49.99, 50},
		{1.0 / 3600, 1.0 / 3600}, {16001, 16000}, {3.3333, 1000.0 / 300}, {119.1, 119}, {66.6, 1000.0 / 15},
	} {
		if got := nominal(tt.measured); math.Abs(got/tt.want-1) > 5e-4 {
			t.Errorf("%v Hz: got %v, want %v", tt.measured, got, tt.want)
		}
	}
}
