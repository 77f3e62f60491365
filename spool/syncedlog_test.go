package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cutCopy copies a spool that is open, as a power cut would leave it if
// everything had reached the disk. What has not is for the test to undo.
func cutCopy(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "cut")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// lastOf is the newest file of that kind in the only segment.
func lastOf(t *testing.T, dir, ext string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "seg", "*", "*"+ext))
	if len(files) == 0 {
		t.Fatalf("no %s in %s", ext, dir)
	}
	return files[len(files)-1]
}

// revert gives a file of one copy the content that it has in another.
func revert(t *testing.T, copied, from, ext string) {
	t.Helper()
	data, err := os.ReadFile(lastOf(t, from, ext))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(lastOf(t, copied, ext), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// blank gives a sector of the nth block of the value log zeros.
func blank(t *testing.T, dir string, n int) {
	t.Helper()
	path := lastOf(t, dir, ".vlog")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for range n {
		at += 1 + strings.Index(string(data[at:]), "ESB1")
	}
	at = (at/512 + 2) * 512
	clear(data[at : at+512])
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWhatACutLeavesOfTheTwoLogs has the log of the keys and that of the
// values reach the disk by different amounts. Everything whose value did is
// there, everything else of the last commit never was.
func TestWhatACutLeavesOfTheTwoLogs(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	mustAppend(t, s, sampleOf("training", 0, noise(0, 3000)))
	mustAppend(t, s, sampleOf("training", 1, noise(1, 3000)))
	two := cutCopy(t, dir)
	mustAppend(t, s, sampleOf("training", 2, noise(2, 3000)), sampleOf("testing", 3, noise(3, 3000)))
	for name, c := range map[string]struct {
		cut     func(dir string)
		records int
		damaged uint64
	}{
		"both are whole":               {func(string) {}, 4, 0},
		"keys without the last values": {func(dir string) { revert(t, dir, two, ".vlog") }, 2, 0},
		"values without the last keys": {func(dir string) { revert(t, dir, two, ".mem") }, 4, 0},
		"values without any key":       {func(dir string) { truncate(t, lastOf(t, dir, ".mem"), 0) }, 4, 0},
		"half of the last values":      {func(dir string) { blank(t, dir, 3) }, 3, 0},
		"the other half of them":       {func(dir string) { blank(t, dir, 4) }, 3, 0},
		"an acknowledged value is bad": {func(dir string) { revert(t, dir, two, ".vlog"); blank(t, dir, 2) }, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := cutCopy(t, dir)
			c.cut(dir)
			s := openAt(t, dir, nil)
			next := s.Stats().NextSequence
			got := mustAppend(t, s, sample("training", 9), sample("testing", 9))
			if got[0].Sequence != next || got[1].Sequence != next+1 {
				t.Errorf("after sequence %d comes %v", next, got)
			}
			again := cutCopy(t, dir) // a second cut must not bring anything back
			for _, dir := range []string{dir, again} {
				if dir == again {
					s = openAt(t, dir, nil)
				}
				training, testing := mustStream(t, s, "a", "training"), mustStream(t, s, "b", "testing")
				recs := append(mustFetch(t, training, 100), mustFetch(t, testing, 100)...)
				for _, r := range recs {
					readBody(t, r)
				}
				if st := s.Stats(); len(recs) != c.records+2 || st.Damaged != c.damaged || st.Quarantined != 0 {
					t.Errorf("%d records, %d damaged, %d in quarantine; want %d, %d, 0", len(recs), st.Damaged, st.Quarantined, c.records+2, c.damaged)
				}
			}
		})
	}
}

// TestFailedSyncIsNeverAcknowledged has the one sync of a commit fail.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	s := openTest(t, nil)
	mustAppend(t, s, sample("training", 1))
	given := s.table.list()[0]
	s.syncLog = func(*syncedLog) error { return syscall.EIO }
	r, err := s.Append(t.Context(), sample("training", 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("a commit whose sync failed answers %v, want the disk's own error", err)
	}
	s.syncLog = (*syncedLog).sync
	s.mu.Lock()
	s.failedUntil = time.Now()
	s.mu.Unlock()
	mustAppend(t, s, sample("training", 3))
	for _, seg := range s.table.list() {
		if row := s.table.row(seg); seg == given && (!row.Sealed || row.Count != 1) {
			t.Errorf("the segment whose sync failed holds %d records and is written on: %v", row.Count, !row.Sealed)
		}
	}
}

// TestSegmentKeepsToItsTwoLogs fills segments by number of keys, with the
// longest names, and by bytes, and looks that Badger neither goes on to
// another log nor writes a table before the segment is sealed: the spool syncs
// only the log that it knows.
func TestSegmentKeepsToItsTwoLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("one writer, minutes under the race detector; run without -short")
	}
	long := strings.Repeat("d", 190)
	for name, fill := range map[string]func(i int) []Record{
		"many small commits":        func(i int) []Record { return []Record{sample("training", i)} },
		"many long names":           func(i int) []Record { return []Record{sample(fmt.Sprint(long, i), i)} },
		"many names in each commit": func(i int) []Record { return manyNames(i, 3000) },
		"large commits": func(i int) []Record {
			return []Record{sampleOf("training", i, noise(i, 60<<10)), sampleOf("testing", i, noise(i, 900<<10))}
		},
		"longest metadata": func(i int) []Record { return []Record{withMetadata(sample("training", i), envelopeLimit-1000)} },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, func(c *Config) { c.segmentBytes = 4 << 20 })
			s.syncLog = func(l *syncedLog) error { // what is looked at is not the disk
				fi, err := l.file.Stat()
				if err == nil && fi.Size() != l.size {
					err = errLogMoved
				}
				return err
			}
			first := s.active
			for i := 0; s.active == first || first == nil; i++ {
				mustAppend(t, s, fill(i)...)
				if first == nil {
					first = s.active
				}
				if s.active == first && (len(storeFiles(t, first.dir, ".vlog")) != 1 ||
					len(storeFiles(t, first.dir, ".mem")) != 1 || len(storeFiles(t, first.dir, ".sst")) != 0) {
					t.Fatalf("after %d commits the segment has %v", i+1, storeFiles(t, first.dir, ""))
				}
			}
			if err := s.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// storeFiles are the names in a store's folder that end like that.
func storeFiles(t *testing.T, dir, end string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range files {
		if strings.HasSuffix(d.Name(), end) {
			names = append(names, d.Name())
		}
	}
	return names
}

// TestAheadIsNeverBehind: zeros are written ahead of the log's end only, which
// is known to the byte after commits of all sizes and after a restart that put
// keys back.
func TestAheadIsNeverBehind(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.segmentBytes = 4 << 20 })
	ahead := false
	check := func() {
		t.Helper()
		l := s.active.log
		end, err := logEnd(l.file)
		if err != nil {
			t.Fatal(err)
		}
		if l.end != end {
			t.Fatalf("the log ends at %d, and is taken to end at %d after %d keys", end, l.end, s.active.keys)
		}
		ahead = ahead || l.firm > l.end
	}
	for i := range 300 {
		size := []int{20, 900, 5000, 11 << 10, 40 << 10, 300 << 10}[i*i*i%6]
		mustAppend(t, s, sampleOf(fmt.Sprint("set", i%7), i, noise(i, size)))
		check()
	}
	if !ahead {
		t.Error("nothing was ever written ahead")
	}
	s.active.log.end -= 5 // zeros must never come over what is there
	err := s.active.log.expect(1 << 20)
	if s.active.log.end += 5; !errors.Is(err, errNotTheEnd) {
		t.Errorf("a log that goes on behind its end: %v", err)
	}
	cut := cutCopy(t, dir)
	truncate(t, lastOf(t, cut, ".mem"), 0)
	s = openAt(t, cut, func(c *Config) { c.segmentBytes = 4 << 20 })
	mustAppend(t, s, sample("set1", 1000))
	check()
	for k := range 7 {
		for _, r := range mustFetch(t, mustStream(t, s, fmt.Sprint(k), fmt.Sprint("set", k)), 1000) {
			readBody(t, r)
		}
	}
	if st := s.Stats(); st.Records != 301 || st.Damaged != 0 {
		t.Errorf("%d records and %d damaged, want 301 and none", st.Records, st.Damaged)
	}
}

func manyNames(i, n int) []Record {
	recs := make([]Record, n)
	for k := range recs {
		recs[k] = Record{Dataset: fmt.Sprintf("d%d", k), Name: fmt.Sprint(i), Body: Bytes(fmt.Appendf(nil, "%d %d", i, k))}
	}
	return recs
}

func withMetadata(r Record, bytes int) Record {
	r.Metadata = map[string]string{"note": strings.Repeat("m", bytes)}
	return r
}
