package spool

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// failCommits plays Badger's line after a failed sync, which Badger itself
// acknowledges, in every commit until the returned function is called.
func failCommits(s *Spool) (end func()) {
	return playInCommits(s, "Error while curlf sync: %v\n")
}

// playInCommits has Badger log a line in every commit.
func playInCommits(s *Spool, line string) (end func()) {
	var ended atomic.Bool
	update := s.update
	s.update = func(db *badger.DB, write func(txn *badger.Txn) error) error {
		err := update(db, write)
		if !ended.Load() {
			s.faults.Errorf(line, "input/output error")
		}
		return err
	}
	return func() { ended.Store(true) }
}

// TestFaultIsNeverAcknowledged has a commit fail, and the disk recover.
func TestFaultIsNeverAcknowledged(t *testing.T) {
	s := openTest(t, nil)
	mustAppend(t, s, sample("training", 1))
	end := failCommits(s)
	r, err := s.Append(t.Context(), sample("training", 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(t.Context()); err == nil {
		t.Error("a commit with a failed sync was acknowledged")
	}
	end()
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

// TestLoggedFaultsFailACommit: what Badger logs of a write, and goes on.
func TestLoggedFaultsFailACommit(t *testing.T) {
	for _, line := range []string{
		"error flushing memtable to disk: %v, retrying", // Badger tries again each second, for ever
		"failed to flush memtable: %v",
		"While trying to flush memtable: %v",
		"writeRequests: %v",
	} {
		t.Run(line, func(t *testing.T) {
			s := openTest(t, nil)
			end := playInCommits(s, line)
			r, err := s.Append(t.Context(), sample("training", 1))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Wait(t.Context()); err == nil {
				t.Error("the commit was acknowledged")
			}
			end()
		})
	}
}

// TestReadFaultsAreNoWriteFaults: a stream that passes over a damaged segment
// does not stop what is written to another one.
func TestReadFaultsAreNoWriteFaults(t *testing.T) {
	s := openTest(t, nil)
	playInCommits(s, "Unable to read: %v\n")
	mustAppend(t, s, sample("training", 1))
}

// TestWorkerThatHangs: who hangs in a small store, while nothing comes in, is
// noticed as well.
func TestWorkerThatHangs(t *testing.T) {
	for name, store := range map[string]func(s *Spool) sync.Locker{
		"meta":    func(s *Spool) sync.Locker { return &s.meta.mu },
		"history": func(s *Spool) sync.Locker { return &s.hist.mu },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, func(c *Config) { c.commitTimeout = time.Second })
			held := store(s)
			held.Lock()
			defer held.Unlock()
			select {
			case <-s.Hung():
			case <-time.After(time.Minute):
				t.Fatal("nobody has noticed")
			}
			if _, err := s.Append(t.Context(), sample("training", 1)); !errors.Is(err, ErrReadOnly) {
				t.Errorf("append: %v, want ErrReadOnly", err)
			}
		})
	}
}

// TestCommitThatHangs has a reader keep the active segment from closing, as a
// disk that does not answer would. Who waits is told, new records are refused,
// and when the disk answers after all nothing is lost or taken twice.
func TestCommitThatHangs(t *testing.T) {
	s := openTest(t, func(c *Config) { c.commitTimeout = 3 * time.Second })
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

// TestFaultsLeaveNoSegments: a disk that takes nothing for a while must not
// cost the backlog its room, nor leave behind what was never acknowledged.
func TestFaultsLeaveNoSegments(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.MaxBytes = 48 << 20 })
	mustAppend(t, s, sample("training", 1))
	end := failCommits(s)
	const tries = 20
	for range tries {
		s.mu.Lock()
		s.failedUntil = time.Now()
		s.mu.Unlock()
		r, err := s.Append(t.Context(), sample("training", 2))
		if err == nil {
			err = r.Wait(t.Context())
		}
		if err == nil {
			t.Fatal("a commit with a failed sync was acknowledged")
		}
	}
	end()
	if n := s.Stats().Segments; n > 2 {
		t.Errorf("%d failed commits left %d segments", tries, n)
	}
	s.mu.Lock()
	s.failedUntil = time.Now()
	s.mu.Unlock()
	mustAppend(t, s, sample("training", 3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	st := mustStream(t, s, "a", "training")
	recs := mustFetch(t, st, 100)
	if len(recs) != 2 || recs[0].Name != "1.csv" || recs[1].Name != "3.csv" {
		t.Errorf("after a restart %v are there, want the two that were acknowledged", sequences(recs))
	}
	if got := mustAppend(t, s, sample("training", 2)); got[0].Duplicate {
		t.Error("a sample that was never acknowledged counts as known")
	}
	if got := mustFetch(t, st, 100); len(got) != 3 {
		t.Errorf("%d records are there, want 3", len(got))
	}
}
