package spool

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// memoryDir is a folder in memory where there is one, so that building a large
// spool costs no card; else an ordinary one.
func memoryDir(t testing.TB) string {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || uint32(st.Type) != magicTmpfs || int64(st.Bavail)*int64(st.Bsize) < 4<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "edgespool-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// scaleSpool fills a spool with that many records of that many bytes, all in
// "training", and closes it. change may set the size of its segments.
func scaleSpool(t testing.TB, dir string, records, size int, change func(c *Config)) {
	t.Helper()
	c := testConfig(dir, func(c *Config) {
		c.MaxBytes, c.segmentBytes = 64<<30, 0
		if change != nil {
			change(c)
		}
	})
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]Record, 0, 256)
	small := s.lim.segment < 1<<20 // then a commit must not be larger than a segment
	full := func() bool {
		return len(batch) == cap(batch) || len(batch)*size >= 256<<10 || small && int64(len(batch)*(size+256)) >= s.lim.segment
	}
	first := int(s.Stats().NextSequence)
	for i := range records {
		batch = append(batch, sampleOf("training", first+i, cheapNoise(first+i, size)))
		if !full() && i < records-1 {
			continue
		}
		r, err := s.Append(t.Context(), batch...)
		if err == nil && (small || i == records-1) {
			err = r.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		batch = batch[:0]
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// cheapNoise is a body of its own for each number, which does not compress.
func cheapNoise(number, size int) []byte {
	body := make([]byte, size)
	random := rand.NewPCG(uint64(number), 1)
	for i := 0; i < len(body); i += 8 {
		v := random.Uint64()
		for j := i; j < min(i+8, len(body)); j++ {
			body[j] = byte(v)
			v >>= 8
		}
	}
	return body
}

// An openCount tells which folders had a file opened in them.
type openCount struct {
	fd   int
	dirs map[int32]string
}

// countOpens watches the folders under parent.
func countOpens(t *testing.T, parent string) *openCount {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Skip("the kernel does not tell who opens files: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	c := &openCount{fd: fd, dirs: map[int32]string{}}
	for _, d := range must(os.ReadDir(parent)) {
		watch, err := unix.InotifyAddWatch(fd, filepath.Join(parent, d.Name()), unix.IN_OPEN)
		if err != nil {
			t.Skip("the kernel does not watch so many folders: ", err)
		}
		c.dirs[int32(watch)] = d.Name()
	}
	return c
}

// take gives the opens of files since the last call, by folder.
func (c *openCount) take(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(c.fd, buf)
		if err != nil || n <= 0 {
			return found
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			watch := int32(binary.NativeEndian.Uint32(buf[at:]))
			mask := binary.NativeEndian.Uint32(buf[at+4:])
			if mask&unix.IN_Q_OVERFLOW != 0 {
				t.Fatal("more files were opened than could be counted")
			}
			if mask&unix.IN_ISDIR == 0 {
				found[c.dirs[watch]]++
			}
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
		}
	}
}

// readBytes is what this process has read with system calls.
func readBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("the kernel does not count what is read: ", err)
	}
	var n int64
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// scaleSegments is how many segments the tests of scale have.
func scaleSegments() int { return rounds(300, 1000) }

// segmentsOf fills a spool with that many segments of seven records.
func segmentsOf(t *testing.T, dir string, segments int) {
	t.Helper()
	scaleSpool(t, dir, 7*segments, 1<<10, func(c *Config) { c.segmentBytes = 8 << 10 })
	if n := len(must(os.ReadDir(filepath.Join(dir, "seg")))); n != segments {
		t.Fatalf("%d segments were made, want %d", n, segments)
	}
}

func scaleConfig(dir string) Config {
	return testConfig(dir, func(c *Config) { c.MaxBytes, c.segmentBytes = 64<<30, 8<<10 })
}

// TestScaleStart opens spools of few and of many segments, closed and killed,
// with a stream in the middle and one at the end of the backlog. No file may
// be opened in any segment but the last, and what is read may grow by a row
// for each segment only; meta's logs have room for twice as much, and after a
// kill they are copied with it.
func TestScaleStart(t *testing.T) {
	base := memoryDir(t)
	read := map[string]int64{}
	took := map[string]time.Duration{}
	many := scaleSegments()
	for _, segments := range []int{10, many} {
		dir := filepath.Join(base, fmt.Sprint(segments))
		segmentsOf(t, dir, segments)
		s := must(Open(scaleConfig(dir)))
		for name, sequence := range map[string]uint64{"oldest": 0, "middle": uint64(7*segments/2 + 3), "newest": 1 << 40} {
			st := mustStream(t, s, name, "training")
			if err := st.Reset(t.Context(), sequence); err != nil {
				t.Fatal(err)
			}
		}
		mustAppend(t, s, sample("training", 1<<30))
		killed := dir + "-killed"
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for end, dir := range map[string]string{"closed": dir, "killed": killed} {
			name := fmt.Sprintf("%s-%d", end, segments)
			opens := countOpens(t, filepath.Join(dir, "seg"))
			before, start := readBytes(t), time.Now()
			s := must(Open(scaleConfig(dir)))
			took[name], read[name] = time.Since(start), readBytes(t)-before
			found := opens.take(t)
			last := s.table.list()[len(s.table.list())-1].id.name()
			for name, n := range found {
				if name != last {
					t.Errorf("%s: %d files were opened in segment %s", end, n, name)
				}
			}
			records, want := s.Streams()[0].Backlog, int64(7*segments+1-7*segments/2-2)
			if records != want {
				t.Errorf("%s: backlog of the stream in the middle is %d, want %d", end, records, want)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, end := range []string{"closed", "killed"} {
		few, all := fmt.Sprintf("%s-10", end), fmt.Sprintf("%s-%d", end, many)
		each := float64(read[all]-read[few]) / float64(many-10)
		figure(t, fmt.Sprintf("start-%s-of-%d-segments", end, many), float64(took[all].Microseconds())/1000, "ms")
		figure(t, fmt.Sprintf("start-%s-of-%d-segments-to-10", end, many), float64(took[all])/float64(took[few]), "times")
		figure(t, fmt.Sprintf("start-%s-reads-a-segment", end), each, "bytes")
		if each > 4<<10 {
			t.Errorf("a start reads %.0f bytes for each segment, want a row", each)
		}
	}
}

// A fetchCost is what a batch of 100 costs at some place of a backlog.
type fetchCost struct {
	took   time.Duration // median
	allocs float64
	opened map[string]int // files, by segment
}

// costOfBatches is the least that nine batches cost in some rounds.
func costOfBatches(t *testing.T, s *Spool, st *Stream, from uint64, reject bool) fetchCost {
	t.Helper()
	best := costOnce(t, s, st, from, reject)
	for range 4 {
		next := costOnce(t, s, st, from, reject)
		best.took, best.allocs = min(best.took, next.took), min(best.allocs, next.allocs)
		if len(next.opened) > len(best.opened) {
			best.opened = next.opened
		}
	}
	return best
}

// costOnce fetches and settles batches from a sequence on; one record of each
// becomes an exception if reject is set.
func costOnce(t *testing.T, s *Spool, st *Stream, from uint64, reject bool) fetchCost {
	t.Helper()
	if err := st.Reset(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	mustFetch(t, st, 1) // opens the segment
	opens := countOpens(t, s.table.dir)
	var took []time.Duration
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 9 {
		start := time.Now()
		recs := mustFetch(t, st, 100)
		took = append(took, time.Since(start))
		if len(recs) != 100 {
			t.Fatalf("fetched %d records", len(recs))
		}
		out := make([]Outcome, len(recs))
		for i, r := range recs {
			out[i] = Outcome{Sequence: r.Sequence, Fate: FateStored}
		}
		if reject {
			out[50].Fate = FateRejected
		}
		if err := st.Settle(t.Context(), out...); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	slices.Sort(took)
	return fetchCost{took[len(took)/2], float64(after.Mallocs-before.Mallocs) / 9, opens.take(t)}
}

// TestScaleFetch compares the next batch of a thousand records with the next
// one of a million (a hundred thousand in the short form), at the front, in
// the middle and at the end, with exceptions and without.
func TestScaleFetch(t *testing.T) {
	base := memoryDir(t)
	records := rounds(100_000, 1_000_000)
	open := func(count int) (*Spool, *Stream) {
		dir := filepath.Join(base, fmt.Sprint(count))
		// The records span hours, and none may go while a slow machine looks at the others.
		config := func(c *Config) { c.MaxBytes, c.segmentBytes, c.Keep = 64<<30, 4<<20, 10_000*time.Hour }
		scaleSpool(t, dir, count, 1<<10, config)
		s := must(Open(testConfig(dir, config)))
		t.Cleanup(func() { _ = s.Close() })
		return s, mustStream(t, s, "behind", "training")
	}
	small, stSmall := open(1000)
	large, stLarge := open(records)
	figure(t, "fetch-segments", float64(len(large.table.list())), "segments")
	for _, reject := range []bool{false, true} {
		few := costOfBatches(t, small, stSmall, 1, reject)
		for place, from := range map[string]int{"front": 1, "middle": records / 2, "end": records - 999} {
			many := costOfBatches(t, large, stLarge, uint64(from), reject)
			name := fmt.Sprintf("fetch-of-%d-to-1000-at-%s", records, place)
			if reject {
				name += "-with-exceptions"
			}
			figure(t, name, float64(many.took)/float64(few.took), "times")
			figure(t, name+"-allocations", many.allocs/few.allocs, "times")
			if many.allocs > 1.5*few.allocs {
				t.Errorf("at the %s, a batch takes %.0f allocations, and %.0f of a small backlog", place, many.allocs, few.allocs)
			}
			if len(many.opened) > 1 {
				t.Errorf("at the %s, more than one segment was opened for 900 records from %d on: files of %v", place, from, many.opened)
			}
			if ratio := float64(many.took) / float64(few.took); soak() && ratio > 1.5 {
				t.Errorf("at the %s, a batch takes %.2f times as long as of a small backlog", place, ratio)
			}
		}
	}
}

// TestScaleDrain takes a backlog through a stream as a worker does, and counts
// the allocations of a record. BenchmarkDrain measures the same at length.
func TestScaleDrain(t *testing.T) {
	dir := filepath.Join(memoryDir(t), "spool")
	records := rounds(50_000, 500_000)
	scaleSpool(t, dir, records, 1<<10, nil)
	s := must(Open(testConfig(dir, func(c *Config) { c.MaxBytes, c.segmentBytes = 64<<30, 0 })))
	defer s.Close()
	st := mustStream(t, s, "a", "training")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, drained := time.Now(), 0
	for recs := mustFetch(t, st, 100); len(recs) > 0; recs = mustFetch(t, st, 100) {
		settleAll(t, st, FateStored, recs)
		drained += len(recs)
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	allocs := float64(after.Mallocs-before.Mallocs) / float64(records)
	figure(t, "drain", float64(drained)/took.Seconds(), "records/s")
	figure(t, "drain-allocations", allocs, "allocations/record")
	if drained != records || allocs > 10 {
		t.Errorf("%d of %d records were drained, in %.1f allocations each", drained, records, allocs)
	}
}

// TestScaleTime resets a stream to times, against a look at every record, and
// counts the segments that are opened for it.
func TestScaleTime(t *testing.T) {
	dir := filepath.Join(memoryDir(t), "spool")
	s := openAt(t, dir, func(c *Config) { c.segmentBytes = 8 << 10 })
	for i := range 400 {
		mustAppend(t, s, sampleOf([]string{"training", "training", "anomaly"}[i%3], i, cheapNoise(i, 1<<10)))
	}
	for _, dataset := range []string{"training", "anomaly"} {
		st := mustStream(t, s, dataset, dataset)
		all := mustFetch(t, st, 1000)
		var at []time.Time
		for i := 0; i < len(all); i += 7 {
			at = append(at, all[i].CreatedAt, all[i].CreatedAt.Add(1), all[i].CreatedAt.Add(-1))
		}
		at = append(at, time.Unix(-1e9, 0), time.Unix(1<<33, 0), all[0].CreatedAt, all[len(all)-1].CreatedAt.Add(1))
		opens := countOpens(t, s.table.dir)
		for _, at := range at {
			opens.take(t)
			if err := st.ResetToTime(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			if n := len(opens.take(t)); n > 2 {
				t.Errorf("%d segments were opened to find a time", n)
			}
			i := slices.IndexFunc(all, func(r Record) bool { return !r.CreatedAt.Before(at) })
			var want, got uint64
			if i >= 0 {
				want = all[i].Sequence
			}
			if recs := mustFetch(t, st, 1); len(recs) > 0 {
				got = recs[0].Sequence
			}
			if got != want {
				t.Fatalf("%s: at %s the first record is %d, want %d", dataset, at, got, want)
			}
		}
	}
}

// TestScaleTenGigabytes builds a backlog of 10 GB in the largest segments and
// looks at start, fetch and memory. Only where it is asked for and there is
// room.
func TestScaleTenGigabytes(t *testing.T) {
	if !soak() {
		t.Skip("only in the long form: it writes 10 GB")
	}
	dir := t.TempDir()
	if free, _, err := freeBytes(dir); err != nil || free < 16<<30 {
		t.Skipf("%s has %d bytes free, 16 GB are needed (%v)", dir, free, err)
	}
	scaleSpool(t, dir, 10<<30/(8<<10), 8<<10, nil)
	config := testConfig(dir, func(c *Config) { c.MaxBytes, c.segmentBytes = 64<<30, 0 })
	before := heapInUse()
	start := time.Now()
	s := must(Open(config))
	defer s.Close()
	figure(t, "start-of-10-GB", float64(time.Since(start).Microseconds())/1000, "ms")
	stats := s.Stats()
	figure(t, "backlog", float64(stats.DiskBytes)/(1<<30), "GiB")
	figure(t, "backlog-segments", float64(stats.Segments), "segments")
	st := mustStream(t, s, "behind", "training")
	for place, from := range map[string]int64{"front": 1, "middle": stats.Records / 2, "end": stats.Records - 999} {
		cost := costOfBatches(t, s, st, uint64(from), false)
		figure(t, "fetch-of-10-GB-at-"+place, float64(cost.took.Microseconds()), "µs/100-records")
	}
	figure(t, "heap-of-10-GB", float64(heapInUse()-before)/(1<<20), "MiB")
}
