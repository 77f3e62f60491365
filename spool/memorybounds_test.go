package spool

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMemoryOfOutcomes settles faster than the writer comes round to them: no
// more than outcomesHeld may wait for it.
func TestMemoryOfOutcomes(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "studio/training", "training")
	const records = 3 * outcomesHeld
	for i := 0; i < records; i += 1024 {
		batch := make([]Record, 1024)
		for j := range batch {
			batch[j] = sample("training", i+j)
		}
		mustAppend(t, s, batch...)
	}
	for settled := 0; settled < records; {
		recs := mustFetch(t, st, 1000)
		out := make([]Outcome, len(recs)) // with names of the far side's: each is a row then
		for i, r := range recs {
			out[i] = Outcome{Sequence: r.Sequence, Fate: FateStored, RemoteID: r.Name}
		}
		if err := st.Settle(t.Context(), out...); err != nil {
			t.Fatal(err)
		}
		settled += len(recs)
		s.hist.mu.Lock()
		waiting := s.hist.waiting
		s.hist.mu.Unlock()
		if waiting >= outcomesHeld+1000 {
			t.Fatalf("%d outcomes wait in memory", waiting)
		}
	}
}

// TestMemoryOfRotations looks at goroutines, descriptors and mappings over many
// rotations, evictions and reads of sealed segments: they stay as they are,
// and Close leaves none.
func TestMemoryOfRotations(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(testConfig(dir, func(c *Config) { c.segmentBytes, c.MaxBytes = 256<<10, minMaxBytes }))
	if err != nil {
		t.Fatal(err)
	}
	st := mustStream(t, s, "memory", "training")
	type use struct{ goroutines, files, maps int }
	highest := func(turns int) (u use) {
		for range turns {
			if err := appendMany(t.Context(), s, 1024, 1000); err != nil { // four segments
				t.Fatal(err)
			}
			if _, err := readOn(t.Context(), st); err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			_, maps := mappedBelow("/proc/self/maps", dir)
			u = use{max(u.goroutines, runtime.NumGoroutine()), max(u.files, len(files)), max(u.maps, maps)}
		}
		return u
	}
	first := highest(5)
	turns := rounds(20, 2000)
	then := highest(turns)
	t.Logf("%+v in the first 20 rotations, %+v in the %d after them", first, then, 4*turns)
	// One store more may be open for a moment, with its goroutines.
	if then.goroutines > first.goroutines+16 || then.files > first.files+8 || then.maps > first.maps+4 {
		t.Error("what a rotation takes is not all given back")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
	if _, maps := mappedBelow("/proc/self/maps", dir); maps != 0 {
		t.Errorf("%d mappings are left after Close", maps)
	}
}

// TestMemoryOfTables fills stores of each shape and holds the tables that
// closing them makes against half of the first buffer of Badger's builder:
// what outgrows that is written over itself on 32 bits (ristretto v2.4.2,
// z/allocator.go). This takes the place of a test at start: no shape lets a
// builder get there, and as GOARCH=386 all must come back as well.
func TestMemoryOfTables(t *testing.T) {
	for _, size := range []int{200, 1 << 10, 16 << 10, 64 << 10} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			dir := t.TempDir()
			s := openAt(t, dir, func(c *Config) { c.segmentBytes = 8 << 20 })
			long := strings.Repeat("d", 200) // the longest dataset makes the longest keys
			records := rounds(1600, 12000)
			for i := 0; i < records; i += 8 {
				batch := make([]Record, 8)
				for j := range batch {
					batch[j] = sampleOf(fmt.Sprintf("%s%d", long[1:], j%4), i+j, cheapNoise(i+j, size))
				}
				mustAppend(t, s, batch...)
				if i%80 == 0 {
					if err := s.SetSetting(fmt.Sprintf("setting %d", i%800), cheapNoise(i, 8<<10)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for n := range 4 {
				checkBodies(t, s, fmt.Sprintf("%s%d", long[1:], n), records/4, size)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			checkTables(t, dir)
		})
	}
}

// checkBodies rejects all records of a dataset, so that the history fills up
// as well, and wants every body as it was.
func checkBodies(t *testing.T, s *Spool, dataset string, records, size int) {
	t.Helper()
	st := mustStream(t, s, "tables/"+dataset[195:], dataset)
	for read := 0; read < records; {
		recs := mustFetch(t, st, 100)
		if len(recs) == 0 {
			t.Fatalf("%d of %d records of a dataset came back", read, records)
		}
		for _, r := range recs {
			var number int
			if _, err := fmt.Sscanf(r.Name, "%d.csv", &number); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readBody(t, r), cheapNoise(number, size)) {
				t.Fatalf("record %s came back changed", r.Name)
			}
		}
		settleAll(t, st, FateRejected, recs)
		read += len(recs)
	}
}

// checkTables looks at every table below the folder.
func checkTables(t *testing.T, dir string) {
	t.Helper()
	tables, largest := 0, int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		tables, largest = tables+1, max(largest, fi.Size())
		if half := 2 * storedShape(filepath.Dir(path)).memTable; fi.Size() > half { // BaseTableSize is twice the memtable, the buffer twice that
			t.Errorf("table %s has %d bytes, more than half a builder's first buffer (%d)", path, fi.Size(), half)
		}
		return nil
	})
	if err != nil || tables == 0 {
		t.Fatalf("%d tables, %v", tables, err)
	}
	t.Logf("%d tables, the largest of %d bytes", tables, largest)
}
