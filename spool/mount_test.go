package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A stick that is away: the spool is neither opened nor made on the root.
func TestRequireMount(t *testing.T) {
	stick := filepath.Join(t.TempDir(), "stick")
	if OnMount(stick) == nil {
		t.Skipf("%s is on a file system of its own; set TMPDIR to a folder on that of /", stick)
	}
	c := DefaultConfig()
	c.Path, c.RequireMount, c.AllowVolatile, c.MinFree, c.MaxBytes = filepath.Join(stick, "a", "spool"), true, true, 1, minMaxBytes
	warned := 0
	c.Warnings(func(_, _, _ string) { warned++ })
	if _, err := Open(c); !errors.Is(err, ErrNotMounted) {
		t.Fatalf("got %v, want ErrNotMounted", err)
	}
	if _, err := os.Stat(stick); err == nil || warned == 0 {
		t.Errorf("it made %s, or warned of nothing: %d", stick, warned)
	}
	if err := os.Mkdir(stick, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("edgespool-test", stick, "tmpfs", 0, "size=120m"); err != nil {
		t.Skipf("cannot mount a tmpfs (%v): run as root", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(stick, unix.MNT_DETACH) })
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
