package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// noise is a body that does not compress.
func noise(number, size int) []byte {
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(number), byte(number >> 8), byte(number >> 16), 1}).Read(body)
	copy(body, fmt.Sprint(number))
	return body
}

// watchUse measures the folder again and again until stop is called, which
// returns the most it found.
func watchUse(dir string) (stop func() int64) {
	var most atomic.Int64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), treeBytes(dir)))
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	return func() int64 { close(end); <-ended; return most.Load() }
}

func TestCapHoldsWhileRecordsChurn(t *testing.T) {
	const limit = 48 << 20
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.MaxBytes = limit })
	behind := mustStream(t, s, "slow", "training")
	passing := mustStream(t, s, "fast", "anomaly")
	stop := watchUse(dir)
	const records = 1500 // of 64 KiB: twice the cap
	for i := range records {
		r, err := s.Append(t.Context(), sampleOf("training", i, noise(i, 60<<10)), sample("anomaly", i))
		if err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			settleAll(t, passing, FateStored, mustFetch(t, passing, 1000))
		}
	}
	if most := stop(); most > limit {
		t.Errorf("the folder took %d bytes, more than the cap of %d", most, limit)
	}
	stats, lost := s.Stats(), behind.Totals().Lost
	if lost == 0 || stats.Lost != lost {
		t.Errorf("stream counts %d lost, spool %d; want the same and some", lost, stats.Lost)
	}
	if got := passing.Totals(); got.Lost != 0 || got.Stored < records-20 {
		t.Errorf("the stream that kept up counts %+v", got)
	}
	left := mustFetch(t, behind, 1<<30)
	if uint64(len(left))+lost != records {
		t.Errorf("%d records left and %d lost, want %d in all", len(left), lost, records)
	}
	if n, _ := behind.Backlog(); n != int64(len(left)) {
		t.Errorf("backlog is %d, want %d", n, len(left))
	}
	got := mustAppend(t, s, sampleOf("training", 0, noise(0, 60<<10)), sample("anomaly", 0))
	if got[0].Duplicate {
		t.Error("a lost sample does not come again")
	}
	if !got[1].Duplicate {
		t.Error("a delivered sample comes again")
	}
}

func TestRefusingSpoolRecovers(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes, c.WhenFull, c.Keep = 48<<20, refuse, 0 })
	st := mustStream(t, s, "a", "training")
	n := fillUp(t, s)
	if st := s.Stats(); !st.Full || !strings.Contains(st.Refuses, "max_bytes 48MiB") {
		t.Errorf("the figures say of a full spool: %v, because %q", st.Full, st.Refuses)
	}
	if lost := s.Stats().Lost; lost != 0 {
		t.Errorf("%d records lost under refuse", lost)
	}
	passed := 0
	for passed < n {
		recs := mustFetch(t, st, 100)
		settleAll(t, st, FateStored, recs)
		passed += len(recs)
		if len(recs) == 0 {
			t.Fatalf("only %d of %d records came", passed, n)
		}
	}
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := s.Append(t.Context(), sampleOf("training", n+1, noise(n+1, 60<<10)))
		if err == nil {
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			break
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still refused after everything was delivered: %v", err)
		}
	}
	if s.Stats().Full {
		t.Errorf("the figures still say full: %q", s.Stats().Refuses)
	}
}

// fillUp appends until the spool refuses.
func fillUp(t *testing.T, s *Spool) int {
	t.Helper()
	for i := range 10000 {
		r, err := s.Append(t.Context(), sampleOf("training", i, noise(i, 60<<10)))
		if err == nil {
			err = r.Wait(t.Context())
		}
		if errors.Is(err, ErrFull) {
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the spool never said that it is full")
	return 0
}

func TestFloorOfFreeSpace(t *testing.T) {
	dir := t.TempDir()
	free, _, err := freeBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := openAt(t, dir, func(c *Config) { c.MinFree, c.WhenFull = Size(free+1<<30), refuse })
	if _, err := s.Append(t.Context(), sample("training", 1)); !errors.Is(err, ErrFull) {
		t.Errorf("append below the floor gives %v, want ErrFull", err)
	}
}

// smallDisk mounts an ext4 of that size, or skips.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	for _, argv := range [][]string{
		{"truncate", "-s", fmt.Sprintf("%dM", megabytes), image},
		{"mkfs.ext4", "-q", "-F", "-m", "0", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Skipf("needs %s: %v: %s", strings.Join(argv, " "), err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// TestForeignFillNeverKills fills the disk behind the spool's back: what was
// acknowledged stays, appends end in an error or are taken, and when there is
// room again the spool goes on.
func TestForeignFillNeverKills(t *testing.T) {
	disk := smallDisk(t, 96)
	dir := filepath.Join(disk, "spool")
	s, err := Open(testConfig(dir, func(c *Config) { c.WhenFull = refuse }))
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, sample("training", 0))
	eaten := filepath.Join(disk, "eaten")
	eatAll(t, eaten)
	var acked []uint64
	for i := 1; i < 400; i++ {
		r, err := s.Append(t.Context(), sampleOf("training", i, noise(i, 8<<10)))
		if err == nil {
			err = r.Wait(t.Context())
		}
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatalf("append on a full disk: %v", err)
		}
		acked = append(acked, r.Results[0].Sequence)
	}
	t.Logf("%d records were taken on a full disk", len(acked))
	if err := s.Close(); err != nil {
		t.Fatalf("close on a full disk: %v", err)
	}
	if s, err := Open(s.conf); err == nil {
		_ = s.Close()
	} else if !errors.Is(err, ErrFull) {
		t.Errorf("open on a full disk gives %v, want ErrFull", err)
	}
	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	s, err = Open(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if recs := mustFetch(t, mustStream(t, s, "a", "training"), 1<<20); len(recs) != len(acked)+1 {
		t.Errorf("%d records are there, %d were acknowledged", len(recs), len(acked)+1)
	}
	mustAppend(t, s, sample("training", 1000))
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// TestFullDiskIsMadeRoomOn: somebody else fills the disk while the spool drops
// its oldest. Meta has no room for a next generation, but deletions are written
// to it, so the spool goes on; nothing dies of a mapping without blocks.
func TestFullDiskIsMadeRoomOn(t *testing.T) {
	disk := smallDisk(t, 96)
	s, err := Open(testConfig(filepath.Join(disk, "spool"), func(c *Config) { c.MaxBytes = 64 << 20 }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "a", "training")
	for i := range 300 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	recs := mustFetch(t, st, 2)
	eaten := filepath.Join(disk, "eaten")
	eatAll(t, eaten)
	gen, refused := s.meta.gen, 0
	for i := range 3000 {
		if err := s.SetSetting("label", fmt.Appendf(nil, "%d", i)); err != nil {
			refused++
		}
	}
	if s.meta.gen != gen || refused > 1500 {
		t.Errorf("meta went on to generation %d of %d on a full disk, %d settings refused", s.meta.gen, gen, refused)
	}
	if err := st.Settle(t.Context(), Outcome{Sequence: recs[0].Sequence, Fate: FateRejected}); err == nil {
		t.Error("an exception was kept on a full disk")
	}
	for range 40 { // now a block more is free at a time
		if err := os.Truncate(eaten, fileSize(t, eaten)-4<<10); err != nil {
			t.Fatal(err)
		}
		_ = s.SetSetting("label", []byte("tried"))
		_ = st.Settle(t.Context(), Outcome{Sequence: recs[0].Sequence + 1, Fate: FateRejected})
	}
	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	for i := 300; i < 400; i++ {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	settleAll(t, st, FateRejected, recs)
	if err := s.SetSetting("label", []byte("good")); err != nil {
		t.Error(err)
	}
}

// eatAll takes every free block of the disk.
func eatAll(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1<<10; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Sync()
}

// TestFullSpoolKeepsNobodyWaiting: under refuse, whoever waits
// when the cap is reached is told so, and what was taken is written once there
// is room.
func TestFullSpoolKeepsNobodyWaiting(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes, c.WhenFull, c.Keep = 48<<20, refuse, 0 })
	st := mustStream(t, s, "a", "training")
	mustAppend(t, s, sampleOf("training", 0, noise(0, 60<<10)))
	s.table.mu.Lock()
	s.table.segs[0].row.Disk += 40 << 20 // as if the rest of the cap were taken
	s.table.mu.Unlock()
	s.segmentLeft.Store(s.lim.segment) // and the guard before it were wrong
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var late Receipt
	for i := 1; ; i++ {
		r, err := s.Append(ctx, sampleOf("training", i, noise(i, 60<<10)))
		if err == nil {
			late = r
			err = r.Wait(ctx)
		}
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatalf("record %d: %v, want ErrFull", i, err)
		}
		s.segmentLeft.Store(s.lim.segment)
	}
	last := late.Results[0].Sequence
	settleAll(t, st, FateStored, mustFetch(t, st, 1000))
	for ready := st.Ready(); ; ready = st.Ready() {
		recs := mustFetch(t, st, 1000)
		settleAll(t, st, FateStored, recs)
		if len(recs) > 0 && recs[len(recs)-1].Sequence == last {
			break
		}
		select {
		case <-ready:
		case <-ctx.Done():
			t.Fatalf("record %d was taken and is not written", last)
		}
	}
}

// TestFullSpoolKeepsTheNextOnesNotWaiting: nor does it keep those waiting who
// came while the group was written that finds no room: for the next commit, for
// a part of a body, or for the writer to catch up. What was taken is written
// once there is room.
func TestFullSpoolKeepsTheNextOnesNotWaiting(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes, c.WhenFull = 48<<20, refuse })
	st := mustStream(t, s, "a", "training")
	for i := 100; len(s.table.list()) < 2; i++ {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	before := len(mustFetch(t, st, 100))
	first := s.table.list()[0] // sealed
	takeDisk := func(bytes int64) {
		s.table.mu.Lock()
		first.row.Disk += bytes // as if the rest of the cap were taken
		s.table.mu.Unlock()
	}
	takeDisk(48 << 20)
	s.segmentLeft.Store(1 << 40) // and the guard before it were wrong
	entered, release := make(chan struct{}), make(chan struct{})
	sync := s.syncLog
	s.syncLog = func(l *syncedLog) error {
		close(entered)
		<-release
		s.syncLog = sync
		return sync(l)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answers := make(chan error)
	wait := func(recs ...Record) {
		r, err := s.Append(ctx, recs...)
		if err == nil {
			err = r.Wait(ctx)
		}
		answers <- err
	}
	var many []Record
	for i := 1; i <= 30; i++ { // more than the segment takes
		many = append(many, sampleOf("training", i, noise(i, 60<<10)))
	}
	go wait(many...)
	<-entered
	go wait(sample("training", 31))
	go func() {
		_, err := s.Stage(ctx, bytes.NewReader(noise(32, 300<<10)), 1<<30)
		answers <- err
	}()
	for s.waiting() < 2 {
		<-time.After(time.Millisecond)
	}
	go wait(sampleOf("training", 33, noise(33, int(s.lim.queue))))
	close(release)
	for range 4 {
		if err := <-answers; !errors.Is(err, ErrFull) {
			t.Errorf("one of those who wait is told %v, want ErrFull", err)
		}
	}
	takeDisk(-48 << 20)
	for ready := st.Ready(); ; ready = st.Ready() {
		if recs := mustFetch(t, st, 100); len(recs) == before+31 {
			break
		}
		select {
		case <-ready:
		case <-ctx.Done():
			t.Fatal("what was taken is not written")
		}
	}
	mustAppend(t, s, sample("training", 34))
}

// TestKeysCountAsRoom: a refusing spool refuses before it takes what the keys
// of the active segment cannot hold.
func TestKeysCountAsRoom(t *testing.T) {
	s := openTest(t, func(c *Config) { c.WhenFull = refuse })
	mustStream(t, s, "studio/training", "training") // else the record may go
	mustAppend(t, s, sample("training", 0))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.mu.Lock()
	s.table.segs[0].row.Disk = int64(s.conf.MaxBytes) // no other segment may begin
	s.table.mu.Unlock()
	if err := s.acceptable(100); err != nil {
		t.Fatalf("a record is refused while the segment has room: %v", err)
	}
	s.table.segs[0].keys = keysPerSegment - 2
	s.noteRoom(s.table.segs[0])
	if err := s.acceptable(100); !errors.Is(err, ErrFull) {
		t.Errorf("a record beyond the segment's keys: %v, want ErrFull", err)
	}
}
