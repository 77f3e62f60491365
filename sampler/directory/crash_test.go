package directory

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// A journal is a shelf that survives its process, a line a fact: what a spool
// is to a source, and no more.
type journal struct {
	*shelf
	file *os.File
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	j := &journal{shelf: newShelf(), file: f}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		kind, text, _ := strings.Cut(lines.Text(), " ")
		b, err := hex.DecodeString(text)
		switch {
		case err != nil:
			return nil, err
		case kind == "record":
			j.recs = append(j.recs, spool.Record{Identity: [32]byte(b)})
			j.seen[[32]byte(b)] = uint64(len(j.recs))
		default:
			j.memory[[16]byte(b)] = true
		}
	}
	return j, nil
}

func (j *journal) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	receipt, err := j.shelf.Append(ctx, recs...)
	for i, r := range receipt.Results {
		if !r.Duplicate {
			_, err = fmt.Fprintf(j.file, "record %x\n", recs[i].Identity)
		}
	}
	return receipt, err
}

func (j *journal) Remember(source string, key [16]byte) error {
	_, err := fmt.Fprintf(j.file, "key %x\n", key)
	return errors.Join(err, j.shelf.Remember(source, key))
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
	j, err := openJournal(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{Sink: j, Memory: j}
	var n string
	k.at, n, _ = strings.Cut(os.Getenv(crashPointEnv), ":")
	k.left, _ = strconv.Atoi(n)
	b := prepare(t)
	b.runInto(crashConfig(dir, os.Getenv(crashAfterEnv)), k, k)
	b.until("all files are dealt with", func() bool {
		p := b.progress.Snapshot()
		pending, looked := p.Detail["pending"]
		return looked && pending == 0 && p.State == sampler.StateRunning && j.count() == crashFiles
	})
	b.stop()
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.recs)
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
				j, err := openJournal(filepath.Join(dir, "journal"))
				if err != nil {
					t.Fatal(err)
				}
				defer j.file.Close()
				if len(j.recs) != len(want) || len(j.seen) != len(want) {
					t.Errorf("%d records of %d files, want %d", len(j.recs), len(j.seen), len(want))
				}
				for sum, path := range want {
					rel, _ := filepath.Rel(filepath.Join(dir, "in"), path)
					if j.seen[sum] == 0 {
						t.Errorf("%s was lost", rel)
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
	child.Env = append(os.Environ(), crashDirEnv+"="+dir, crashAfterEnv+"="+after, crashPointEnv+"="+point)
	return child.CombinedOutput()
}
