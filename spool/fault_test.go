package spool

import (
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
