package spool

import (
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestFailedCommitDoesNotComeBack: the values of a commit whose sync failed are
// in its segment's log all the same. They went to the next segment and were
// delivered from there; when that is gone, those left behind are not records.
func TestFailedCommitDoesNotComeBack(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.Keep = 0 })
	mustStream(t, s, "a", "training") // keeps the segment whose sync will fail
	mustAppend(t, s, sampleOf("training", 1, noise(1, 3000)))
	failed := s.active
	var fails atomic.Int32
	s.syncLog = func(l *syncedLog) error {
		if fails.Add(1) == 1 {
			return syscall.EIO
		}
		return l.sync()
	}
	delivered := mustStream(t, s, "b", "testing")
	mustAppend(t, s, sampleOf("testing", 2, noise(2, 3000)))
	settleAll(t, delivered, FateStored, mustFetch(t, delivered, 10))
	behind := s.active
	if behind == failed {
		t.Fatal("the segment whose sync failed is written on")
	}
	for i := 100; s.active == behind; i++ {
		mustAppend(t, s, sampleOf("testing", i, noise(i, 60<<10)))
		settleAll(t, delivered, FateStored, mustFetch(t, delivered, 10))
	}
	for i := 1000; slices.Contains(s.table.list(), behind); i++ {
		if i == 2000 {
			t.Fatal("a delivered segment does not go")
		}
		s.mu.Lock()
		s.choresAt = time.Now()
		s.mu.Unlock()
		mustAppend(t, s, sample("testing", i))
		settleAll(t, delivered, FateStored, mustFetch(t, delivered, 10))
	}
	mustAppend(t, s, sample("training", 3))
	s = openAt(t, cutCopy(t, dir), func(c *Config) { c.Keep = 0 })
	for _, r := range mustFetch(t, mustStream(t, s, "c", "testing"), 100) {
		if r.Sequence == 2 {
			t.Error("a record came back that was delivered and had gone")
		}
	}
	if recs := mustFetch(t, mustStream(t, s, "a", "training"), 100); len(recs) != 2 {
		t.Errorf("%d records of the kept dataset are there, want 2", len(recs))
	}
}
