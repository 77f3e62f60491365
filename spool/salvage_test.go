package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// salvaged reads everything that Salvage gives.
func salvaged(t *testing.T, path string) map[uint64]string {
	t.Helper()
	got := map[uint64]string{}
	err := Salvage(t.Context(), path, func(r Record) error {
		got[r.Sequence] = r.Label.Text + " " + string(readBody(t, r)[:8])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestDamageSetAsideCanBeSalvaged: a store in quarantine gives its records,
// where it is, and taken out of its spool.
func TestDamageSetAsideCanBeSalvaged(t *testing.T) {
	dir := t.TempDir()
	fillSegments(t, dir, 120)
	log := valueLog(t, dir, 0)
	seg := filepath.Dir(log)
	flipAt(t, log, 100_000)
	all := salvaged(t, dir)
	inside := salvaged(t, seg)
	if len(all) != 119 || len(inside) < 20 || len(inside) > 60 {
		t.Errorf("%d records come out of the spool and %d out of its first segment, want 119 and some 40", len(all), len(inside))
	}
	s := openAt(t, dir, nil)
	mustFetch(t, mustStream(t, s, "a", "training"), 1000)
	aside, _ := filepath.Glob(filepath.Join(dir, "quarantine", "seg-*"))
	if len(aside) != 1 {
		t.Fatalf("%d stores are set aside, want 1", len(aside))
	}
	if got := salvaged(t, aside[0]); len(got) != len(inside) {
		t.Errorf("%d records come out of the store that was set aside, want %d", len(got), len(inside))
	}
	alone := filepath.Join(t.TempDir(), "store")
	copyTree(t, aside[0], alone)
	if got := salvaged(t, alone); len(got) != len(inside) {
		t.Errorf("%d records come out of the store alone, want %d", len(got), len(inside))
	}
	if got := salvaged(t, dir); len(got) != 119 {
		t.Errorf("the spool gives %d records with its quarantine, want 119", len(got))
	}
}

// TestDamagedChunkGivesItsOtherRecords: a chunk that is hit while its segment
// is open is kept, and the records in it that were not hit can be saved.
func TestDamagedChunkGivesItsOtherRecords(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	mustAppend(t, s, sampleOf("training", 1, noise(1, 900)), sampleOf("training", 2, noise(2, 900)), sampleOf("training", 3, noise(3, 900)))
	mustAppend(t, s, sampleOf("training", 4, noise(4, 900)))
	logs, _ := filepath.Glob(filepath.Join(dir, "seg", "*", "*.vlog"))
	data, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for i := range data { // inside of the second record's body
		if string(data[i:i+8]) == string(noise(2, 900)[:8]) {
			at = int64(i) + 100
			break
		}
	}
	flipAt(t, logs[0], at)
	for _, name := range []string{"a", "b"} {
		st := mustStream(t, s, name, "training")
		if recs := mustFetch(t, st, 10); len(recs) != 1 || st.Totals().Lost != 3 {
			t.Errorf("stream %s gives %d records and counts %d lost, want 1 and 3", name, len(recs), st.Totals().Lost)
		}
	}
	kept, _ := filepath.Glob(filepath.Join(dir, "quarantine", "*.chunk-*"))
	if stats := s.Stats(); len(kept) != 1 || stats.Quarantined != 1 || stats.Damaged != 3 {
		t.Fatalf("%v is kept, figures are %+v; want one chunk of three records", kept, stats)
	}
	got := salvaged(t, kept[0])
	if _, hit := got[2]; len(got) != 2 || hit {
		t.Errorf("salvage gives %d records of the chunk, want the first and the third", len(got))
	}
}

// TestDamageSetAsideRefusesNothing: what is in quarantine makes room for
// records, also where the policy is to refuse them.
func TestDamageSetAsideRefusesNothing(t *testing.T) {
	s := openTest(t, func(c *Config) { c.WhenFull = refuse; c.MaxBytes = 64 << 20 })
	free, _, err := s.lacking(0)
	if err != nil {
		t.Fatal(err)
	}
	aside := filepath.Join(s.quarantine, "seg-0000000000000001-00000000000000000001")
	if err := os.WriteFile(aside, noise(1, int(-free)-1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	s.boundQuarantine()
	for i := range 40 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	if n := s.Stats().Quarantined; n != 0 {
		t.Errorf("%d things are in quarantine still", n)
	}
}

// TestKillAfterPartsWent: a segment that has only parts of a delivered body
// goes, and the process ends before cursors were to be saved.
func TestKillAfterPartsWent(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.segmentBytes = 700 << 10 })
	st := mustStream(t, s, "a", "testing")
	body, err := s.Stage(t.Context(), bytes.NewReader(noise(1, 600<<10)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	r := sample("testing", 1)
	r.Body = body
	mustAppend(t, s, r)
	settleAll(t, st, FateStored, mustFetch(t, st, 10))
	if err := s.retire(s.table.list()[0]); err != nil {
		t.Fatal(err)
	}
	killed := t.TempDir()
	copyTree(t, dir, killed)
	s = openAt(t, killed, nil)
	st = mustStream(t, s, "a", "testing")
	if recs := mustFetch(t, st, 10); len(recs) != 0 || st.Totals().Lost != 0 {
		t.Errorf("after the kill %d records are fetched again and %d are lost, want none", len(recs), st.Totals().Lost)
	}
}

// TestSalvageTakesWhatItKeeps: at the cap there is no room for a segment of
// full size beside the damaged one.
func TestSalvageTakesWhatItKeeps(t *testing.T) {
	dir := t.TempDir()
	const segment = 24 << 20
	s := openAt(t, dir, func(c *Config) { c.segmentBytes = segment })
	for i := range 10 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, func(c *Config) { c.segmentBytes = segment })
	seg := s.table.list()[0]
	if err := seg.close(); err != nil {
		t.Fatal(err)
	}
	before, stop := treeBytes(dir), watchUse(dir)
	if err := s.salvage(seg, s.table.limitOf(seg), ErrDamaged); err != nil {
		t.Fatal(err)
	}
	if most := stop(); most-before > segment/2 {
		t.Errorf("salvage of 600 KiB took %d bytes more meanwhile", most-before)
	}
	if recs := mustFetch(t, mustStream(t, s, "a", "training"), 100); len(recs) != 10 {
		t.Errorf("%d records are there after that, want 10", len(recs))
	}
}

// TestDamageIsSeenOnReadOnlyMounts looks at a damaged spool where nothing can
// be written.
func TestDamageIsSeenOnReadOnlyMounts(t *testing.T) {
	dir, mount := t.TempDir(), t.TempDir()
	fillSegments(t, dir, 60)
	flipAt(t, valueLog(t, dir, 0), 100_000)
	if err := unix.Mount(dir, mount, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("a bind mount is not to be had: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	if err := unix.Mount("", mount, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("a read-only mount is not to be had: %v", err)
	}
	if err := os.WriteFile(filepath.Join(mount, "x"), nil, 0o644); err == nil {
		t.Fatal("the mount takes writes")
	}
	r, err := Inspect(t.Context(), mount)
	if err != nil || r.Readable != 59 || len(r.Damage) != 1 {
		t.Errorf("inspect can read %d records with damage %v (%v), want 59 with one", r.Readable, r.Damage, err)
	}
	if got := salvaged(t, mount); len(got) != 59 {
		t.Errorf("salvage gives %d records, want 59", len(got))
	}
}
