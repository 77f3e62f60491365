package spool

import (
	"errors"
	"os"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"
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

// TestASegmentThatWasNotClosedIsNotOpenedForReading: Badger refuses that, and
// leaves goroutines and files behind; and nothing is salvaged for it.
func TestASegmentThatWasNotClosedIsNotOpenedForReading(t *testing.T) {
	s, err := Open(testConfig(t.TempDir(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustAppend(t, s, sampleOf("training", 1, noise(1, 50<<10)))
	id := segmentID{First: 1000}
	left := &segment{id: id, dir: s.table.path(id), row: segmentRow{ID: id}}
	if err := os.CopyFS(left.dir, os.DirFS(s.active.dir)); err != nil {
		t.Fatal(err)
	}
	s.table.add(left)
	before := goleak.IgnoreCurrent()
	err = s.table.view(left, func(*badger.DB) error { return nil })
	if !errors.Is(err, errUnopened) {
		t.Errorf("got %v, want errUnopened", err)
	}
	goleak.VerifyNone(t, before)
	if set, _ := os.ReadDir(s.quarantine); len(set) > 0 {
		t.Errorf("set aside: %v", set)
	}
	s.table.remove(left)
}
