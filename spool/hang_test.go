package spool

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestSyncThatHangs has the sync of a commit not come back. The owner is told,
// nothing more is taken, and whoever waits is answered: for the commit under
// way, for the next one, for a body that is being staged, and for room. When
// the disk answers after all, everything that was taken is there, once.
func TestSyncThatHangs(t *testing.T) {
	s := openTest(t, nil)
	mustAppend(t, s, sample("training", 1))
	entered, release := make(chan struct{}), make(chan struct{})
	sync, timeout := s.syncLog, s.conf.commitTimeout
	s.syncLog = func(l *syncedLog) error {
		close(entered)
		<-release
		s.syncLog = sync
		return sync(l)
	}
	s.conf.commitTimeout = time.Second // of this one step
	answers := make(chan error)
	wait := func(number int) {
		r, err := s.Append(t.Context(), sample("training", number))
		if err == nil {
			err = r.Wait(t.Context())
		}
		answers <- err
	}
	go wait(2)
	<-entered
	go wait(3)
	go func() {
		_, err := s.Stage(t.Context(), bytes.NewReader(noise(1, 300<<10)), 1<<30)
		answers <- err
	}()
	for s.waiting() < 2 { // the next commit's group has both
		<-time.After(time.Millisecond)
	}
	go func() { // more than the queue takes
		_, err := s.Append(t.Context(), sampleOf("training", 4, noise(4, int(s.lim.queue))))
		answers <- err
	}()
	<-s.Hung()
	for range 4 {
		if err := <-answers; err == nil {
			t.Error("one of those who wait was not told that the disk hangs")
		}
	}
	if _, err := s.Append(t.Context(), sample("training", 5)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("append while the disk hangs: %v, want ErrReadOnly", err)
	}
	if s.Err() == nil {
		t.Error("the spool does not say why it takes nothing")
	}
	s.conf.commitTimeout = timeout
	close(release)
	for {
		s.mu.Lock()
		over := s.stuck == 0
		s.failedUntil = time.Now()
		s.mu.Unlock()
		if over {
			break
		}
		<-time.After(time.Millisecond)
	}
	got := mustAppend(t, s, sample("training", 2), sample("training", 3), sample("training", 6))
	if !got[0].Duplicate || !got[1].Duplicate || got[2].Duplicate {
		t.Errorf("afterwards: %+v, want two repeats and a new one", got)
	}
	if recs := mustFetch(t, mustStream(t, s, "a", "training"), 100); len(recs) != 4 {
		t.Errorf("%d records are there, want 4", len(recs))
	}
}

// waiting counts what waits for the next commit.
func (s *Spool) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue.recs) + len(s.queue.parts)
}
