package spool

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// TestFaultIsNeverAcknowledged plays Badger's line after a failed sync, which
// Badger itself acknowledges, during every commit.
func TestFaultIsNeverAcknowledged(t *testing.T) {
	s := openTest(t, nil)
	mustAppend(t, s, sample("training", 1))
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				s.faults.Errorf("Error while curlf sync: %v\n", "input/output error")
			}
		}
	})
	r, err := s.Append(t.Context(), sample("training", 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(t.Context()); err == nil {
		t.Error("a commit with a failed sync was acknowledged")
	}
	close(end)
	wg.Wait()
	if s.Err() == nil || !s.Stats().ReadOnly {
		t.Error("the spool does not say that it cannot write")
	}
	if _, err := s.Append(t.Context(), sample("training", 3)); err == nil {
		t.Error("a record was taken right after the fault")
	}
	s.mu.Lock()
	s.failedUntil = time.Now()
	s.mu.Unlock()
	got := mustAppend(t, s, sample("training", 2))
	if got[0].Duplicate {
		t.Error("the record that was not acknowledged counts as known")
	}
	if s.Err() != nil {
		t.Errorf("after a good commit the spool still says %v", s.Err())
	}
	recs := mustFetch(t, mustStream(t, s, "a", "training"), 10)
	if len(recs) != 2 || string(readBody(t, recs[1])) != "training sample 2" {
		t.Errorf("records are %v, want the first and the one taken again", sequences(recs))
	}
}

// TestCommitThatHangs has a reader keep the active segment from closing, as a
// disk that does not answer would. Who waits is told, new records are refused,
// and when the disk answers after all nothing is lost or taken twice.
func TestCommitThatHangs(t *testing.T) {
	s := openTest(t, func(c *Config) { c.commitTimeout = 20 * time.Millisecond })
	mustAppend(t, s, sampleOf("training", 0, noise(0, 60<<10)))
	active := s.table.list()[0]
	active.mu.RLock()
	var late Receipt
	for i := 1; ; i++ {
		r, err := s.Append(t.Context(), sampleOf("training", i, noise(i, 60<<10)))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Wait(t.Context()); err != nil {
			late = r
			break
		}
	}
	if s.Err() == nil || !s.Stats().ReadOnly {
		t.Error("the spool does not say that its disk hangs")
	}
	if _, err := s.Append(t.Context(), sample("training", 1000)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("append while the disk hangs: %v, want ErrReadOnly", err)
	}
	active.mu.RUnlock()
	st := mustStream(t, s, "a", "training")
	last := late.Results[0].Sequence
	for ready := st.Ready(); ; ready = st.Ready() {
		if recs := mustFetch(t, st, 1000); len(recs) == int(last) {
			break
		}
		<-ready
	}
	s.mu.Lock()
	s.failedUntil = time.Now()
	s.mu.Unlock()
	got := mustAppend(t, s, sampleOf("training", int(last)-1, noise(int(last)-1, 60<<10)), sample("training", 1000))
	if !got[0].Duplicate || got[0].Sequence != last || got[1].Duplicate {
		t.Errorf("taken again: %+v, want a repeat of %d and a new one", got, last)
	}
}
