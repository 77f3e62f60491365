package sampler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bench is a window in a test: 10 readings a second, numbered from 0.
type bench struct {
	w    *Window
	t    *testing.T
	next float64
	at   time.Duration
	got  []string // what came out, as first-last
	out  []Stretch
}

func newBench(t *testing.T, c ReadingConfig) *bench {
	b := &bench{t: t, w: NewWindow(c), at: time.Hour}
	b.w.SetRate(10, 0)
	return b
}

// read adds n readings at the pace given.
func (b *bench) read(n int, pace time.Duration) {
	for range n {
		b.at += pace
		b.w.Add([]float64{b.next, -b.next}, b.at)
		b.next++
		b.take()
	}
}

func (b *bench) end() {
	b.w.End()
	b.take()
}

func (b *bench) take() {
	b.t.Helper()
	for s, ok := b.w.Take(); ok; s, ok = b.w.Take() {
		if len(s.Values) != 2*s.Rows {
			b.t.Errorf("%d values for %d rows", len(s.Values), s.Rows)
		}
		for i := range s.Rows {
			if s.Values[2*i] != s.Values[0]+float64(i) || s.Values[2*i+1] != -s.Values[2*i] {
				b.t.Errorf("row %d of the stretch from %v is %v", i, s.Values[0], s.Values[2*i:2*i+2])
			}
		}
		b.got = append(b.got, fmt.Sprintf("%v-%v", s.Values[0], s.Values[2*(s.Rows-1)]))
		s.Values = slices.Clone(s.Values)
		b.out = append(b.out, s)
	}
}

const tick = 100 * time.Millisecond // between two readings on the bench

func TestWindow(t *testing.T) {
	second := ReadingConfig{Window: time.Second}
	tests := []struct {
		what             string
		config           ReadingConfig
		play             func(b *bench)
		want             string
		dropped, skipped uint64
	}{
		{"full windows", second, func(b *bench) { b.read(25, tick) }, "0-9 10-19", 0, 0},
		{"a part that is long enough", second, func(b *bench) { b.read(15, tick); b.end(); b.read(10, tick) }, "0-9 10-14 15-24", 0, 0},
		{"a part that is too short", second, func(b *bench) { b.read(14, tick); b.end(); b.read(10, tick) }, "0-9 14-23", 4, 0},
		{"min_window", ReadingConfig{Window: time.Second, MinWindow: 200 * time.Millisecond}, func(b *bench) { b.read(2, tick); b.end(); b.read(1, tick); b.end() }, "0-1", 1, 0},
		{"stride below the window", ReadingConfig{Window: time.Second, Stride: 300 * time.Millisecond}, func(b *bench) { b.read(17, tick) }, "0-9 3-12 6-15", 0, 0},
		{"a part of an overlap", ReadingConfig{Window: time.Second, Stride: 500 * time.Millisecond}, func(b *bench) { b.read(12, tick); b.end() }, "0-9 5-11", 0, 0},
		{"an overlap without anything new", ReadingConfig{Window: time.Second, Stride: 500 * time.Millisecond}, func(b *bench) { b.read(10, tick); b.end() }, "0-9", 0, 0},
		{"an overlap that is too short", ReadingConfig{Window: time.Second, Stride: 700 * time.Millisecond}, func(b *bench) { b.read(11, tick); b.end() }, "0-9", 1, 0},
		{"stride above the window", ReadingConfig{Window: time.Second, Stride: 2 * time.Second}, func(b *bench) { b.read(40, tick) }, "0-9 20-29", 0, 20},
		{"every", ReadingConfig{Window: time.Second, Every: 3 * time.Second}, func(b *bench) { b.read(40, tick) }, "0-9 30-39", 0, 20},
		{"every, after a bad line", ReadingConfig{Window: time.Second, Every: 3 * time.Second}, func(b *bench) { b.read(2, tick); b.end(); b.read(11, tick) }, "2-11", 2, 1},
		{"a gap", second, func(b *bench) { b.read(6, tick); b.read(1, 2*time.Second); b.read(19, tick) }, "0-5 6-15 16-25", 0, 0},
		{"a gap, too short before it", second, func(b *bench) { b.read(3, tick); b.read(1, 2*time.Second); b.read(9, tick) }, "3-12", 3, 0},
		{"two gaps", second, func(b *bench) {
			b.read(6, tick)
			b.read(1, time.Second)
			b.read(4, tick)
			b.read(1, time.Second)
			b.read(5, tick)
			b.end()
		}, "0-5 6-10 11-16", 0, 0},
		{"a gap and then the end", second, func(b *bench) { b.read(5, tick); b.read(1, time.Second); b.read(4, tick); b.end() }, "0-4 5-9", 0, 0},
		{"late, and caught up", second, func(b *bench) { b.read(3, tick); b.read(1, 600*time.Millisecond); b.read(5, 0); b.read(11, tick) }, "0-9 10-19", 0, 0},
		{"bursts", second, func(b *bench) {
			for range 4 {
				b.read(1, 500*time.Millisecond)
				b.read(4, 0)
			}
		}, "0-9 10-19", 0, 0},
		{"jitter", second, func(b *bench) {
			for range 10 {
				b.read(1, 230*time.Millisecond)
				b.read(1, 0)
			}
		}, "0-9 10-19", 0, 0},
		{"a gap of its own length", ReadingConfig{Window: time.Second, Gap: 5 * time.Second}, func(b *bench) { b.read(6, tick); b.read(1, 4*time.Second); b.read(3, tick) }, "0-9", 0, 0},
		{"silence", second, func(b *bench) {
			b.read(6, tick)
			b.w.Idle(b.at + time.Second)
			b.take()
			b.got = append(b.got, "|")
			b.w.Idle(b.at + 2*time.Second)
			b.take()
		}, "| 0-5", 0, 0},
	}
	for _, tt := range tests {
		b := newBench(t, tt.config)
		tt.play(b)
		if got := strings.Join(b.got, " "); got != tt.want || b.w.dropped != tt.dropped || b.w.skipped != tt.skipped {
			t.Errorf("%s: got %q, %d dropped, %d skipped; want %q, %d, %d", tt.what, got, b.w.dropped, b.w.skipped, tt.want, tt.dropped, tt.skipped)
		}
	}
}

func TestWindowKeepsInstantsApart(t *testing.T) {
	b := newBench(t, ReadingConfig{Window: 100 * time.Millisecond})
	b.read(20, 0)
	for i := 1; i < len(b.out); i++ {
		if b.out[i].Start <= b.out[i-1].Start {
			t.Fatalf("windows %d and %d begin at %v and %v", i-1, i, b.out[i-1].Start, b.out[i].Start)
		}
	}
}

func TestWindowWaitsForTheRate(t *testing.T) {
	b := &bench{t: t, w: NewWindow(ReadingConfig{Window: time.Second}), at: time.Hour}
	b.read(25, tick)
	if len(b.got) != 0 {
		t.Fatalf("windows of unknown length: %v", b.got)
	}
	b.w.SetRate(10, 10)
	b.read(8, tick)
	if got := strings.Join(b.got, " "); got != "0-9 10-19 20-29" {
		t.Errorf("once the rate is known: got %s", got)
	}
}

// TestWindowLosesNothing: whatever happens, every reading ends in a stretch,
// is counted, or still waits; stretches are consecutive and of fitting length.
func TestWindowLosesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := ReadingConfig{Window: time.Duration(rapid.IntRange(1, 20).Draw(r, "window")) * tick}
		c.Stride = time.Duration(rapid.IntRange(0, 30).Draw(r, "stride")) * tick
		c.MinWindow = min(time.Duration(rapid.IntRange(0, 10).Draw(r, "min"))*tick, c.Window)
		b := newBench(t, c)
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0:
				b.end()
			case 1:
				b.read(1, time.Duration(rapid.IntRange(1, 40).Draw(r, "late"))*tick)
			case 2:
				b.read(rapid.IntRange(1, 9).Draw(r, "burst"), 0)
			default:
				b.read(rapid.IntRange(1, 12).Draw(r, "readings"), tick)
			}
		}
		b.end()
		covered := map[float64]bool{}
		for _, s := range b.out {
			if s.Rows > b.w.rows(c.Window) || s.Rows < min(b.w.rows(b.w.least), b.w.rows(c.Window)) {
				r.Fatalf("a stretch of %d rows", s.Rows)
			}
			for i := range s.Rows {
				covered[s.Values[2*i]] = true
			}
		}
		if total := uint64(len(covered)) + b.w.dropped + b.w.skipped; total != uint64(b.next) {
			r.Fatalf("%v readings: %d in stretches, %d dropped, %d skipped", b.next, len(covered), b.w.dropped, b.w.skipped)
		}
	})
}

func TestWindowAllocatesNothing(t *testing.T) {
	w := NewWindow(ReadingConfig{Window: time.Second, Stride: 500 * time.Millisecond})
	w.SetRate(10, 0)
	values, at := []float64{1, 2, 3}, time.Hour
	add := func() {
		at += tick
		w.Add(values, at)
		for _, ok := w.Take(); ok; _, ok = w.Take() {
		}
	}
	for range 100 {
		add()
	}
	if n := testing.AllocsPerRun(1000, add); n != 0 {
		t.Errorf("%v allocations for one reading", n)
	}
}
