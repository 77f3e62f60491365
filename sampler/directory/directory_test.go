package directory

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

func TestAFileBecomesARecord(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	b.write("testing/idle.1.csv", csv("1"))
	b.run(quick(b.dir))
	b.untilNames("idle.1.csv")
	r := b.record(t, "idle.1.csv")
	sum := sha256.Sum256([]byte(csv("1")))
	if r.Kind != spool.KindFile || r.Identity != sum || r.SHA256 != sum || r.Size != int64(len(csv("1"))) || string(samplertest.Body(t, r)) != csv("1") {
		t.Errorf("record is %+v", r)
	}
	if r.Dataset != "testing" || r.Label.Text != "idle" || r.ContentType != "text/csv" || r.Source != "recordings" {
		t.Errorf("dataset, label, type, source: %q %q %q %q", r.Dataset, r.Label.Text, r.ContentType, r.Source)
	}
	if r.DeviceName != "aa:bb" || r.DeviceType != "TEST" || r.Metadata["site"] != "plant-4" || r.Time.Since == 0 {
		t.Errorf("device, metadata, time: %q %q %v %v", r.DeviceName, r.DeviceType, r.Metadata, r.Time)
	}
	b.until("progress counts it", func() bool {
		p := b.progress.Snapshot()
		return p.Samples == 1 && p.State == sampler.StateRunning && p.Error == "" && !p.LastSample.IsZero()
	})
	if !there(filepath.Join(b.dir, "testing/idle.1.csv")) || there(filepath.Join(b.dir, ownFolder)) {
		t.Error("after: keep changed the folder")
	}
}

// TestSuite has the source do what all sources must do.
func TestSuite(t *testing.T) {
	b := prepare(t)
	samplertest.Run(t, testLog(b), func(t *testing.T, setup sampler.Setup) samplertest.Subject {
		c := quick(t.TempDir())
		c.After = AfterDelete
		source, err := New(setup, c)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		return samplertest.Subject{Source: source, Make: func(t *testing.T) {
			made++
			path := filepath.Join(c.Path, fmt.Sprintf("a.%d.csv", made))
			if err := os.WriteFile(path, []byte(csv(fmt.Sprint(made))), 0o644); err != nil {
				t.Fatal(err)
			}
		}}
	})
}

func TestWhatBecomesOfFiles(t *testing.T) {
	t.Parallel()
	for _, after := range []string{AfterKeep, AfterDelete, AfterMove} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			b := prepare(t)
			c := quick(b.dir)
			c.After = after
			done := filepath.Join(t.TempDir(), "done")
			if after == AfterMove {
				c.MoveTo = done
			}
			first := b.write("training/a.csv", csv("1"))
			b.run(c)
			b.untilNames("a.csv")
			b.until("the file is disposed of", func() bool { return there(first) == (after == AfterKeep) })
			second := b.write("training/deep/b.csv", csv("2"))
			again := b.write("training/again.csv", csv("1"))
			b.untilNames("a.csv", "b.csv")
			b.until("the repeat is counted", func() bool { return b.progress.Snapshot().Duplicates == 1 })
			b.until("the others are disposed of", func() bool {
				return there(second) == (after == AfterKeep) && there(again) == (after == AfterKeep)
			})
			if after == AfterMove {
				for rel, want := range map[string]string{"a.csv": csv("1"), "again.csv": csv("1"), "deep/b.csv": csv("2")} {
					if got, err := os.ReadFile(filepath.Join(done, "training", rel)); err != nil || string(got) != want {
						t.Errorf("moved %s: %q, %v", rel, got, err)
					}
				}
			}
			// A new file of a name that was there before is a new sample.
			b.write("training/a.csv", csv("3"))
			b.until("the new version is taken", func() bool { return len(b.names()) == 3 })
			b.stop()
			if claimed, _ := filepath.Glob(filepath.Join(b.dir, ownFolder, "claimed", "*")); len(claimed) > 0 {
				t.Errorf("left in claimed: %v", claimed)
			}
		})
	}
}

func TestMovedFilesKeepTheirNamesApart(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.After, c.MoveTo = AfterMove, filepath.Join(b.dir, "done") // inside: never looked into
	b.run(c)
	inDone := func() []string {
		names, _ := filepath.Glob(filepath.Join(b.dir, "done", "a*.csv"))
		return names
	}
	for i := range 3 {
		b.write("a.csv", csv(fmt.Sprint(i)))
		b.until("a.csv is moved", func() bool { return len(inDone()) == i+1 })
	}
	path := b.write("a.csv", csv("1")) // known, and in done already
	b.until("the repeat is moved", func() bool {
		claimed, _ := filepath.Glob(filepath.Join(b.dir, ownFolder, "claimed", "*"))
		return !there(path) && len(claimed) == 0 && b.progress.Snapshot().Duplicates == 1
	})
	b.stop()
	if moved := inDone(); len(moved) != 3 || len(b.names()) != 3 {
		t.Errorf("moved %v, records %v", moved, b.names())
	}
}

func TestMoveAcrossFileSystems(t *testing.T) {
	t.Parallel()
	const other = "/dev/shm"
	here, err1 := locate(t.TempDir())
	there_, err2 := locate(other)
	if err1 != nil || err2 != nil || here.sameMount(there_) {
		t.Skipf("%s is no other file system than the temporary folder: mount a tmpfs there", other)
	}
	done, err := os.MkdirTemp(other, "edgespool-test-")
	if err != nil {
		t.Skipf("%s cannot be written (%v): mount a tmpfs there", other, err)
	}
	defer os.RemoveAll(done)
	b := prepare(t)
	c := quick(b.dir)
	c.After, c.MoveTo = AfterMove, done
	if err := os.WriteFile(filepath.Join(done, "a.csv"), []byte("someone else's"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := b.write("a.csv", csv("1"))
	old := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	b.run(c)
	sum := sha256.Sum256([]byte(csv("1")))
	to := filepath.Join(done, withTag("a.csv", tagOf([16]byte(sum[:16]))))
	b.until("the file is moved", func() bool { return there(to) && !there(path) && len(b.names()) == 1 })
	b.stop()
	all, err := os.ReadDir(done)
	if err != nil || len(all) != 2 {
		t.Fatalf("in move_to: %v, %v", all, err)
	}
	info, err := os.Stat(to)
	if err != nil || !info.ModTime().Equal(old) || !hasBytes(to, sum, int64(len(csv("1")))) {
		t.Errorf("moved file: %v, %v", info, err)
	}
}

func TestKeepTakesNothingTwiceOverRestarts(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	for i := range 5 {
		b.write(fmt.Sprintf("a.%d.csv", i), csv(fmt.Sprint(i)))
	}
	bad := b.write("bad.json", `{"no": "document"}`)
	b.run(quick(b.dir))
	b.until("all are dealt with", func() bool { return len(b.names()) == 5 && b.progress.Snapshot().Rejected == 1 })
	b.run(quick(b.dir)) // stops the first
	b.write("new.csv", csv("new"))
	b.until("the new one is taken", func() bool { return len(b.names()) == 6 })
	b.stop()
	if p := b.progress.Snapshot(); p.Duplicates != 0 || p.Rejected != 1 || b.repeats != 0 {
		t.Errorf("after a restart: %d duplicates, %d rejected, %d appended again", p.Duplicates, p.Rejected, b.repeats)
	}
	// Memory forgets what is gone, at the first look after a start.
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	b.run(quick(b.dir))
	b.until("the memory has 6 files", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.memory) == 6 })
}

func TestAFullSpoolLeavesFilesWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, after := range []string{AfterKeep, AfterDelete} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			b := prepare(t)
			b.Refuse(spool.ErrFull)
			c := quick(b.dir)
			c.After = after
			paths := []string{b.write("a.csv", csv("1")), b.write("b.csv", csv("2"))}
			b.run(c)
			b.until("it waits", func() bool {
				p := b.progress.Snapshot()
				return p.State == sampler.StateWaiting && strings.Contains(p.Error, spool.ErrFull.Error())
			})
			b.until("the files are at their places", func() bool { return there(paths[0]) && there(paths[1]) })
			b.Refuse(nil)
			b.untilNames("a.csv", "b.csv")
			b.until("it runs again", func() bool { return b.progress.Snapshot().State == sampler.StateRunning })
		})
	}
}

func TestAClosedSpoolEndsTheSource(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	b.Refuse(spool.ErrClosed)
	path := b.write("a.csv", csv("1"))
	c := quick(b.dir)
	c.After = AfterDelete
	source, err := New(sampler.Setup{Name: "s", Labelling: b.labels, Progress: b.progress, Memory: b.shelf,
		Log: testLog(b), Clock: sampler.NewClock()}, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Run(t.Context(), b.shelf); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("run returned %v", err)
	}
	if !there(path) {
		t.Error("the file is not at its place")
	}
}

func TestAMissingFolderIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(filepath.Join(b.dir, "stick"))
	b.run(c)
	b.until("it waits", func() bool {
		p := b.progress.Snapshot()
		return p.State == sampler.StateWaiting && strings.Contains(p.Error, "no such file")
	})
	b.write("stick/a.csv", csv("1"))
	b.untilNames("a.csv")
	if err := os.Rename(c.Path, filepath.Join(b.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	b.until("it waits again", func() bool { return b.progress.Snapshot().State == sampler.StateWaiting })
	b.write("stick/b.csv", csv("2"))
	b.untilNames("a.csv", "b.csv")
}

func TestWhatIsNeverTaken(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.Include = []string{"*"}
	for _, name := range []string{
		".hidden.csv", ".a.csv.x7fQ2z", "a.csv~", "a.csv.tmp", "a.csv.part", "a.PARTIAL", "a.crdownload", "a.filepart",
		".git/a.csv", ".edgespool/a.csv", "README.txt", "readme", "label_map.labels", "x/.b.csv.swp",
	} {
		b.write(name, csv(name))
	}
	b.write("empty.csv", "")
	if err := unix.Mkfifo(filepath.Join(b.dir, "fifo.csv"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(b.write(".target", csv("link")), filepath.Join(b.dir, "link.csv")); err != nil {
		t.Fatal(err)
	}
	b.write("good.CSV", csv("good"))
	b.run(c)
	b.untilNames("good.CSV")
	b.write("late.csv", csv("late"))
	b.untilNames("good.CSV", "late.csv")
	if p := b.progress.Snapshot(); p.Rejected != 0 || p.Error != "" {
		t.Errorf("progress: %+v", p)
	}
}

func TestOnlyTheTopUnlessRecursive(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.Recursive, c.Include = false, []string{"*.wav", "a*.csv"}
	b.write("below/a.csv", csv("below"))
	b.write("a.csv", csv("a"))
	b.write("b.csv", csv("b"))
	b.run(c)
	b.untilNames("a.csv")
	b.until("one is ignored", func() bool { return b.progress.Snapshot().Detail["ignored"] == 1 })
}

func TestAnOperatorLabelsAndPauses(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	b.labels.Set(sampler.Choice{Disabled: true})
	b.write("idle.csv", csv("1"))
	b.run(quick(b.dir))
	b.until("it is paused", func() bool { return b.progress.Snapshot().State == sampler.StatePaused })
	b.labels.Set(sampler.Choice{Label: "wave", Category: "anomaly"})
	b.untilNames("idle.csv")
	if r := b.record(t, "idle.csv"); r.Label.Text != "wave" || r.Dataset != "anomaly" {
		t.Errorf("label %q, dataset %q", r.Label.Text, r.Dataset)
	}
	b.labels.Set(sampler.Choice{})
	b.write("idle.2.csv", csv("2"))
	b.untilNames("idle.csv", "idle.2.csv")
	if r := b.record(t, "idle.2.csv"); r.Label.Text != "idle" || r.Dataset != "training" {
		t.Errorf("label %q, dataset %q", r.Label.Text, r.Dataset)
	}
}

func TestManyFilesShareACommit(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	for i := range 100 {
		b.write(fmt.Sprintf("a.%d.csv", i), csv(fmt.Sprint(i)))
	}
	b.run(quick(b.dir))
	b.until("all are taken", func() bool { return len(b.names()) == 100 })
	b.stop()
	if b.calls > 4 {
		t.Errorf("100 files took %d commits", b.calls)
	}
}
