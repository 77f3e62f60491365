package directory

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/spool"
)

// TestRequireMount: a folder whose stick is away is waited for, and what lies
// below the place where it belongs is left alone.
func TestRequireMount(t *testing.T) {
	b := prepare(t)
	if spool.OnMount(b.dir) == nil {
		t.Skipf("%s is on a file system of its own; set TMPDIR to a folder on that of /", b.dir)
	}
	b.write("below.csv", csv("1"))
	c := quick(b.dir)
	c.RequireMount, c.After = true, AfterDelete
	b.run(c)
	b.until("it waits for the stick", func() bool { return strings.Contains(b.progress.Snapshot().Error, "is on the file system of /") })
	if err := unix.Mount("tmpfs", b.dir, "tmpfs", 0, "size=1m"); err != nil {
		b.stop()
		t.Skipf("cannot mount a tmpfs (%v): run as root", err)
	}
	defer func() {
		b.stop()
		if err := unix.Unmount(b.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	b.write("on-the-stick.csv", csv("2"))
	b.until("the stick's file is taken", func() bool { p := b.progress.Snapshot(); return p.Samples == 1 && p.Error == "" })
}
