package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// indexKey is the identity of a number; numbers have different ones.
func indexKey(number uint64) (h [hashSize]byte) {
	random := rand.NewPCG(number, 7)
	binary.LittleEndian.PutUint64(h[:], random.Uint64())
	binary.LittleEndian.PutUint32(h[8:], uint32(number))
	return h
}

// fillIndex remembers the identities of the sequences from first on, in
// segments of so many records.
func fillIndex(t testing.TB, x *seenIndex, first, count, each int) {
	t.Helper()
	var mu sync.Mutex
	for from := first; from < first+count; from += each {
		to := min(from+each, first+count)
		for n := from; n < to; n++ {
			x.add(indexKey(uint64(n)), uint64(n), "training")
		}
		row := segmentRow{ID: segmentID{First: uint64(from)}, Last: uint64(to - 1), Count: int64(to - from)}
		if err := x.seal(&mu, row); err != nil {
			t.Fatal(err)
		}
	}
}

func testIndex(t testing.TB, limit int) *seenIndex {
	x := newSeenIndex(filepath.Join(memoryDir(t), "seen"), limit, silent{})
	x.epoch = 42
	if err := os.MkdirAll(x.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return x
}

// figure says a measured value in the form that scripts/bench collects.
func figure(t testing.TB, name string, value float64, unit string) {
	t.Helper()
	t.Logf("figure: %s %.4g %s", name, value, unit)
}

// TestIndexOfAMillion remembers a million identities (two in the long form)
// and asks for known and unknown ones: it must know all of the former and none
// of the latter, from a file that is not asked for the unknown, in 4 bytes of
// memory each. On 32 bits it has to be just as exact.
func TestIndexOfAMillion(t *testing.T) {
	known, asked := 1_000_000, 100_000
	if soak() {
		known, asked = 2_000_000, 2_000_000
	} else if testing.Short() && strconv.IntSize == 64 { // the race detector takes long
		known, asked = 100_000, 25_000
	} else if testing.Short() {
		asked = 25_000
	}
	before := heapInUse()
	x := testIndex(t, 2*known)
	fillIndex(t, x, 1, known/2, 8000)
	x.active = map[[hashSize]byte]seenRef{} // the active segment aside
	half := float64(heapInUse()-before) / float64(known/2)
	fillIndex(t, x, 1+known/2, known/2, 2000)
	x.active = map[[hashSize]byte]seenRef{}
	whole := float64(heapInUse()-before) / float64(known)

	hits, wrong, candidates := 0, 0, 0
	for i := range asked {
		number := uint64(1 + i*(known/asked))
		if sequence, ok := x.lookup(indexKey(number)); ok && sequence == number {
			hits++
		}
	}
	for i := range known {
		h := indexKey(uint64(known + 1 + i))
		for _, r := range x.runs {
			if r.maybe(h) {
				candidates++
			}
		}
		if i%(known/asked) == 0 {
			if _, ok := x.lookup(h); ok {
				wrong++
			}
		}
	}
	reads := float64(candidates) / float64(known)
	figure(t, fmt.Sprintf("index-hits-of-%d", asked), float64(hits), "identities")
	figure(t, fmt.Sprintf("index-false-hits-of-%d", asked), float64(wrong), "identities")
	figure(t, fmt.Sprintf("index-memory-of-%d", known/2), half, "bytes/identity")
	figure(t, fmt.Sprintf("index-memory-of-%d", known), whole, "bytes/identity")
	figure(t, "index-disk", float64(treeBytes(x.dir))/float64(known), "bytes/identity")
	figure(t, "index-runs", float64(len(x.runs)), "files")
	figure(t, "index-reads-per-unknown", reads, "pages")
	if hits != asked || wrong != 0 {
		t.Errorf("%d of %d known ones were found, and %d of %d unknown ones", hits, asked, wrong, asked)
	}
	if half > 4 || whole > 4 {
		t.Errorf("an identity takes %.2f and %.2f bytes of memory, want at most 4", half, whole)
	}
	if reads > 0.2 {
		t.Errorf("an unknown one reads %.2f pages, want mostly none", reads)
	}
	if most := 2*runsKept + mergeRuns; len(x.runs) > most {
		t.Errorf("there are %d runs, want at most %d", len(x.runs), most)
	}
}

// BenchmarkIndex asks an index of a million.
func BenchmarkIndex(b *testing.B) {
	x := testIndex(b, 2_000_000)
	fillIndex(b, x, 1, 1_000_000, 8000)
	for name, first := range map[string]uint64{"known": 1, "unknown": 1_000_001} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				_, ok := x.lookup(indexKey(first + i*7919%1_000_000))
				if ok != (first == 1) {
					b.Fatal("wrong answer")
				}
				i++
			}
		})
	}
}

// TestIndexWear measures what remembering costs the card: the device bytes of
// runs and of merging them, with everything that the file system writes for
// it. At 4 KB a record, segments have 768 under the smallest cap, and 2048, 4096
// and 8192 by class of board; the last case merges them, as larger records
// would have it. A segment's other files are synced when it is sealed, and the
// kernel writes a run back before the next segment is full: both are done here,
// with the index and without, and the difference counts.
func TestIndexWear(t *testing.T) {
	disk := wearDisk(t)
	for _, c := range []struct{ each, limit int }{
		{768, seenLimit(2_000_000, minMaxBytes)}, {2048, 300_000}, {4096, 1_000_000}, {8192, 2_000_000}, {2048, 2_000_000},
	} {
		segments := rounds(2, 8) * mergeRuns
		with, without := sealedBytes(t, disk, segments, c.each, c.limit), sealedBytes(t, disk, segments, 0, c.limit)
		device := float64(with-without) / float64(segments*c.each)
		figure(t, fmt.Sprintf("index-wear-of-%d-at-%d-a-segment", c.limit, c.each), device, "device-bytes/identity")
		if device > 64 {
			t.Errorf("an identity costs %.1f device bytes in segments of %d, want at most 64", device, c.each)
		}
	}
}

// sealedBytes is what a disk writes for so many segments that are sealed, each
// of which has that many identities for the index.
func sealedBytes(t *testing.T, disk string, segments, each, limit int) int64 {
	t.Helper()
	dir, err := os.MkdirTemp(disk, "")
	if err != nil {
		t.Fatal(err)
	}
	x := newSeenIndex(filepath.Join(dir, "seen"), limit, silent{})
	for _, folder := range []string{x.dir, filepath.Join(dir, "seg")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := deviceBytes(t, disk)
	for i := range segments {
		fillIndex(t, x, 1+i*each, each, max(each, 1))
		store := filepath.Join(dir, "seg", fmt.Sprint(i))
		if err := os.Mkdir(store, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"000001.vlog", "000001.sst", "MANIFEST"} {
			if err := os.WriteFile(filepath.Join(store, name), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := syncStore(store); err != nil {
			t.Fatal(err)
		}
		deviceBytes(t, disk) // writes back
	}
	return deviceBytes(t, disk) - before
}

// seenSegment makes segments of some 30 records of fillSeen.
const seenSegment = 16 << 10

// fillSeen fills a spool with segments of small records.
func fillSeen(t *testing.T, dir string, records int) {
	t.Helper()
	s, err := Open(testConfig(dir, func(c *Config) { c.segmentBytes = seenSegment }))
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		mustAppend(t, s, sampleOf("training", i, cheapNoise(i, 256)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkSeen opens the spool and asks for every record and for others.
func checkSeen(t *testing.T, dir string, records int, log Logger) {
	t.Helper()
	s, err := Open(testConfig(dir, func(c *Config) { c.segmentBytes, c.Log = seenSegment, log }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range records {
		if sequence, ok := s.Seen(Bytes(cheapNoise(i, 256)).SHA256()); !ok || sequence != uint64(i+1) {
			t.Fatalf("record %d is seen as %d, %v", i+1, sequence, ok)
		}
	}
	for i := range records {
		if sequence, ok := s.Seen(Bytes(cheapNoise(records+i, 256)).SHA256()); ok {
			t.Fatalf("an unknown one is seen as %d", sequence)
		}
	}
}

// TestIndexSurvivesDamage damages the index's files while the records live:
// afterwards it must answer as exactly as before.
func TestIndexSurvivesDamage(t *testing.T) {
	const records = 200
	whole := t.TempDir()
	fillSeen(t, whole, records)
	runs, err := filepath.Glob(filepath.Join(whole, "seen", "*.run"))
	if err != nil || len(runs) < 4 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	name := func(i int) string { return filepath.Base(runs[i]) }
	damages := map[string]func(t *testing.T, seen string){
		"nothing":      func(*testing.T, string) {},
		"all missing":  func(t *testing.T, seen string) { removeAll(t, filepath.Join(seen, "*")) },
		"one missing":  func(t *testing.T, seen string) { remove(t, filepath.Join(seen, name(1))) },
		"cut short":    func(t *testing.T, seen string) { truncate(t, filepath.Join(seen, name(1)), runPage) },
		"empty":        func(t *testing.T, seen string) { truncate(t, filepath.Join(seen, name(1)), 0) },
		"head flipped": func(t *testing.T, seen string) { flipAt(t, filepath.Join(seen, name(1)), 70) },
		"page flipped": func(t *testing.T, seen string) { flipAt(t, filepath.Join(seen, name(1)), runPage+30) },
		"a folder":     func(t *testing.T, seen string) { must(0, os.MkdirAll(filepath.Join(seen, "x", "y"), 0o755)) },
		"half written": func(t *testing.T, seen string) {
			data := must(os.ReadFile(filepath.Join(seen, name(1))))
			remove(t, filepath.Join(seen, name(1)))
			must(0, os.WriteFile(filepath.Join(seen, name(1)+runDraft), data[:len(data)/2], 0o644))
		},
		"half merged": func(t *testing.T, seen string) {
			var small []*run
			epoch := epochOf(t, filepath.Dir(seen))
			for i := range runs[:3] {
				small = append(small, must(openRun(filepath.Join(seen, name(i)), epoch)))
			}
			must(mergeRunFiles(seen, epoch, small))
			remove(t, filepath.Join(seen, name(0)))
		},
		"another spool's": func(t *testing.T, seen string) {
			remove(t, filepath.Join(seen, name(1)))
			r := must(openRun(runs[1], epochOf(t, whole)))
			must(writeRun(seen, 99, seqRange{r.first, r.last}, []identityRef{{hash: indexKey(1), sequence: r.first}}))
		},
	}
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "spool")
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			damage(t, filepath.Join(dir, "seen"))
			if what == "page flipped" { // found by asking, mended behind it
				mendFlipped(t, dir, records)
			}
			checkSeen(t, dir, records, nil)
			left := must(os.ReadDir(filepath.Join(dir, "seen")))
			for _, d := range left {
				if strings.HasSuffix(d.Name(), runDraft) {
					t.Errorf("%s is left", d.Name())
				}
			}
		})
	}
}

// epochOf is the epoch of a spool, as one of its runs has it.
func epochOf(t *testing.T, dir string) uint64 {
	t.Helper()
	runs := must(filepath.Glob(filepath.Join(dir, "seen", "*.run")))
	return binary.BigEndian.Uint64(must(os.ReadFile(runs[0]))[8:])
}

// mendFlipped asks for every record once, and has the index put in order.
func mendFlipped(t *testing.T, dir string, records int) {
	t.Helper()
	s := must(Open(testConfig(dir, func(c *Config) { c.segmentBytes = seenSegment })))
	defer s.Close()
	missed := 0
	for i := range records {
		sequence, ok := s.Seen(Bytes(cheapNoise(i, 256)).SHA256())
		if ok && sequence != uint64(i+1) {
			t.Fatalf("record %d is seen as %d", i+1, sequence)
		}
		if !ok {
			missed++
		}
	}
	if missed == 0 || missed > runPerPage {
		t.Errorf("%d records are not seen for the damaged page", missed)
	}
	if err := s.keepIndex(); err != nil {
		t.Fatal(err)
	}
}

// TestIndexHidesNoMissingRun has one run fail to be written between others
// that are merged: its segment's records must be known after a restart.
func TestIndexHidesNoMissingRun(t *testing.T) {
	dir := t.TempDir()
	s := must(Open(testConfig(dir, func(c *Config) { c.segmentBytes = 4 << 10 })))
	s.index.small = 8192
	number := 0
	rotate := func() {
		for _, before := 0, len(s.table.list()); len(s.table.list()) == before; number++ {
			mustAppend(t, s, sampleOf("training", number, cheapNoise(number, 256)))
		}
	}
	rotate()
	rotate()
	seen := s.index.dir
	s.mu.Lock()
	s.index.dir = filepath.Join(dir, "nowhere") // the next run does not get written
	s.mu.Unlock()
	rotate()
	s.mu.Lock()
	s.index.dir = seen
	s.mu.Unlock()
	for range 2*mergeRuns + 2 {
		rotate()
	}
	if n := len(s.index.runs); n > mergeRuns+6 {
		t.Errorf("%d runs: none were merged", n)
	}
	s.mu.Lock()
	last := s.durable
	s.mu.Unlock()
	// As after a crash: chores would have made the run that is missing.
	copied := filepath.Join(t.TempDir(), "spool")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkSeen(t, copied, int(last), nil)
	checkSeen(t, dir, int(last), nil)
}

// TestIndexIsBounded: beyond its limit the oldest go, while their records are
// still there, and no start brings them back.
func TestIndexIsBounded(t *testing.T) {
	dir := t.TempDir()
	config := testConfig(dir, func(c *Config) { c.segmentBytes = seenSegment })
	const records = 300
	s := must(Open(config))
	for i := range records {
		mustAppend(t, s, sampleOf("training", i, cheapNoise(i, 256)))
	}
	s.mu.Lock()
	s.index.limit = records / 2
	s.mu.Unlock()
	if err := s.keepIndex(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must(Open(config))
	defer s.Close()
	known := 0
	for i := range records {
		sequence, ok := s.Seen(Bytes(cheapNoise(i, 256)).SHA256())
		if ok && sequence != uint64(i+1) {
			t.Fatalf("record %d is seen as %d", i+1, sequence)
		}
		if ok {
			known++
		} else if known > 0 {
			t.Fatalf("record %d was forgotten before older ones", i+1)
		}
	}
	active := len(s.index.active)
	if known > records/2+active || known < records/4 {
		t.Errorf("%d of %d are known, of which %d in the active segment", known, records, active)
	}
}

// TestIndexLetsLostRecordsComeAgain: what salvage could not save must not be
// refused as a duplicate when it comes again.
func TestIndexLetsLostRecordsComeAgain(t *testing.T) {
	dir := t.TempDir()
	fillSeen(t, dir, 100)
	segments := must(filepath.Glob(filepath.Join(dir, "seg", "*")))
	flipAt(t, valueLog(t, dir, 1), int64(fileSize(t, valueLog(t, dir, 1))/2)) // one of its chunks
	removeAll(t, filepath.Join(segments[1], "MANIFEST"))
	s := openAt(t, dir, func(c *Config) { c.segmentBytes = seenSegment })
	st := mustStream(t, s, "a", "training")
	got := map[uint64]bool{}
	for _, r := range mustFetch(t, st, 1000) {
		got[r.Sequence] = true
	}
	lost := 0
	for i := range 100 {
		result := mustAppend(t, s, sampleOf("training", i, cheapNoise(i, 256)))[0]
		if result.Duplicate == got[uint64(i+1)] {
			lost += min(1, 1-map[bool]int{true: 1}[result.Duplicate])
			continue
		}
		t.Errorf("record %d: there %v, duplicate %v", i+1, got[uint64(i+1)], result.Duplicate)
	}
	if lost == 0 || lost > 50 {
		t.Errorf("%d records were lost and came again, want some", lost)
	}
}

// TestForgottenRanges plays ranges against a plain set, over restarts too. It
// may let more come again than it was told, never less.
func TestForgottenRanges(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	x := testIndex(t, 1000)
	stored := map[string][]byte{}
	told := map[uint64]bool{}
	for range rounds(20_000, 100_000) {
		from := random.Uint64N(40_000) + 1
		to := from + random.Uint64N(2)
		for seq := from; seq <= to; seq++ {
			told[seq] = true
		}
		for _, p := range x.forget("training", from, to) {
			if p.value == nil {
				delete(stored, string(p.key))
			} else {
				stored[string(p.key)] = p.value
			}
		}
		if n := len(x.forgotten["training"]); n > forgottenKept {
			t.Fatalf("%d ranges are kept", n)
		}
	}
	y := testIndex(t, 1000)
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range stored {
			if !yield(k) {
				return
			}
		}
	}) {
		y.loadForgotten([]byte(key), stored[key])
	}
	more := 0
	for seq := range uint64(40_100) {
		a, b := x.isForgotten("training", seq), y.isForgotten("training", seq)
		if told[seq] && !a || a != b {
			t.Fatalf("%d: told %v, forgotten %v, after a restart %v", seq, told[seq], a, b)
		}
		if a && !told[seq] {
			more++
		}
	}
	t.Logf("%d ranges, %d rows, %d more than told", len(x.forgotten["training"]), len(stored), more)
	if gone := x.remind(1 << 40); len(x.forgotten) != 0 || len(gone) != len(stored) {
		t.Errorf("%d rows go, %d are stored", len(gone), len(stored))
	}
}

// FuzzRun reads runs from outside bytes.
func FuzzRun(f *testing.F) {
	dir := f.TempDir()
	r, err := writeRun(dir, 1, seqRange{1, 400}, refs(400, 1))
	if err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:runPage])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.run")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := openRun(path, 1)
		if err != nil {
			return
		}
		for _, ref := range refs(400, 1) {
			found, err := r.find(ref.hash, make([]byte, runPage))
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			for _, got := range found {
				if got.hash != ref.hash {
					t.Fatal("another identity was found")
				}
			}
		}
		runtime.KeepAlive(r)
	})
}
