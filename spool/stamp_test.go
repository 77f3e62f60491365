package spool

import (
	"sync"
	"testing"
	"time"
)

var (
	bootOne = [16]byte{1}
	bootTwo = [16]byte{2}
	in2026  = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
)

// at is an instant of a boot whose wall clock nothing vouches for.
func at(boot [16]byte, since time.Duration) Instant { return Instant{Boot: boot, Since: since} }

// vouched is an instant whose wall clock is said to be right.
func vouched(boot [16]byte, since time.Duration, wall time.Time) Instant {
	return Instant{Boot: boot, Since: since, Wall: wall.UnixNano(), State: ClockSynchronised}
}

// TestTimeGoesOnAfterABadFuture: one hour under a clock that was vouched for
// and 73 years ahead. created_at must not go back then, and not stand still.
func TestTimeGoesOnAfterABadFuture(t *testing.T) {
	var o ownTime
	o.stamp(vouched(bootOne, time.Hour, in2026))
	ahead := o.stamp(vouched(bootOne, 2*time.Hour, time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)))
	last := ahead
	for hour := range 48 {
		since := time.Duration(3+hour) * time.Hour
		got := o.stamp(vouched(bootOne, since, in2026.Add(since)))
		if want := last + int64(30*time.Minute); got != want {
			t.Fatalf("an hour later: %v, want half an hour more than %v", time.Unix(0, got), time.Unix(0, last))
		}
		last = got
	}
	if got := o.stamp(at(bootOne, 51*time.Hour)); got != last+int64(time.Hour) {
		t.Errorf("without a vouched clock: %v, want an hour more than %v", time.Unix(0, got), time.Unix(0, last))
	}
	if want := int64(51 * time.Hour); o.age != want {
		t.Errorf("age is %v, want the %v that went by", time.Duration(o.age), time.Duration(want))
	}
	if got := o.stamp(vouched(bootOne, 52*time.Hour, time.Unix(1<<33, 0))); got != last+int64(2*time.Hour) {
		t.Errorf("a clock in the year 2242 gives %v", time.Unix(0, got))
	}
}

// TestTimeOfWindows: windows of two sources, of 2 and of 60 s, are dated from
// their first readings and so come out of order. A minute must stay a minute.
func TestTimeOfWindows(t *testing.T) {
	var o ownTime
	for s := 60; s <= 3600; s += 2 {
		o.stamp(at(bootOne, time.Duration(s-2)*time.Second))
		if s%60 == 0 {
			o.stamp(at(bootOne, time.Duration(s-60)*time.Second))
		}
	}
	if want := int64(3598 * time.Second); o.created != want || o.age != want {
		t.Errorf("an hour took %v, and aged %v; want %v", time.Duration(o.created), time.Duration(o.age), time.Duration(want))
	}
}

// TestTimeOverRestarts: a process that ends and starts on a board that runs
// for a month without a clock must not count the month each time.
func TestTimeOverRestarts(t *testing.T) {
	dir := t.TempDir()
	const month = 30 * 24 * time.Hour
	for i := range 5 {
		s := openAt(t, dir, nil)
		r := sample("training", i)
		r.Time = at(bootOne, month+time.Duration(i)*time.Minute)
		mustAppend(t, s, r)
		recs := mustFetch(t, mustStream(t, s, "a", "training"), 10)
		if want, got := time.Unix(0, int64(r.Time.Since)).UTC(), recs[i].CreatedAt; !got.Equal(want) {
			t.Errorf("after %d restarts: created at %v, want %v", i, got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTimeJumpsTakeNothing: delivered records are kept for an hour. A clock
// that starts in 1970, jumps 56 years, and back, must not make them older.
func TestTimeJumpsTakeNothing(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st := mustStream(t, s, "a", "training")
	number := 0
	appendAt := func(at Instant) {
		t.Helper()
		for range 20 { // more than a segment
			r := sampleOf("training", number, noise(number, 60<<10))
			number++
			r.Time = at
			mustAppend(t, s, r)
		}
		settleAll(t, st, FateStored, mustFetch(t, st, 1000))
		s.letGo() // the writer is idle
	}
	appendAt(Instant{Boot: bootOne, Since: time.Minute, Wall: int64(time.Minute)})
	appendAt(vouched(bootOne, 2*time.Minute, in2026))
	appendAt(Instant{Boot: bootOne, Since: 3 * time.Minute, Wall: int64(3 * time.Minute)})
	appendAt(vouched(bootOne, 4*time.Minute, in2026.AddDate(56, 0, 0)))
	appendAt(vouched(bootOne, 5*time.Minute, in2026))
	appendAt(vouched(bootTwo, time.Minute, in2026.AddDate(-3, 0, 0)))
	appendAt(vouched([16]byte{3}, time.Minute, in2026.AddDate(56, 0, 0)))
	if got := s.Stats().Records; got != int64(number) {
		t.Errorf("%d of %d records are left minutes after they were delivered", got, number)
	}
	if err := st.Reset(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var last Record
	for _, r := range mustFetch(t, st, number) {
		if r.Sequence != last.Sequence+1 || r.CreatedAt.Before(last.CreatedAt) {
			t.Errorf("record %d of %v comes after %d of %v", r.Sequence, r.CreatedAt, last.Sequence, last.CreatedAt)
		}
		last = r
	}
	settleAll(t, st, FateStored, mustFetch(t, st, number))
	appendAt(at([16]byte{3}, 2*time.Hour)) // an hour of running is what makes them old
	if left := s.Stats().Records; left >= 60 {
		t.Errorf("%d records are left two hours later", left)
	}
}

// TestTimeOfferedIsNotTakenBack: counters are saved while records are offered
// without a date. What is durable must say so afterwards.
func TestTimeOfferedIsNotTakenBack(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	for i := range rounds(300, 3000) {
		mustAppend(t, s, sample("training", i))
		var saving sync.WaitGroup
		saving.Go(func() {
			if err := s.saveState(); err != nil {
				t.Error(err)
			}
		})
		recs := mustFetch(t, st, 10)
		saving.Wait()
		var kept counterRow
		data, _ := s.meta.get([]byte{metaCounters})
		if err := envelopeDec.Unmarshal(data, &kept); err != nil || kept.Offered != recs[0].Sequence {
			t.Fatalf("durable is that records up to %d were offered (%v), %d was", kept.Offered, err, recs[0].Sequence)
		}
		settleAll(t, st, FateAlreadyThere, recs)
	}
}
