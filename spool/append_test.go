package spool

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRepeatsTakeNoPlaceInTheQueue appends one sample until the repeats are
// larger than the queue: they are written nowhere, so they wait for nobody.
func TestRepeatsTakeNoPlaceInTheQueue(t *testing.T) {
	s := openTest(t, nil)
	rec := sampleOf("training", 1, noise(1, 60<<10))
	mustAppend(t, s, rec)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for i := range int(2*s.lim.queue/(60<<10)) + 1 {
		r, err := s.Append(ctx, rec)
		if err != nil {
			t.Fatalf("repeat %d: %v", i, err)
		}
		if err := r.Wait(ctx); err != nil || !r.Results[0].Duplicate {
			t.Fatalf("repeat %d: %+v, %v", i, r.Results[0], err)
		}
	}
}

// TestWaitersAreNeverPassedOver has 16 sources append and wait while a stream
// drains and segments come and go; every third sample is a repeat. A wait is
// counted in the commits that went by: that of the group under way and its own,
// and those that its goroutine slept through on a busy machine.
func TestWaitersAreNeverPassedOver(t *testing.T) {
	const sources, each = 16, 150
	s := openTest(t, func(c *Config) { c.WhenFull, c.Keep, c.segmentBytes = refuse, 0, 256<<10 })
	st := mustStream(t, s, "archive", "training")
	var longest atomic.Uint64
	var work sync.WaitGroup
	for source := range sources {
		work.Go(func() {
			for i := range each {
				before := s.Stats().Commits
				r, err := s.Append(t.Context(), sampleOf("training", i, noise(source*each+i-i%3/2, 2<<10)))
				if err == nil {
					err = r.Wait(t.Context())
				}
				if err != nil {
					t.Errorf("source %d, sample %d: %v", source, i, err)
					return
				}
				for took := s.Stats().Commits - before; ; {
					was := longest.Load()
					if took <= was || longest.CompareAndSwap(was, took) {
						break
					}
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { work.Wait(); close(ended) }()
	got := 0
	for got < sources*each*2/3 {
		ready := st.Ready()
		recs := mustFetch(t, st, 100)
		got += len(recs)
		settleAll(t, st, FateStored, recs)
		if len(recs) > 0 {
			continue
		}
		select {
		case <-ready:
		case <-ended:
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	work.Wait()
	stats := s.Stats()
	t.Logf("the longest wait took %d commits of %d", longest.Load(), stats.Commits)
	if longest.Load() > 40 {
		t.Errorf("a wait took %d commits of %d: somebody was passed over", longest.Load(), stats.Commits)
	}
	if want := uint64(sources * each / 3); stats.Duplicates != want {
		t.Errorf("%d repeats, want %d", stats.Duplicates, want)
	}
}

// TestNamesAreBytes: on Linux a file name, and what is made of it, need not be
// UTF-8; a record that was taken must be readable whatever it is called.
func TestNamesAreBytes(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "studio/training", "training")
	rec := sample("training", 1)
	rec.Name, rec.Label.Text = "b\xe4r.1.csv", "b\xe4r"
	rec.Metadata = map[string]string{"s\xefte": "\xff"}
	mustAppend(t, s, rec)
	recs := mustFetch(t, st, 10)
	if len(recs) != 1 || recs[0].Name != rec.Name || recs[0].Label.Text != rec.Label.Text || recs[0].Metadata["s\xefte"] != "\xff" {
		t.Fatalf("fetched %+v, lost %d; want the record as it came", recs, st.Totals().Lost)
	}
	reason := strings.Repeat("ä", reasonLimit) // cut in the middle of a letter
	if err := st.Settle(t.Context(), Outcome{Sequence: 1, Fate: FateRejected, Reason: "x" + reason}); err != nil {
		t.Fatal(err)
	}
	kept, err := st.Exceptions(t.Context(), 0, 10)
	if err != nil || len(kept) != 1 || len(kept[0].Outcome.Reason) == 0 {
		t.Errorf("exceptions are %+v (%v), want one", kept, err)
	}
}
