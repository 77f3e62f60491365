package directory

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheLeaseSeesWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(path, []byte(csv("1")), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(flag int) *os.File {
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	reader := open(os.O_RDONLY)
	defer reader.Close()
	err := probeWriters(reader)
	if errors.Is(err, errNoLease) {
		t.Skipf("the temporary folder's file system has no leases (%v): set TMPDIR to one that has", err)
	}
	if err != nil {
		t.Errorf("nobody writes: %v", err)
	}
	other := open(os.O_RDONLY)
	defer other.Close()
	if err := probeWriters(reader); err != nil {
		t.Errorf("somebody else reads: %v", err)
	}
	for _, flag := range []int{os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND} {
		writer := open(flag)
		if err := probeWriters(reader); !errors.Is(err, errBusy) {
			t.Errorf("somebody writes: %v", err)
		}
		_ = writer.Close()
	}
	// The lease is given back: a writer is not held up by an earlier question.
	writer := open(os.O_WRONLY | syscall.O_NONBLOCK)
	_ = writer.Close()
}

const strangerDirEnv = "EDGESPOOL_TEST_STRANGER_DIR"

// TestWithoutALease has another user take files that are root's: the kernel
// tells him nothing of writers, so that files must settle for longer.
func TestWithoutALease(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs a file of another user: run as root")
	}
	t.Parallel()
	dir, err := os.MkdirTemp("", "edgespool-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	chmod(t, dir, 0o755)
	if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte(csv("1")), 0o644); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command(os.Args[0], "-test.run=^TestStranger$", "-test.v")
	stranger.Env = append(os.Environ(), strangerDirEnv+"="+dir)
	if out, err := stranger.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestStranger runs in the process of another user.
func TestStranger(t *testing.T) {
	dir := os.Getenv(strangerDirEnv)
	if dir == "" {
		t.Skip("only a part of TestWithoutALease")
	}
	b := prepareIn(t, dir)
	if err := syscall.Setuid(65534); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.run(quick(dir))
	b.untilNames("a.csv")
	if took := time.Since(began); took < longSettle {
		t.Errorf("the file was taken after %v, must be %v", took, longSettle)
	}
	b.stop()
	if n := b.log.count("does not tell who is writing"); n != 1 {
		t.Errorf("said %d times: %s", n, strings.TrimSpace(b.log.text.String()))
	}
}
