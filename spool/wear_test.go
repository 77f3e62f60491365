package spool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deviceOf is the kernel's folder of the disk that holds a path.
func deviceOf(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
}

// deviceCount is what reached the disk that holds the folder, after everything
// that waits was written: bytes, and how often it was told to flush its cache.
func deviceCount(t *testing.T, dir string) (bytes, flushes int64) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(filepath.Join(deviceOf(t, dir), "stat"))
	fields := strings.Fields(string(stat))
	if err != nil || len(fields) < 16 { // 16: since Linux 5.5
		t.Skip("the kernel does not count this disk's writes and flushes: ", err)
	}
	if _, err := fmt.Sscan(fields[6], &bytes); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(fields[15], &flushes); err != nil {
		t.Fatal(err)
	}
	return bytes * 512, flushes
}

// deviceBytes is the first of both.
func deviceBytes(t *testing.T, dir string) int64 {
	t.Helper()
	bytes, _ := deviceCount(t, dir)
	return bytes
}

// wearDisk is an ext4 of its own with the block size of a card's, which mkfs
// would make smaller for its size, with a card's read-ahead (Linux, mmc), and
// with further options of mkfs.
func wearDisk(t *testing.T, options ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a disk of its own")
	}
	if os.Getenv(childRunner) != "" {
		t.Skip("needs the kernel to be asked directly: qemu drops the advice on mappings")
	}
	image, dir := filepath.Join(t.TempDir(), "card"), t.TempDir()
	for _, argv := range [][]string{
		{"truncate", "-s", "512M", image},
		append(append([]string{"mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096"}, options...), image),
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
	if err := os.WriteFile(filepath.Join(deviceOf(t, dir), "queue/read_ahead_kb"), []byte("128"), 0o644); err != nil {
		t.Skip("needs to set the read-ahead of a disk: ", err)
	}
	return dir
}

// wear has commit write that many KiB again and again, and gives device bytes
// for each byte of that, and flushes for each commit.
func wear(t *testing.T, disk string, kib, commits int, commit func(number, kib int)) (ratio, flushes float64) {
	t.Helper()
	commit(0, kib)
	bytes0, flushes0 := deviceCount(t, disk)
	for i := range commits {
		commit(1+i, kib)
	}
	bytes1, flushes1 := deviceCount(t, disk)
	return float64(bytes1-bytes0) / float64(commits*kib<<10), float64(flushes1-flushes0) / float64(commits)
}

// plainCommits appends to a plain file and syncs it: the least that a commit takes.
func plainCommits(t *testing.T, disk string) func(number, kib int) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func(number, kib int) {
		if _, err := f.Write(noise(number, kib<<10)); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
	}
}

// spoolCommits appends records of 1 KiB; prepared is told of each segment's folder.
func spoolCommits(t *testing.T, disk string, prepared func(dir string)) func(number, kib int) {
	t.Helper()
	dir, err := os.MkdirTemp(disk, "spool")
	if err != nil {
		t.Fatal(err)
	}
	s := openAt(t, dir, func(c *Config) { c.segmentBytes = 16 << 20 })
	var last *segment
	return func(number, kib int) {
		recs := make([]Record, kib)
		for i := range recs {
			recs[i] = sampleOf("training", number*1000+i, noise(number*1000+i, 1<<10))
		}
		mustAppend(t, s, recs...)
		if s.active != last && prepared != nil {
			prepared(s.active.dir)
		}
		last = s.active
	}
}

// TestWearByCommit looks at what commits of some sizes write to the disk next
// to a plain file, on file systems with large folios and without.
func TestWearByCommit(t *testing.T) {
	for name, options := range map[string][]string{"": nil, "-without-large-folios": {"-O", "encrypt"}} {
		t.Run("ext4"+name, func(t *testing.T) {
			disk := wearDisk(t, options...)
			for _, c := range []struct {
				kib   int
				limit float64 // device bytes for each byte of payload
			}{{1, 10}, {4, 4.5}, {16, 3.2}, {64, 1.6}, {256, 1.2}} {
				commits := rounds(6<<10, 24<<10) / max(c.kib, 16)
				floor, floorFlushes := wear(t, disk, c.kib, commits, plainCommits(t, disk))
				got, flushes := wear(t, disk, c.kib, commits, spoolCommits(t, disk, nil))
				what := fmt.Sprintf("%s-at-%d-KiB", name, c.kib)
				figure(t, "wear"+what, got, "device-bytes/byte")
				figure(t, "wear-of-plain-file"+what, floor, "device-bytes/byte")
				figure(t, "flushes"+what, flushes, "/commit")
				figure(t, "flushes-of-plain-file"+what, floorFlushes, "/commit")
				if got > c.limit {
					t.Errorf("commits of %d KiB write %.2f bytes for each byte, want at most %.2f", c.kib, got, c.limit)
				}
			}
		})
	}
}

// TestWearWithoutAdvice is the control of the test above: it takes the advice
// on the mappings back, and must see what that costs.
func TestWearWithoutAdvice(t *testing.T) {
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil || major*100+minor < 616 {
		t.Skip("needs a kernel with large folios in ext4, 6.16 or later")
	}
	disk := wearDisk(t)
	const kib, commits = 16, 200
	with, _ := wear(t, disk, kib, commits, spoolCommits(t, disk, nil))
	without, _ := wear(t, disk, kib, commits, spoolCommits(t, disk, func(dir string) {
		if err := adviseLogs(dir, unix.MADV_NORMAL); err != nil {
			t.Fatal(err)
		}
	}))
	figure(t, "wear-without-advice-at-16-KiB", without, "device-bytes/byte")
	if without < 1.5*with {
		t.Errorf("without the advice %.2f bytes are written for each byte, with it %.2f: the advice does nothing", without, with)
	}
}

// TestWearInLife runs a board of ten samples of 1 KB a second, with commits by
// time, a destination that takes what comes, cursors saved every five seconds,
// outcomes every minute, and the kernel writing back every half minute. Seconds
// pass by hand: what counts is how much happens between one thing and the next.
func TestWearInLife(t *testing.T) {
	for _, c := range []struct {
		every int // seconds between commits
		limit float64
	}{{1, 4.2}, {5, 2.0}} {
		disk := wearDisk(t)
		s := openAt(t, filepath.Join(disk, "spool"), func(c *Config) {
			c.segmentBytes, c.Commit.Interval, c.Commit.Bytes = smallBoard, time.Hour, 1<<20
		})
		st := mustStream(t, s, "studio/training", "training")
		life := &boardLife{t: t, s: s, st: st}
		life.pass(60, c.every) // stores begin
		bytes0, flushes0 := deviceCount(t, disk)
		seconds := rounds(1200, 6000) // one segment is full after about 800
		life.pass(seconds, c.every)
		bytes1, flushes1 := deviceCount(t, disk)
		got := float64(bytes1-bytes0) / float64(seconds*10<<10)
		figure(t, fmt.Sprintf("wear-in-life-at-%d-s", c.every), got, "device-bytes/byte")
		figure(t, fmt.Sprintf("flushes-in-life-at-%d-s", c.every), float64(flushes1-flushes0)/float64(seconds), "/second")
		if got > c.limit {
			t.Errorf("with commits every %d s %.2f bytes are written for each byte, want at most %.1f", c.every, got, c.limit)
		}
		if left, _ := st.Backlog(); left != 0 {
			t.Errorf("%d records wait for the destination", left)
		}
	}
}

// A boardLife lets a board's seconds pass.
type boardLife struct {
	t      *testing.T
	s      *Spool
	st     *Stream
	second int
	last   Receipt
}

func (l *boardLife) pass(seconds, every int) {
	for range seconds {
		l.second++
		for i := range 10 {
			n := l.second*10 + i
			r, err := l.s.Append(l.t.Context(), sampleOf("training", n, noise(n, 1<<10)))
			if err != nil {
				l.t.Fatal(err)
			}
			l.last = r
		}
		if l.second%every == 0 {
			if err := l.last.Wait(l.t.Context()); err != nil {
				l.t.Fatal(err)
			}
			settleAll(l.t, l.st, FateStored, mustFetch(l.t, l.st, 1000))
		}
		if l.second%60 == 0 {
			if err := l.s.hist.flush(); err != nil {
				l.t.Fatal(err)
			}
		}
		if l.second%5 == 0 {
			l.saveCursors()
		}
		if l.second%30 == 0 {
			deviceCount(l.t, l.s.conf.Path) // writes back
		}
	}
}

// saveCursors has the writer do its chores now, and waits for that.
func (l *boardLife) saveCursors() {
	l.t.Helper()
	l.s.mu.Lock()
	l.s.choresAt = time.Now()
	l.s.mu.Unlock()
	l.s.nudge()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		l.st.mu.Lock()
		saved := !l.st.unsaved()
		l.st.mu.Unlock()
		if saved {
			return
		}
	}
}
