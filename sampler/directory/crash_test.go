package directory

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// openSpool opens a small spool at path; the test closes it.
func openSpool(t *testing.T, path string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Config{Path: path, MaxBytes: 128 << 20, MinFree: 1 << 20, AllowVolatile: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kept fetches all records of a spool.
func kept(t *testing.T, s *spool.Spool) (all []spool.Record) {
	t.Helper()
	for _, category := range sampler.Categories {
		st, err := s.Stream("test/"+category, category, spool.StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		recs, err := st.Fetch(t.Context(), spool.Limit{Records: 10_000, Bytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, recs...)
	}
	return all
}

// A killer ends the process when a source is about to do something for the
// n-th time.
type killer struct {
	sampler.Sink
	sampler.Memory
	at   string
	left int
}

func (k *killer) reach(point string) {
	if k.at != point {
		return
	}
	if k.left--; k.left <= 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (k *killer) Stage(ctx context.Context, r io.Reader, limit int64) (spool.Body, error) {
	k.reach("claimed")
	return k.Sink.Stage(ctx, r, limit)
}

func (k *killer) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	k.reach("read")
	receipt, err := k.Sink.Append(ctx, recs...)
	if err == nil {
		err = receipt.Wait(ctx)
	}
	k.reach("committed")
	return receipt, err
}

func (k *killer) Remember(source string, key [16]byte) error {
	k.reach("disposed of")
	return k.Memory.Remember(source, key)
}

const (
	crashDirEnv   = "EDGESPOOL_TEST_CRASH_DIR"
	crashAfterEnv = "EDGESPOOL_TEST_CRASH_AFTER"
	crashPointEnv = "EDGESPOOL_TEST_CRASH_POINT"
	crashFiles    = 20
)

func crashConfig(dir, after string) Config {
	c := quick(filepath.Join(dir, "in"))
	c.After = after
	if after == AfterMove {
		c.MoveTo = filepath.Join(dir, "done")
	}
	return c
}

// TestCrashing runs in a process that is killed at a point, or else takes all
// files.
func TestCrashing(t *testing.T) {
	dir := os.Getenv(crashDirEnv)
	if dir == "" {
		t.Skip("only a part of TestACrashLosesNothing")
	}
	s := openSpool(t, filepath.Join(dir, "spool"))
	k := &killer{Sink: s, Memory: s}
	var n string
	k.at, n, _ = strings.Cut(os.Getenv(crashPointEnv), ":")
	k.left, _ = strconv.Atoi(n)
	b := prepare(t)
	b.runInto(crashConfig(dir, os.Getenv(crashAfterEnv)), k, k)
	b.until("all files are dealt with", func() bool {
		p := b.progress.Snapshot()
		pending, looked := p.Detail["pending"]
		return looked && pending == 0 && p.State == sampler.StateRunning && s.Stats().NextSequence > crashFiles
	})
	b.stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestACrashLosesNothing kills the source between every two steps of a file's
// way, and starts it again.
func TestACrashLosesNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []string{AfterKeep, AfterDelete, AfterMove} {
		points := []string{"claimed:1", "claimed:7", "read:1", "committed:1"}
		if after == AfterKeep {
			points = append(points, "disposed of:1", "disposed of:7")
		}
		for _, point := range points {
			t.Run(after+" "+point, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				want := make(map[[32]byte]string)
				for i := range crashFiles {
					text := csv(fmt.Sprint(i))
					path := filepath.Join(dir, "in", "testing", fmt.Sprintf("a.%d.csv", i))
					if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
						t.Fatal(err)
					}
					want[sha256.Sum256([]byte(text))] = path
				}
				var ended *exec.ExitError
				if out, err := crash(dir, after, point); !errors.As(err, &ended) || ended.Exited() {
					t.Fatalf("the process was not killed: %v\n%s", err, out)
				}
				if out, err := crash(dir, after, ""); err != nil {
					t.Fatalf("the second process: %v\n%s", err, out)
				}
				s := openSpool(t, filepath.Join(dir, "spool"))
				defer s.Close()
				taken := make(map[[32]byte]int)
				for _, r := range kept(t, s) {
					taken[r.Identity]++
				}
				for sum, path := range want {
					rel, _ := filepath.Rel(filepath.Join(dir, "in"), path)
					if taken[sum] != 1 {
						t.Errorf("%s was taken %d times", rel, taken[sum])
					}
					if there(path) != (after == AfterKeep) || there(filepath.Join(dir, "done", rel)) != (after == AfterMove) {
						t.Errorf("after %s: %s is at the wrong place", after, rel)
					}
				}
			})
		}
	}
}

func crash(dir, after, point string) ([]byte, error) {
	child := exec.Command(os.Args[0], "-test.run=^TestCrashing$", "-test.v")
	// What the child leaves behind goes with the folder of the test.
	child.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(dir), crashDirEnv+"="+dir, crashAfterEnv+"="+after, crashPointEnv+"="+point)
	return child.CombinedOutput()
}
