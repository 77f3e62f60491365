package spool

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A cardDisk is a small disk that turns read-only as a worn card does: ext4
// finds a fault and takes no more writes.
type cardDisk struct {
	t          *testing.T
	image, dir string
}

func newCardDisk(t *testing.T) *cardDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	d := &cardDisk{t: t, image: filepath.Join(t.TempDir(), "disk"), dir: t.TempDir()}
	d.run("truncate", "-s", "128M", d.image)
	d.run("mkfs.ext4", "-q", "-F", "-m", "0", d.image)
	d.mount()
	t.Cleanup(func() { _ = exec.Command("umount", "--lazy", d.dir).Run() })
	return d
}

func (d *cardDisk) run(argv ...string) {
	d.t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		d.t.Skipf("needs %s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

func (d *cardDisk) mount() { d.run("mount", "-o", "loop,errors=remount-ro", d.image, d.dir) }

// fail has the kernel find a fault in the file system.
func (d *cardDisk) fail() {
	d.t.Helper()
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", d.dir).Output()
	trigger := "/sys/fs/ext4/" + filepath.Base(strings.TrimSpace(string(out))) + "/trigger_fs_error"
	if err == nil {
		err = os.WriteFile(trigger, []byte("test"), 0)
	}
	if err != nil {
		d.t.Skipf("needs %s: %v", trigger, err)
	}
}

// mend is what a boot does after that.
func (d *cardDisk) mend() {
	d.t.Helper()
	d.run("umount", d.dir)
	if out, err := exec.Command("e2fsck", "-fy", d.image).CombinedOutput(); err != nil && len(out) == 0 {
		d.t.Skipf("needs e2fsck: %v", err)
	}
	d.mount()
}

// TestReadOnlyCard: the file system takes no more writes in the middle of
// everything, and the kernel does not say so in statfs. Records are refused,
// reading goes on, the spool closes, and after the next boot everything that
// was acknowledged is there.
func TestReadOnlyCard(t *testing.T) {
	d := newCardDisk(t)
	dir := filepath.Join(d.dir, "spool")
	acked := map[int]uint64{}
	n := rounds(3, 60)
	hangs := 0
	for round := range n {
		c := startStarved(t, dir, refuse, acked)
		// A card may fail while a store is being closed, which a spool like
		// this one does all the time.
		c.mayHang = 1
		if round%5 == 4 { // else its own records fill the disk in the end
			_, _ = io.WriteString(c.in, "deliver\n")
			c.await("delivered")
		}
		c.more(20 + 7*round%60)
		d.fail()
		c.await("refused:")
		c.quiet(200 * time.Millisecond) // in which it reads, and says so if it cannot
		if round%2 == 0 && c.hangs == 0 {
			c.close()
		} else {
			c.kill()
		}
		hangs += c.hangs
		c = startStarved(t, dir, refuse, acked) // nor does a start there end in anything but waiting
		c.await("refused:")
		c.kill()
		d.mend()
	}
	starvedCheck(t, dir, refuse, acked)
	t.Logf("%d read-only cards, %d in the close of a store, %d acknowledged records", n, hangs, len(acked))
}

// TestReadOnlyStart: a start on a disk that is mounted read-only waits, and
// goes on by itself when that ends.
func TestReadOnlyStart(t *testing.T) {
	d := newCardDisk(t)
	dir := filepath.Join(d.dir, "spool")
	acked := map[int]uint64{}
	for round := range rounds(2, 20) {
		c := startStarved(t, dir, dropOldest, acked)
		c.more(10)
		if err := exec.Command("mount", "-o", "remount,ro", d.dir).Run(); err == nil {
			t.Error("the kernel remounts under a spool that writes")
		}
		if round%2 == 0 {
			c.close()
		} else {
			c.kill()
		}
		d.run("mount", "-o", "remount,ro", d.dir)
		c = startStarved(t, dir, dropOldest, acked)
		c.await("refused:")
		c.quiet(200 * time.Millisecond)
		d.run("mount", "-o", "remount,rw", d.dir)
		c.more(10)
		c.close()
	}
	starvedCheck(t, dir, dropOldest, acked)
}

// TestReadOnlyWhileRunning: what says whether the disk takes writes is asked
// of another disk for a while. The spool refuses, reads, and goes on by itself.
func TestReadOnlyWhileRunning(t *testing.T) {
	d := newCardDisk(t)
	s := openTest(t, nil)
	st := mustStream(t, s, "a", "training")
	mustAppend(t, s, sample("training", 1))
	before := mustFetch(t, st, 10)
	card, err := os.Create(filepath.Join(d.dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer card.Close()
	d.fail()
	disk := s.faults.disk
	s.faults.disk = card
	r, err := s.Append(t.Context(), sample("training", 2))
	if err == nil {
		err = r.Wait(t.Context())
	}
	if !errors.Is(err, ErrReadOnly) {
		t.Errorf("append to a read-only disk: %v, want ErrReadOnly", err)
	}
	if err := s.SetSetting("label", []byte("a")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("setting on a read-only disk: %v, want ErrReadOnly", err)
	}
	if again := mustFetch(t, st, 10); len(again) != len(before) || !s.Stats().ReadOnly {
		t.Errorf("%d records come from a read-only disk, %d came before; figures %+v", len(again), len(before), s.Stats())
	}
	s.faults.disk = disk
	s.mu.Lock()
	s.failedUntil = time.Now()
	s.mu.Unlock()
	mustAppend(t, s, sample("training", 3))
	if recs := mustFetch(t, st, 10); len(recs) != 2 || s.Stats().ReadOnly || s.Stats().Segments != 1 {
		t.Errorf("%d records are there after that, want 2 in one segment; figures %+v", len(recs), s.Stats())
	}
}
