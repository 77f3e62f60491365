package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// fillSegments appends training records until there are some sealed segments,
// and closes the spool.
func fillSegments(t *testing.T, dir string, records int) {
	t.Helper()
	s, err := Open(testConfig(dir, nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		mustAppend(t, s, sampleOf("training", i, noise(i, 20<<10)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// valueLog is the biggest value log of the segment with that number.
func valueLog(t *testing.T, dir string, number int) string {
	t.Helper()
	segs, err := filepath.Glob(filepath.Join(dir, "seg", "*"))
	if err != nil || len(segs) <= number {
		t.Fatalf("there is no segment %d in %v", number, segs)
	}
	logs, _ := filepath.Glob(filepath.Join(segs[number], "*.vlog"))
	return logs[0]
}

func flipAt(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedChunkIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	fillSegments(t, dir, 120)
	flipAt(t, valueLog(t, dir, 0), 100_000)
	s := openAt(t, dir, nil)
	st := mustStream(t, s, "a", "training")
	recs := mustFetch(t, st, 1000)
	if len(recs) != 119 || st.Totals().Lost != 1 || s.Stats().Damaged != 1 {
		t.Errorf("got %d records, %d lost, %d damaged; want 119, 1, 1", len(recs), st.Totals().Lost, s.Stats().Damaged)
	}
	settleAll(t, st, FateStored, recs)
	if n, _ := st.Backlog(); n != 0 {
		t.Errorf("backlog is %d at the end", n)
	}
	lost := missing(recs, 120)
	got := mustAppend(t, s, sampleOf("training", lost-1, noise(lost-1, 20<<10)))
	if got[0].Duplicate {
		t.Errorf("sample %d was lost and may not come again", lost)
	}
}

func missing(recs []Record, last uint64) int {
	have := map[uint64]bool{}
	for _, r := range recs {
		have[r.Sequence] = true
	}
	for seq := uint64(1); seq <= last; seq++ {
		if !have[seq] {
			return int(seq)
		}
	}
	return 0
}

// TestDamagedStoresAreSalvaged damages what makes Badger fail, cut off, or
// forget, and wants every other record back.
func TestDamagedStoresAreSalvaged(t *testing.T) {
	cases := map[string]struct {
		segment int
		damage  func(t *testing.T, seg string)
		lost    uint64
		mended  bool // without anything to be set aside
	}{
		"manifest flipped": {0, func(t *testing.T, seg string) { truncate(t, filepath.Join(seg, "MANIFEST"), 3) }, 0, false},
		"manifest gone":    {0, func(t *testing.T, seg string) { remove(t, filepath.Join(seg, "MANIFEST")) }, 0, false},
		"registry empty":   {0, func(t *testing.T, seg string) { truncate(t, filepath.Join(seg, "KEYREGISTRY"), 0) }, 0, false},
		"table gone":       {0, func(t *testing.T, seg string) { removeAll(t, filepath.Join(seg, "*.sst")) }, 0, false},
		"marker found":     {0, func(t *testing.T, seg string) { touch(t, filepath.Join(seg, markerName)) }, 0, true},
		"last, log flipped in the middle": {-1, func(t *testing.T, seg string) {
			logs, _ := filepath.Glob(filepath.Join(seg, "*.vlog"))
			flipAt(t, logs[0], 45_000)
		}, 1, false},
		"last, manifest gone": {-1, func(t *testing.T, seg string) { remove(t, filepath.Join(seg, "MANIFEST")) }, 0, false},
		"last, marker found":  {-1, func(t *testing.T, seg string) { touch(t, filepath.Join(seg, markerName)) }, 0, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fillSegments(t, dir, 120)
			segs, _ := filepath.Glob(filepath.Join(dir, "seg", "*"))
			c.damage(t, segs[(c.segment+len(segs))%len(segs)])
			s := openAt(t, dir, nil)
			recs := mustFetch(t, mustStream(t, s, "a", "training"), 1000)
			if uint64(len(recs))+c.lost != 120 {
				t.Errorf("%d records came back, want %d", len(recs), 120-c.lost)
			}
			for _, r := range recs {
				if !bytes.Equal(readBody(t, r), noise(int(r.Sequence)-1, 20<<10)) {
					t.Errorf("record %d came back changed", r.Sequence)
				}
			}
			if q := s.Stats().Quarantined; (q == 0) != c.mended {
				t.Errorf("%d stores in quarantine", q)
			}
			if got := mustAppend(t, s, sample("training", 1000)); got[0].Sequence != 121 {
				t.Errorf("the next record is %d, want 121", got[0].Sequence)
			}
		})
	}
}

func truncate(t *testing.T, path string, to int64) {
	t.Helper()
	if err := os.Truncate(path, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func removeAll(t *testing.T, pattern string) {
	t.Helper()
	files, _ := filepath.Glob(pattern)
	if len(files) == 0 {
		t.Fatalf("nothing matches %s", pattern)
	}
	for _, f := range files {
		remove(t, f)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedMetaIsSetAside(t *testing.T) {
	dir := t.TempDir()
	fillSegments(t, dir, 60)
	gens, _ := filepath.Glob(filepath.Join(dir, "meta", "*"))
	remove(t, filepath.Join(gens[0], "KEYREGISTRY"))
	truncate(t, filepath.Join(gens[0], "MANIFEST"), 2)
	s := openAt(t, dir, nil)
	if recs := mustFetch(t, mustStream(t, s, "a", "training"), 1000); len(recs) != 60 {
		t.Errorf("%d records came back, want 60", len(recs))
	}
	if got := mustAppend(t, s, sampleOf("training", 3, noise(3, 20<<10)), sample("training", 1000)); !got[0].Duplicate || got[1].Sequence != 61 {
		t.Errorf("a repeat and a new record give %+v", got)
	}
}

// treeHash sums names, sizes, times and bytes of a folder.
func treeHash(t *testing.T, dir string) [32]byte {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, fi.Size(), fi.Mode(), fi.ModTime().UnixNano())
		if d.IsDir() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(sum, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(sum.Sum(nil))
}

func TestInspectChangesNothing(t *testing.T) {
	dir := t.TempDir()
	acked := map[int]uint64{}
	killWhileAppending(t, dir, acked, 150) // leaves logs that need mending
	before := treeHash(t, dir)
	r, err := Inspect(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if int(r.Records) < len(acked)-1 || len(r.Damage) != 0 || len(r.Datasets) != 3 {
		t.Errorf("report counts %d records in %d datasets with damage %v, want at least %d in 3", r.Records, len(r.Datasets), r.Damage, len(acked))
	}
	var last uint64
	n := 0
	err = Walk(t.Context(), dir, func(r Record) error {
		if r.Sequence <= last {
			t.Errorf("record %d comes after %d", r.Sequence, last)
		}
		last = r.Sequence
		n++
		readBody(t, r)
		return nil
	})
	if err != nil || n != int(r.Records) {
		t.Errorf("walk met %d records (%v), inspect %d", n, err, r.Records)
	}
	if treeHash(t, dir) != before {
		t.Error("looking changed the spool")
	}
	s := openAt(t, dir, nil)
	if beside, err := Inspect(t.Context(), dir); err != nil || !beside.Held || beside.Readable != r.Records || len(beside.Damage) != 0 {
		t.Errorf("inspecting a spool in use gives %+v, %v", beside, err)
	}
	if err := Walk(t.Context(), dir, func(Record) error { return nil }); !errors.Is(err, ErrLocked) {
		t.Errorf("walking a spool in use gives %v, want ErrLocked", err)
	}
	_ = s
}

func TestInspectFindsDamage(t *testing.T) {
	dir := t.TempDir()
	fillSegments(t, dir, 120)
	flipAt(t, valueLog(t, dir, 1), 70_000)
	r, err := Inspect(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Damage) != 1 || r.Damage[0].Records != 1 || r.Damage[0].Dataset != "training" {
		t.Errorf("damage found: %+v, want one chunk of one record", r.Damage)
	}
}

// badSectors is a file of which one stretch cannot be read.
type badSectors struct {
	io.ReaderAt
	from, to int64
}

func (b badSectors) ReadAt(p []byte, at int64) (int, error) {
	if at < b.to && at+int64(len(p)) > b.from {
		return 0, &os.PathError{Op: "read", Path: "log", Err: syscall.EIO}
	}
	return b.ReaderAt.ReadAt(p, at)
}

// TestBadSectorsCostOnlyTheirRecords: a value log that cannot be read in the
// middle is salvaged before and behind that.
func TestBadSectorsCostOnlyTheirRecords(t *testing.T) {
	dir := t.TempDir()
	fillSegments(t, dir, 60)
	epoch, _, err := readFormat(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCodec(epoch)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	f, err := os.Open(valueLog(t, dir, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scan := func(r io.ReaderAt) (damaged bool, blocks int, last uint64) {
		h, err := placeBlocks(r, c, logKind{closed: true}, func(b block, _ []byte, _ int64) error { blocks++; last = max(last, b.last); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return h.damaged, blocks, last
	}
	_, all, end := scan(f)
	damaged, some, last := scan(badSectors{f, 200 << 10, 204 << 10})
	if !damaged || some >= all || some < all-3 || last != end {
		t.Errorf("%d of %d blocks found up to %d of %d, damaged %v", some, all, last, end, damaged)
	}
}
