package dataset

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// TestRequireMount: while the stick is away nothing is written, and records
// wait; once it is back they are.
func TestRequireMount(t *testing.T) {
	stick := t.TempDir()
	if spool.OnMount(stick) == nil {
		t.Skipf("%s is on a file system of its own; set TMPDIR to a folder on that of /", stick)
	}
	c := DefaultConfig()
	c.Path, c.RequireMount = stick, true
	d, err := New(c, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	batch := []spool.Record{uploadertest.File(1, "training", "a.csv", "idle", []byte("x\n1\n"))}
	v := d.Send(t.Context(), batch)[0]
	if left, _ := os.ReadDir(stick); v.Kind != uploader.TryLater || !errors.Is(v.Err, spool.ErrNotMounted) || !v.Everywhere() || len(left) > 0 {
		t.Fatalf("got %v, %v, and files %v", v.Kind, v.Err, left)
	}
	if err := unix.Mount("tmpfs", stick, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount a tmpfs (%v): run as root", err)
	}
	defer func() { _ = unix.Unmount(stick, unix.MNT_DETACH) }()
	if v := d.Send(t.Context(), batch)[0]; v.Kind != uploader.Stored {
		t.Errorf("got %v, %v, want it stored", v.Kind, v.Err)
	}
}
