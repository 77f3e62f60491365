package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The tests here are cases that TestModel found, one each.

// crashed opens a copy of the spool's folder as it is now.
func crashed(t *testing.T, s *Spool) *Spool {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	for {
		before := fileNames(t, s.conf.Path)
		err := copyFolder(s.conf.Path, dir)
		if err == nil && slices.Equal(before, fileNames(t, s.conf.Path)) {
			return openAt(t, dir, nil)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		// Badger replaces files of its own accord, and a kill has one moment.
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// fileNames are the paths of a folder's files, in order.
func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// wantStream compares what the figures say of a stream and its list of
// exceptions.
func wantStream(t *testing.T, st *Stream, backlog int64, totals Totals, exceptions int) {
	t.Helper()
	info := st.info()
	listed, err := st.Exceptions(t.Context(), 0, 100)
	if err != nil || len(listed) != exceptions {
		t.Errorf("%d exceptions are listed (%v), want %d", len(listed), err, exceptions)
	}
	if info.Backlog != backlog || info.Totals != totals || info.Exceptions != int64(exceptions) {
		t.Errorf("got %+v, want a backlog of %d, %+v, %d exceptions", info, backlog, totals, exceptions)
	}
}

// TestBacklogBehindTheNewest: a cursor behind the newest record is in the
// middle of a segment that grows on.
func TestBacklogBehindTheNewest(t *testing.T) {
	s := openTest(t, nil)
	drained := mustStream(t, s, "drained", "training")
	mustAppend(t, s, sample("training", 1), sample("training", 2))
	settleAll(t, drained, FateAlreadyThere, mustFetch(t, drained, 10))
	if _, err := s.Stream("late", "training", StreamOptions{Pin: true, FromNow: true}); err != nil {
		t.Fatal(err)
	}
	if err := drained.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = crashed(t, s)
	mustAppend(t, s, sample("training", 3))
	wantStream(t, mustStream(t, s, "drained", "training"), 1, Totals{AlreadyThere: 2}, 0)
	wantStream(t, mustStream(t, s, "late", "training"), 1, Totals{}, 0)
}

// TestSettledOutOfOrder: what is settled behind the cursor is offered again
// after a crash, and must not be counted twice; but not what was rejected,
// which is an exception by then.
func TestSettledOutOfOrder(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	mustAppend(t, s, sample("training", 1), sample("training", 2), sample("training", 3), sample("training", 4))
	recs := mustFetch(t, st, 10)
	settleAll(t, st, FateAlreadyThere, recs[1:2])
	settleAll(t, st, FateRejected, recs[2:3])
	wantStream(t, st, 2, Totals{AlreadyThere: 1, Rejected: 1}, 1)

	s = crashed(t, s)
	st = mustStream(t, s, "a", "training")
	wantStream(t, st, 3, Totals{Rejected: 1}, 1)
	settleAll(t, st, FateAlreadyThere, nil) // nothing is fetched: the cursor stays
	again := mustFetch(t, st, 10)
	if got := sequences(again); !slices.Equal(got, []uint64{1, 2, 4}) {
		t.Errorf("after a crash come %v, want 1, 2 and 4", got)
	}
	settleAll(t, st, FateAlreadyThere, again)
	wantStream(t, st, 0, Totals{AlreadyThere: 3, Rejected: 1}, 1)
}

// TestRejectedAgain: a stream is reset and the same record rejected again.
func TestRejectedAgain(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	mustAppend(t, s, sample("training", 1))
	for range 2 {
		settleAll(t, st, FateRejected, mustFetch(t, st, 10))
		if err := st.Reset(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	wantStream(t, st, 1, Totals{Rejected: 2}, 1)
}

// TestNewStreamOfAnOldName has nothing of the old one.
func TestNewStreamOfAnOldName(t *testing.T) {
	s := openTest(t, nil)
	mustAppend(t, s, sample("training", 1), sample("training", 2))
	for i := range 3 {
		st := mustStream(t, s, "a", "training")
		wantStream(t, st, 2, Totals{}, 0)
		settleAll(t, st, FateRejected, mustFetch(t, st, 1))
		s = crashed(t, s)
		st = mustStream(t, s, "a", "training")
		wantStream(t, st, 1, Totals{Rejected: 1}, 1)
		if i == 1 {
			s = crashed(t, s)
		}
		if err := s.RemoveStream("a"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBodiesThatWentAreLost: the parts of a body are in a segment that is
// thinned out to its anomalies, the record is in the next one.
func TestBodiesThatWentAreLost(t *testing.T) {
	s := openTest(t, nil)
	training, anomaly := mustStream(t, s, "a", "training"), mustStream(t, s, "b", "anomaly")
	body, err := s.Stage(t.Context(), bytes.NewReader(noise(1, 500<<10)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		mustAppend(t, s, sampleOf("anomaly", i, noise(i, 60<<10)))
	}
	r := sample("training", 100)
	r.Body = body
	mustAppend(t, s, r, sample("training", 101))
	if n := s.Stats().Segments; n != 2 {
		t.Fatalf("%d segments, want 2", n)
	}
	if _, err := s.evict(); err != nil { // the writer is idle
		t.Fatal(err)
	}
	if got := sequences(mustFetch(t, training, 1)); !slices.Equal(got, []uint64{12}) {
		t.Errorf("training gives %v, want the record behind the lost one", got)
	}
	wantStream(t, training, 1, Totals{Lost: 1}, 0)
	if n := len(mustFetch(t, anomaly, 100)); n != 10 {
		t.Errorf("%d anomalies are left, want 10", n)
	}
	if got := s.Stats(); got.Lost != 1 || got.Damaged != 0 {
		t.Errorf("%d lost, %d damaged; want 1 lost", got.Lost, got.Damaged)
	}
}

// TestEvictedOutOfOrder: where the oldest segment cannot be thinned out for
// want of room, a later one goes first. What is in the oldest one still comes.
func TestEvictedOutOfOrder(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	for i := range 40 { // three segments
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	second := s.table.list()[1]
	row := s.table.row(second)
	if err := s.retire(second); err != nil { // the writer is idle
		t.Fatal(err)
	}
	wantStream(t, st, 40-row.Count, Totals{Lost: uint64(row.Count)}, 0)
	got := sequences(mustFetch(t, st, 100))
	if int64(len(got)) != 40-row.Count || got[0] != 1 || got[len(got)-1] != 40 {
		t.Errorf("%d records come, %v, want the %d that are left", len(got), got, 40-row.Count)
	}
	settleAll(t, st, FateAlreadyThere, mustFetch(t, st, 100))
	wantStream(t, st, 0, Totals{Lost: uint64(row.Count), AlreadyThere: uint64(40 - row.Count)}, 0)
}
