package spool

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStreamsSurviveRestarts(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st := mustStream(t, s, "a", "training")
	for i := range 40 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)), sample("anomaly", i))
	}
	recs := mustFetch(t, st, 30)
	settleAll(t, st, FateStored, recs[:25])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	st = mustStream(t, s, "a", "training")
	records, bytes := st.Backlog()
	if records != 15 || bytes != 15*(60<<10) {
		t.Errorf("backlog is %d records of %d bytes, want 15 of %d", records, bytes, 15*(60<<10))
	}
	if got := mustFetch(t, st, 1); got[0].Sequence != recs[25].Sequence {
		t.Errorf("the next is %d, want %d", got[0].Sequence, recs[25].Sequence)
	}
	if _, err := s.Stream("a", "anomaly", StreamOptions{}); err == nil {
		t.Error("a stream changed its dataset")
	}
	late, err := s.Stream("late", "training", StreamOptions{FromNow: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := mustFetch(t, late, 10); len(got) != 0 {
		t.Errorf("a stream from now on has %d old records", len(got))
	}
	if err := late.Reset(t.Context(), recs[38-10].Sequence); err != nil {
		t.Fatal(err)
	}
	if n, _ := late.Backlog(); n != 12 {
		t.Errorf("backlog after reset is %d, want 12", n)
	}
	if err := s.RemoveStream("late"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveStream("late"); !errors.Is(err, ErrUnknownStream) {
		t.Errorf("removing it twice gives %v", err)
	}
}

func TestReadyWakesForTheDatasetOnly(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	ready := st.Ready()
	mustAppend(t, s, sample("testing", 1))
	select {
	case <-ready:
		t.Error("another dataset's record woke the stream")
	default:
	}
	mustAppend(t, s, sample("training", 1))
	<-ready
}

func TestPassedSegmentsGo(t *testing.T) {
	s := openTest(t, func(c *Config) { c.Keep = 0 })
	st := mustStream(t, s, "a", "training")
	for i := range 100 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	before := s.Stats().Segments
	settleAll(t, st, FateStored, mustFetch(t, st, 1000))
	s.mu.Lock()
	s.choresAt = time.Now()
	s.mu.Unlock()
	s.nudge()
	mustAppend(t, s, sample("training", 1000)) // after the chores of the same turn
	mustAppend(t, s, sample("training", 1001))
	if after := s.Stats().Segments; before < 5 || after != 1 {
		t.Errorf("%d segments became %d, want 1", before, after)
	}
	if got := mustAppend(t, s, sampleOf("training", 3, noise(3, 60<<10))); !got[0].Duplicate || got[0].Sequence != 4 {
		t.Errorf("a delivered sample whose segment is gone gives %+v, want a duplicate of 4", got[0])
	}
}

func TestRejectedSamplesMayComeAgain(t *testing.T) {
	s := openTest(t, nil)
	a, b := mustStream(t, s, "a", "training"), mustStream(t, s, "b", "training")
	mustAppend(t, s, sample("training", 1))
	settleAll(t, a, FateRejected, mustFetch(t, a, 1))
	if got := mustAppend(t, s, sample("training", 1)); !got[0].Duplicate {
		t.Error("a sample that b may still take was taken twice")
	}
	settleAll(t, b, FateRejected, mustFetch(t, b, 1))
	if got := mustAppend(t, s, sample("training", 1)); got[0].Duplicate || got[0].Sequence != 2 {
		t.Errorf("a sample that all rejected gives %+v, want a new record 2", got[0])
	}
}

func TestFactsAndSettingsSurvive(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	key := func(i int) (k [16]byte) {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		copy(k[:], sum[:])
		return k
	}
	const facts = 100_000
	before := heapInUse()
	for i := range facts {
		if err := s.Remember("folder", key(i)); err != nil {
			t.Fatal(err)
		}
		if i%10_000 == 0 {
			mustAppend(t, s, sample("training", i))
		}
	}
	if err := s.saveFacts(); err != nil {
		t.Fatal(err)
	}
	each := (heapInUse() - before) / facts
	t.Logf("a remembered key takes %d bytes", each)
	if each > 48 && runtime.GOARCH == "amd64" {
		t.Errorf("a remembered key takes %d bytes of memory", each)
	}
	odd := map[[16]byte]bool{}
	for i := 1; i < facts; i += 2 {
		odd[key(i)] = true
	}
	if err := s.Retain("folder", func(k [16]byte) bool { return odd[k] }); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting("name", []byte("pump 4")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	for i := range facts {
		if got := s.Remembered("folder", key(i)); got != (i%2 == 1) {
			t.Fatalf("key %d is remembered: %v", i, got)
		}
	}
	if s.Remembered("other", key(1)) {
		t.Error("another source remembers the key")
	}
	if v, ok := s.Setting("name"); !ok || string(v) != "pump 4" {
		t.Errorf("setting is %q, %v", v, ok)
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// TestMetaGoesThroughGenerations writes enough for several and wants the last
// value of everything.
func TestMetaGoesThroughGenerations(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	mustStream(t, s, "a", "training")
	first := s.meta.gen
	for i := range 300 {
		if err := s.SetSetting(fmt.Sprint("key", i%10), fmt.Appendf(make([]byte, 40<<10), "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if s.meta.gen < first+3 {
		t.Fatalf("meta is at generation %d after %d", s.meta.gen, first)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "meta", "*")); len(left) != 1 {
		t.Errorf("generations left behind: %v", left)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	for i := range 10 {
		v, ok := s.Setting(fmt.Sprint("key", i))
		if want := fmt.Sprint(290 + i); !ok || string(v[40<<10:]) != want {
			t.Errorf("setting %d is not %s", i, want)
		}
	}
	if got := s.Streams(); len(got) != 1 || got[0].Name != "a" {
		t.Errorf("streams are %+v", got)
	}
}

func TestBootsAreDated(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st := mustStream(t, s, "a", "training")
	offset := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	mustAppend(t, s, sample("training", 1), sample("training", 2))
	early := mustFetch(t, st, 1)
	if _, ok := s.Dated(&early[0]); ok {
		t.Error("a record of an unknown boot has a date")
	}
	if err := s.MarkBootTime([16]byte{1}, offset); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkBootTime([16]byte{1}, offset.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	recs := mustFetch(t, mustStream(t, s, "a", "training"), 10)
	if _, ok := s.Dated(&recs[0]); ok {
		t.Error("a record that was offered undated got a date")
	}
	if got, ok := s.Dated(&recs[1]); !ok || !got.Equal(offset.Add(2*time.Second)) {
		t.Errorf("record 2 is dated %v, %v; want %v", got, ok, offset.Add(2*time.Second))
	}
}

func TestCreatedAtNeverGoesBack(t *testing.T) {
	s := openTest(t, nil)
	wall := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	instants := []Instant{
		{Boot: [16]byte{1}, Since: 10 * time.Second},
		{Boot: [16]byte{1}, Since: 20 * time.Second, Wall: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()},
		{Boot: [16]byte{1}, Since: 30 * time.Second, Wall: wall.UnixNano(), State: ClockSynchronised},
		{Boot: [16]byte{1}, Since: 40 * time.Second, Wall: wall.Add(-time.Hour).UnixNano(), State: ClockSynchronised},
		{Boot: [16]byte{2}, Since: 5 * time.Second},
	}
	for i, at := range instants {
		r := sample("training", i)
		r.Time = at
		mustAppend(t, s, r)
	}
	want := []time.Time{time.Unix(10, 0), time.Unix(20, 0), wall, wall.Add(5 * time.Second), wall.Add(10 * time.Second)}
	for i, r := range mustFetch(t, mustStream(t, s, "a", "training"), 10) {
		if !r.CreatedAt.Equal(want[i]) {
			t.Errorf("record %d is created at %v, want %v", i+1, r.CreatedAt, want[i])
		}
	}
}

// TestWaitersShareCommits counts commits of many who wait at the same time.
func TestWaitersShareCommits(t *testing.T) {
	s := openTest(t, nil)
	var wg sync.WaitGroup
	const waiters = 200
	for i := range waiters {
		wg.Go(func() { mustAppend(t, s, sample("training", i)) })
	}
	wg.Wait()
	if c := s.Stats().Commits; c > waiters/2 {
		t.Errorf("%d waiters took %d commits", waiters, c)
	}
}

// TestUnwaitedRecordsAreCommitted has the spool in a bubble of false time.
func TestUnwaitedRecordsAreCommitted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(testConfig(dir, nil))
		if err != nil {
			t.Fatal(err)
		}
		st := mustStream(t, s, "a", "training")
		ready, start := st.Ready(), time.Now()
		if _, err := s.Append(context.Background(), sample("training", 1)); err != nil {
			t.Fatal(err)
		}
		<-ready
		if d := time.Since(start); d != s.conf.Commit.Interval {
			t.Errorf("committed after %v, want %v", d, s.conf.Commit.Interval)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// endless gives that many bytes without holding them.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	for i := range p[:n] {
		p[i] = byte(e.left+int64(i)) ^ byte((e.left+int64(i))>>9)
	}
	e.left -= int64(n)
	return n, nil
}

func TestHundredMegabytesInLittleMemory(t *testing.T) {
	s := openTest(t, func(c *Config) { c.segmentBytes = 16 << 20 })
	const size = 100_000_000
	before := heapInUse()
	body, err := s.Stage(t.Context(), &endless{size}, size)
	if err != nil {
		t.Fatal(err)
	}
	r := sample("training", 1)
	r.Body = body
	mustAppend(t, s, r)
	recs := mustFetch(t, mustStream(t, s, "a", "training"), 10)
	if len(recs) != 1 || recs[0].Size != size {
		t.Fatalf("fetched %d records", len(recs))
	}
	rd, err := recs[0].Body.Open()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, rd); err != nil || n != size {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	if [32]byte(sum.Sum(nil)) != body.SHA256() {
		t.Error("the body came back changed")
	}
	if grown := heapInUse() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

func TestConfigFaults(t *testing.T) {
	c := DefaultConfig()
	none := func(field, problem, remedy string) { t.Errorf("default: %s: %s; %s", field, problem, remedy) }
	c.Validate(none)
	c = Config{MaxBytes: 47 << 20, WhenFull: "panic", MinFree: -1, Keep: -1}
	found := map[string]bool{}
	c.Validate(func(field, _, _ string) { found[field] = true })
	for _, field := range []string{"path", "max_bytes", "min_free", "when_full", "commit.bytes", "commit.interval", "keep"} {
		if !found[field] {
			t.Errorf("%s was accepted", field)
		}
	}
}

func TestVolatileFoldersAreRefused(t *testing.T) {
	c := testConfig("/dev/shm/edgespool-test", func(c *Config) { c.AllowVolatile = false })
	if err := refuseVolatile("/dev/shm"); err == nil {
		t.Skip("/dev/shm is no tmpfs here")
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.Path) })
	if _, err := Open(c); !errors.Is(err, ErrVolatile) {
		t.Errorf("open gives %v, want ErrVolatile", err)
	}
}

// TestCursorsNeverLieAhead: a cursor is set behind records that are given
// their sequence but lost by a power cut; what comes then must be delivered.
func TestCursorsNeverLieAhead(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	mustAppend(t, s, sample("training", 1))
	old := mustStream(t, s, "old", "training")
	s.mu.Lock()
	s.nextSeq += 10 // as ten records that were never written
	s.mu.Unlock()
	if _, err := s.Stream("new", "training", StreamOptions{FromNow: true}); err != nil {
		t.Fatal(err)
	}
	if err := old.Reset(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	mustAppend(t, s, sample("training", 2))
	for _, name := range []string{"old", "new"} {
		if recs := mustFetch(t, mustStream(t, s, name, "training"), 10); len(recs) != 1 || recs[0].Name != "2.csv" {
			t.Errorf("stream %s gives %v, want the record that came after it", name, sequences(recs))
		}
	}
}

// TestSequencesGoOnWithoutMeta: meta is lost and every segment was passed and
// went; only the duplicate index remembers how far the spool had come.
func TestSequencesGoOnWithoutMeta(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	for i := range 40 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"meta", "seg"} {
		if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
	}
	s = openAt(t, dir, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := s.Append(ctx, sampleOf("training", 0, noise(0, 60<<10))) // its segment was sealed
	if err == nil {
		err = r.Wait(ctx)
	}
	if err != nil || !r.Results[0].Duplicate {
		t.Errorf("a known sample gives %+v, %v; want a repeat at once", r.Results, err)
	}
	known := s.index.runs[len(s.index.runs)-1].last
	if got := mustAppend(t, s, sample("training", 1000)); got[0].Sequence <= known {
		t.Errorf("a new record has sequence %d, which was given before (up to %d)", got[0].Sequence, known)
	}
}

// TestRemovedStreamsStayRemoved, also when their cursors are being saved.
func TestRemovedStreamsStayRemoved(t *testing.T) {
	s := openTest(t, nil)
	mustAppend(t, s, sample("training", 1))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = s.saveState()
			}
		}
	}()
	for i := range 100 {
		name := fmt.Sprint("gone", i)
		st := mustStream(t, s, name, "training")
		settleAll(t, st, FateStored, mustFetch(t, st, 1))
		if err := s.RemoveStream(name); err != nil {
			t.Fatal(err)
		}
		if err := st.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-stopped
	for i := range 100 {
		if _, there := s.meta.get(streamKey(fmt.Sprint("gone", i))); there {
			t.Fatalf("the row of removed stream %d came back", i)
		}
	}
}
