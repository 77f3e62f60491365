package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRejectedAheadSkipsNothing: a record that was rejected ahead of the cursor
// keeps its fate over a restart, and those between the two are still handed out
// if the batches are smaller by then.
func TestRejectedAheadSkipsNothing(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	for i := 1; i <= 12; i++ {
		mustAppend(t, s, sample("training", i))
	}
	st := mustStream(t, s, "studio/training", "training")
	mustFetch(t, st, 12)
	if err := st.Settle(t.Context(), Outcome{Sequence: 8, Fate: FateRejected}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	st = mustStream(t, s, "studio/training", "training")
	var got []uint64
	for {
		recs := mustFetch(t, st, 3)
		if len(recs) == 0 {
			break
		}
		got = append(got, sequences(recs)...)
		settleAll(t, st, FateStored, recs)
	}
	if len(got) != 11 {
		t.Errorf("records %v are handed out, want 1 to 12 but for 8", got)
	}
	if n, _ := st.Backlog(); n != 0 || st.info().Next != 13 {
		t.Errorf("%d records are behind cursor %d, want none behind 13", n, st.info().Next)
	}
}

// TestLargeBodyInMemoryKeepsItsParts: segments with parts of a body whose
// record is not written yet do not go, though they hold no record.
func TestLargeBodyInMemoryKeepsItsParts(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 32 << 20 })
	st := mustStream(t, s, "studio/training", "training")
	for i := range 500 { // over the cap, none of it passed
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	body := noise(1000, 5<<20)
	last := mustAppend(t, s, sampleOf("training", 1000, body))[0].Sequence
	for {
		recs := mustFetch(t, st, 50)
		if len(recs) == 0 {
			t.Fatal("the large record is acknowledged and never handed out")
		}
		if r := recs[len(recs)-1]; r.Sequence == last {
			if !bytes.Equal(readBody(t, r), body) {
				t.Error("the large body is not as it was")
			}
			return
		}
		settleAll(t, st, FateStored, recs)
	}
}

// TestRebuiltSegmentOutlivesItsOldStore: the old store of a segment that was
// built anew may go in part only, and the new one takes its place all the same.
func TestRebuiltSegmentOutlivesItsOldStore(t *testing.T) {
	dir := t.TempDir()
	running := openTest(t, nil)
	for i := 1; i <= 3; i++ {
		mustAppend(t, running, sample("training", i))
	}
	copyTree(t, running.conf.Path, dir) // as a kill leaves it
	seg := filepath.Dir(valueLog(t, dir, 0))
	if err := mark(seg, 0); err != nil { // and one while it was opened
		t.Fatal(err)
	}
	stays, err := os.Create(filepath.Join(seg, "zz"))
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	const immutable = 0x10 // FS_IMMUTABLE_FL (linux/fs.h)
	if err := unix.IoctlSetPointerInt(int(stays.Fd()), unix.FS_IOC_SETFLAGS, immutable); err != nil {
		t.Skipf("no file can be kept from being removed here: %v", err)
	}
	free := func() { _ = unix.IoctlSetPointerInt(int(stays.Fd()), unix.FS_IOC_SETFLAGS, 0) }
	defer free()
	if s, err := Open(testConfig(dir, nil)); err == nil {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	free()
	s := openAt(t, dir, nil)
	if recs := mustFetch(t, mustStream(t, s, "a", "training"), 10); len(recs) != 3 {
		t.Errorf("%d records are there, want 3", len(recs))
	}
}

// TestFlippedLastCommitKeepsItsOtherBlocks: damage to one chunk of the last
// commit before a kill takes nothing of the other chunk, is counted, and gives
// no sequence twice. A sector that a cut kept from the disk is no damage.
func TestFlippedLastCommitKeepsItsOtherBlocks(t *testing.T) {
	running := openTest(t, nil)
	mustAppend(t, running, sample("training", 1))
	bodies := [][]byte{noise(2, 9000), noise(3, 9000)}
	mustAppend(t, running, sampleOf("training", 2, bodies[0]), sampleOf("anomaly", 3, bodies[1]))
	for name, c := range map[string]struct {
		body    int
		harm    func(t *testing.T, log string, at int64)
		damaged uint64
	}{
		"flipped in the first chunk":  {0, flipAt, 1},
		"flipped in the second chunk": {1, flipAt, 1},
		"torn in the first chunk":     {0, dropSector, 0},
		"torn in the second chunk":    {1, dropSector, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyTree(t, running.conf.Path, dir) // as a kill leaves it
			log := valueLog(t, dir, 0)
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			c.harm(t, log, int64(bytes.Index(data, bodies[c.body][:100])+4000))
			s := openAt(t, dir, nil)
			if st := s.Stats(); st.Damaged != c.damaged || st.Quarantined != int(c.damaged) {
				t.Errorf("%d damaged and %d in quarantine, want %d of each", st.Damaged, st.Quarantined, c.damaged)
			}
			if next := mustAppend(t, s, sample("training", 4))[0].Sequence; c.damaged > 0 && next != 4 {
				t.Errorf("after the damaged commit comes sequence %d, want 4", next)
			}
			got := [][]Record{mustFetch(t, mustStream(t, s, "a", "training"), 10), mustFetch(t, mustStream(t, s, "b", "anomaly"), 10)}
			want := [][2]int{{2, 1}, {3, 0}}[c.body]
			if len(got[0]) != want[0] || len(got[1]) != want[1] {
				t.Errorf("%d and %d records are there, want %v", len(got[0]), len(got[1]), want)
			}
		})
	}
}

// dropSector leaves a sector as it was before anything was written to it.
func dropSector(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, cardSector), at/cardSector*cardSector); err != nil {
		t.Fatal(err)
	}
}

// TestTornFirstCommitOfALaterLog: a log that was begun after a restart may be
// torn in its first commit.
func TestTornFirstCommitOfALaterLog(t *testing.T) {
	first, dir := t.TempDir(), t.TempDir()
	running := openTest(t, nil)
	mustAppend(t, running, sample("training", 1))
	copyTree(t, running.conf.Path, first)
	body := noise(2, 9000)
	s := openAt(t, first, nil)
	mustAppend(t, s, sampleOf("training", 2, body), sampleOf("anomaly", 3, noise(3, 9000)))
	copyTree(t, first, dir)
	log := lastOf(t, dir, ".vlog")
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	dropSector(t, log, int64(bytes.Index(data, body[:100])+4000))
	s = openAt(t, dir, nil)
	if st := s.Stats(); st.Damaged != 0 || st.Quarantined != 0 {
		t.Errorf("%d damaged and %d in quarantine, want none", st.Damaged, st.Quarantined)
	}
	if recs := mustFetch(t, mustStream(t, s, "b", "anomaly"), 10); len(recs) != 1 {
		t.Errorf("%d anomalies are there, want 1", len(recs))
	}
}
