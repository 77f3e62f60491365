package directory

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

const document = `{"protected":{"ver":"v1","alg":"none"},"signature":"00","payload":{"device_type":"T","interval_ms":10,` +
	`"sensors":[{"name":"x","units":"N/A"}],"values":[1,2,3]}}`

// refusedFiles are files that Edge Impulse would refuse, each with a part of
// the reason.
var refusedFiles = map[string]struct{ text, reason string }{
	"package.json":   {`{"name": "not a document"}`, "not an acquisition document"},
	"cut.json":       {document[:len(document)-3], "not an acquisition document"},
	"cut.cbor":       {"\xbf\x69protected", "not an acquisition document"},
	"blank.csv":      {"\n \n\n", "empty"},
	"header.csv":     {"timestamp,x\n", "no row"},
	"notes.docx":     {"PK", `".docx"`},
	"noextension":    {"x", "type"},
	"deep/x/bad.csv": {"\n", "empty"},
}

func TestRefusedFilesAreSetAside(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.After, c.Include = AfterDelete, []string{"*"}
	for name, f := range refusedFiles {
		b.write(name, f.text)
	}
	huge := b.write("huge.wav", "x")
	if err := os.Truncate(huge, 100<<20); err != nil {
		t.Fatal(err)
	}
	b.write("good.json", document)
	b.write("numbers.csv", "1,2,3\n") // a row without a header may be meant
	b.run(c)
	b.until("all are refused", func() bool { return b.progress.Snapshot().Rejected == uint64(len(refusedFiles)+1) })
	b.untilNames("good.json", "numbers.csv")
	failed := filepath.Join(b.dir, ownFolder, "failed")
	for name, f := range refusedFiles {
		base := filepath.Base(name)
		if got, err := os.ReadFile(filepath.Join(failed, base)); err != nil || string(got) != f.text {
			t.Errorf("set aside %s: %q, %v", name, got, err)
		}
		reason, err := os.ReadFile(filepath.Join(failed, base+".reason.txt"))
		if err != nil || !strings.Contains(string(reason), f.reason) || !strings.Contains(string(reason), name) {
			t.Errorf("reason of %s: %q, %v, want %q", name, reason, err, f.reason)
		}
		if there(filepath.Join(b.dir, name)) {
			t.Errorf("%s is still there", name)
		}
	}
	if !there(filepath.Join(failed, "huge.wav")) {
		t.Error("the huge file was not set aside")
	}
	// The same name again does not replace what is there.
	b.write("header.csv", "other\n")
	b.until("it is set aside", func() bool { return b.progress.Snapshot().Rejected == uint64(len(refusedFiles)+2) })
	b.stop()
	tables, err := filepath.Glob(filepath.Join(failed, "header*.csv"))
	if err != nil || len(tables) != 2 {
		t.Errorf("set aside: %v, %v", tables, err)
	}
	for _, table := range tables {
		if !there(table + ".reason.txt") {
			t.Errorf("%s has no reason", table)
		}
	}
	if p := b.progress.Snapshot(); !strings.Contains(p.LastBad, "header.csv") || p.Samples != 2 {
		t.Errorf("progress: %+v", p)
	}
}

func TestUnderKeepRefusedFilesAreReportedOnly(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.Include = []string{"*"}
	for name, f := range refusedFiles {
		b.write(name, f.text)
	}
	b.run(c)
	b.until("all are refused", func() bool { return b.progress.Snapshot().Rejected == uint64(len(refusedFiles)) })
	b.write("late.json", document)
	b.untilNames("late.json")
	b.stop()
	for name := range refusedFiles {
		if !there(filepath.Join(b.dir, name)) {
			t.Errorf("%s is gone", name)
		}
	}
	if p := b.progress.Snapshot(); p.Rejected != uint64(len(refusedFiles)) || there(filepath.Join(b.dir, ownFolder)) {
		t.Errorf("progress: %+v", p)
	}
	if n := b.log.count("files were refused"); n < 1 || n > 2 {
		t.Errorf("%d lines in the log", n)
	}
}

func TestAStructuredLabelMustFitItsSample(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	b.write("structured_labels.labels", `{"version":1,"type":"structured-labels","structuredLabels":{
		"short.json":[{"startIndex":0,"endIndex":1,"label":"a"}],"fits.json":[{"startIndex":0,"endIndex":2,"label":"a"}]}}`)
	b.write("short.json", document)
	b.write("fits.json", document+" ")
	b.run(quick(b.dir))
	b.untilNames("fits.json")
	b.until("one is refused", func() bool { return strings.Contains(b.progress.Snapshot().LastBad, "row 2 has no label") })
}

// TestAReadOnlyFolder mounts nothing: it takes the right to write away, which
// means nothing to root.
func TestAReadOnlyFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere: see TestAReadOnlyFileSystem")
	}
	b := prepare(t)
	b.write("a.csv", csv("1"))
	b.write("bad.csv", "\n")
	chmod(t, b.dir, 0o555)
	defer chmod(t, b.dir, 0o755)
	readOnly(t, b)
}

func TestAReadOnlyFileSystem(t *testing.T) {
	b := prepare(t)
	if err := unix.Mount("tmpfs", b.dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs (%v): run as root", err)
	}
	defer func() {
		b.stop()
		if err := unix.Unmount(b.dir, 0); err != nil {
			t.Errorf("the folder cannot be unmounted: %v", err)
		}
	}()
	b.write("a.csv", csv("1"))
	b.write("bad.csv", "\n")
	if err := unix.Mount("tmpfs", b.dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	readOnly(t, b)
}

// readOnly has a source that should delete files that it cannot delete.
func readOnly(t *testing.T, b *bench) {
	t.Helper()
	c := quick(b.dir)
	c.After = AfterDelete
	for range 2 { // the second run knows them all
		b.progress.Update(func(p *sampler.Snapshot) { p.State, p.Detail = "", nil })
		b.run(c)
		b.until("both are dealt with", func() bool { p := b.progress.Snapshot(); return p.Samples == 1 && p.Rejected == 1 })
		b.until("a look found nothing", func() bool {
			p := b.progress.Snapshot()
			pending, looked := p.Detail["pending"]
			return p.State == sampler.StateRunning && looked && pending == 0
		})
	}
	b.stop()
	if p := b.progress.Snapshot(); p.Duplicates != 0 || b.repeats != 0 || !slices.Equal(b.names(), []string{"a.csv"}) {
		t.Errorf("progress: %+v", p)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Error(err)
	}
}

// TestAMountedStick mounts a file system over the watched folder, which no
// notification tells, and takes it away with a file half on its way.
func TestAMountedStick(t *testing.T) {
	b := prepare(t)
	c := quick(b.dir)
	c.After = AfterDelete
	b.write("before.csv", csv("before"))
	b.run(c)
	b.untilNames("before.csv")
	b.until("it is gone", func() bool { return !there(filepath.Join(b.dir, "before.csv")) })
	if err := unix.Mount("tmpfs", b.dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs (%v): run as root", err)
	}
	mounted := true
	unmount := func() {
		if mounted {
			mounted = false
			if err := unix.Unmount(b.dir, 0); err != nil {
				t.Errorf("a running source holds the stick: %v", err)
				_ = unix.Unmount(b.dir, unix.MNT_DETACH)
			}
		}
	}
	defer unmount()
	// What a crash left claimed on the stick, on another board perhaps.
	b.write(ownFolder+"/claimed/testing/left.csv", csv("left"))
	b.write("stick.csv", csv("stick"))
	b.untilNames("before.csv", "left.csv", "stick.csv")
	if r := b.record(t, "left.csv"); r.Dataset != "testing" {
		t.Errorf("category %q", r.Dataset)
	}
	b.until("the stick is empty", func() bool {
		files, _ := filepath.Glob(filepath.Join(b.dir, "*.csv"))
		return len(files) == 0 && !there(filepath.Join(b.dir, "testing", "left.csv"))
	})
	b.until("a look is over", func() bool { return b.progress.Snapshot().Detail["pending"] == 0 })
	unmount()
	b.write("after.csv", csv("after"))
	b.untilNames("after.csv", "before.csv", "left.csv", "stick.csv")
}

func TestAFolderBelowOnAnotherFileSystem(t *testing.T) {
	b := prepare(t)
	below := filepath.Join(b.dir, "testing")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", below, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a tmpfs (%v): run as root", err)
	}
	defer func() {
		b.stop()
		if err := unix.Unmount(below, 0); err != nil {
			t.Error(err)
		}
	}()
	c := quick(b.dir)
	c.After = AfterDelete
	paths := []string{b.write("a.csv", csv("1")), b.write("testing/b.csv", csv("2")), b.write("testing/bad.csv", "\n")}
	b.run(c)
	for _, path := range paths {
		b.until(path+" is gone", func() bool { return !there(path) })
	}
	b.untilNames("a.csv", "b.csv")
	b.until("the refused file is set aside on its own file system", func() bool {
		return there(filepath.Join(below, ownFolder, "failed", "bad.csv"))
	})
}

func TestAnUnreadableFileIsNotForgotten(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything: run as another user")
	}
	t.Parallel()
	b := prepare(t)
	path := b.write("a.csv", csv("1"))
	chmod(t, path, 0)
	b.write("b.csv", csv("2"))
	b.run(quick(b.dir))
	b.untilNames("b.csv")
	b.until("the fault is shown", func() bool { return strings.Contains(b.progress.Snapshot().Error, "a.csv") })
	chmod(t, path, 0o644)
	b.untilNames("a.csv", "b.csv")
}

func TestTwoAgentsOnOneFolder(t *testing.T) {
	t.Parallel()
	one, two := prepare(t), prepare(t)
	two.dir = one.dir
	c := quick(one.dir)
	c.After = AfterDelete
	for i := range 50 {
		one.write(fmt.Sprintf("a.%d.csv", i), csv(fmt.Sprint(i)))
	}
	one.run(c)
	two.run(c)
	one.until("all are taken", func() bool { return len(one.names())+len(two.names()) >= 50 })
	one.until("the folder is empty", func() bool {
		left, _ := filepath.Glob(filepath.Join(one.dir, "*.csv"))
		return len(left) == 0
	})
	one.stop()
	two.stop()
	all := slices.Concat(one.names(), two.names())
	slices.Sort(all)
	if len(slices.Compact(all)) != 50 || len(one.names())+len(two.names()) != 50 {
		t.Errorf("one took %d, the other %d", len(one.names()), len(two.names()))
	}
}

func TestARecordTooLargeIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.After = AfterDelete
	b.tooLarge = "b.csv"
	for _, name := range []string{"a.csv", "b.csv", "c.csv"} {
		b.write(name, csv(name))
	}
	b.run(c)
	b.untilNames("a.csv", "c.csv")
	b.until("b.csv is set aside", func() bool { return there(filepath.Join(b.dir, ownFolder, "failed", "b.csv")) })
	if !strings.Contains(b.progress.Snapshot().LastBad, spool.ErrTooLarge.Error()) {
		t.Errorf("progress: %+v", b.progress.Snapshot())
	}
}

// TestLargestFile: the largest file that Edge Impulse takes is taken, and one
// of a byte more is not. Both are all holes.
func TestLargestFile(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	for name, size := range map[string]int64{"fits.wav": 100<<20 - 1, "huge.wav": 100 << 20} {
		if err := os.Truncate(b.write(name, ""), size); err != nil {
			t.Fatal(err)
		}
	}
	b.run(quick(b.dir))
	b.until("one is refused", func() bool { return b.progress.Snapshot().Rejected == 1 })
	b.untilNames("fits.wav")
	b.stop()
	if p := b.progress.Snapshot(); !strings.Contains(p.LastBad, "huge.wav") || !strings.Contains(p.LastBad, "up to 104857599") {
		t.Errorf("got %q", p.LastBad)
	}
	if size := b.record(t, "fits.wav").Size; size != sampler.MaxBody {
		t.Errorf("got %d bytes, want %d", size, sampler.MaxBody)
	}
}
