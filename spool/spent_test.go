package spool

import (
	"errors"
	"testing"
)

// TestTheOnlySegmentGivesWay: the segment that is being written is full, all in
// it is delivered, and under the cap no other fits beside it. It is sealed and
// goes, although that policy drops nothing.
func TestTheOnlySegmentGivesWay(t *testing.T) {
	s, err := Open(testConfig(t.TempDir(), func(c *Config) { c.WhenFull = refuse }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "studio/training", "training")
	n := 0
	for ; s.segmentLeft.Load() == 0 || s.segmentLeft.Load() > 200<<10; n++ {
		mustAppend(t, s, sampleOf("training", n, noise(n, 50<<10)))
	}
	if len(s.table.list()) != 1 {
		t.Fatalf("%d segments", len(s.table.list()))
	}
	settleAll(t, st, FateStored, mustFetch(t, st, 1<<30))
	s.measureSides()
	s.mu.Lock()
	s.conf.MaxBytes = Size(s.diskUse() + s.table.shape.disk()/2)
	s.mu.Unlock()
	big := sampleOf("training", n, noise(n, 300<<10))
	for range 200 {
		r, err := s.Append(t.Context(), big)
		if err == nil {
			err = r.Wait(t.Context())
		}
		if err == nil {
			return
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	t.Errorf("a spool whose records are all delivered takes no more; it has %+v", s.Stats())
}
