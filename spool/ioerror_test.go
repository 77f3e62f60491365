//go:build !386 && !arm

package spool

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The files of a spool that a disk may fail on, by kind.
var ioKinds = map[string]string{
	"value log":      `/seg/[^/]*/\d+\.vlog$`,
	"key log":        `/seg/[^/]*/\d+\.mem$`,
	"table":          `/seg/[^/]*/\d+\.sst$`,
	"manifest":       `/seg/[^/]*/MANIFEST`,
	"meta":           `/meta/\d+/`,
	"meta value log": `/meta/\d+/\d+\.vlog$`,
	"meta key log":   `/meta/\d+/\d+\.mem$`,
	"history":        `/hist/`,
	"index":          `/seen/`,
	"folder":         `/seg$`,
	"anything":       `/`,
}

// TestIOErrorIsNeverAcknowledged has writes and syncs fail, once or until
// told otherwise, and then cuts the power: what was acknowledged is there, so
// nothing was whose sync had failed. The spool goes on as soon as the disk
// does.
func TestIOErrorIsNeverAcknowledged(t *testing.T) {
	kinds := []string{"value log"}
	if soak() {
		kinds = nil
		for kind := range ioKinds {
			kinds = append(kinds, kind)
		}
	}
	for _, kind := range kinds {
		for _, op := range []string{opWrite, opSync} {
			if kind == "folder" && op == opWrite {
				continue // nobody writes to a folder
			}
			for _, times := range []int{1, 0} {
				t.Run(fmt.Sprintf("%s %s %d times", op, kind, times), func(t *testing.T) {
					failWhileWriting(t, &cutFault{Op: op, Path: ioKinds[kind], Times: times})
				})
			}
		}
	}
}

func failWhileWriting(t *testing.T, fault *cutFault) {
	c, seed := newCutChain(t, false, false), cutSeed(t)
	at := filepath.Join(c.dir, "io")
	setup := cutSetup{Mount: at + ".mount", From: c.image, To: []string{at + ".check"}, Seed: seed}
	m := mountCuts(t, setup)
	w := startChild(t, "cutwrite", toArgument(t, cutWriter{Path: filepath.Join(setup.Mount, "spool"), Boot: c.boot(t), Tolerant: true}))
	defer w.kill()
	faults := c.hear(t, w, 20, nil)
	m.setFaults(t, fault)
	for tries := 0; tries < 10 && m.hits(t) == 0; tries++ {
		faults = c.hear(t, w, 30, faults)
	}
	faults = c.hear(t, w, 30, faults) // or nothing for a while
	hits := m.setFaults(t)
	before := len(c.ledger.Kept)
	for tries := 0; tries < 20 && len(c.ledger.Kept) == before; tries++ {
		faults = c.hear(t, w, 30, faults)
	}
	if hits == 0 {
		t.Error("no request failed, so nothing is proven")
	}
	if len(c.ledger.Kept) == before {
		t.Errorf("after %d failed requests the disk is well, but nothing is taken", hits)
	}
	m.server.tell("freeze the test")
	m.server.answer(t)
	w.kill()
	told := m.cut(t)
	for line := range w.lines {
		faults = c.take(line, faults)
	}
	_ = w.end()
	faults = append(faults, c.check(t, cutCheck{Path: at + ".check", Failed: true})...)
	t.Logf("%d requests failed, %d records were kept; %s", hits, len(c.ledger.Kept), told)
	if len(faults) > 0 {
		t.Errorf("EDGESPOOL_CUT_SEED=%d:\n%s\nthe writer's log: %s", seed, firstFaults(faults), w.err.String())
	}
}

// firstFaults are some of the faults, and what a process that failed had to
// say at the end.
func firstFaults(faults []string) string {
	if n := len(faults); n > 20 {
		faults = append(faults[:19:19], faults[n-1])
	}
	return strings.Join(faults, "\n")
}

// toArgument packs what a child is told.
func toArgument(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ioPatience is how long a test waits for a writer to be acknowledged
// something while its disk fails.
const ioPatience = 1500 * time.Millisecond

// hear takes that many acknowledgements from a writer, or those of a while.
func (c *cutChain) hear(t *testing.T, w *child, acks int, faults []string) []string {
	t.Helper()
	for late := time.After(ioPatience); acks > 0; {
		select {
		case line, ok := <-w.lines:
			if !ok {
				t.Fatalf("the writer died: %v\n%s", w.cmd.Wait(), w.err.String())
			}
			if strings.HasPrefix(line, "ack") {
				acks--
			}
			faults = c.take(line, faults)
		case <-late:
			return faults
		}
	}
	return faults
}

// A badFile is a file of a spool that cannot be read, whole or in part, and
// what that may cost.
type badFile struct {
	pattern string // below the spool's folder
	sector  bool   // only one in the middle
	costs   int    // how many records may be lost
}

// ownRecords stands for as many as there are in the file's segment.
const ownRecords = 1 << 20

// recordsOf counts the sequences of a segment, and what may have parts in it.
func recordsOf(t *testing.T, dir string) int {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(filepath.Dir(dir), strings.Repeat("[0-9a-f]", 16)))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := parseSegmentName(filepath.Base(dir))
	for _, other := range all {
		if next, _ := parseSegmentName(filepath.Base(other)); id.before(next) {
			return int(next.First-id.First) + 10
		}
	}
	return ownRecords // the last one
}

// TestIOErrorOnRead opens a spool with a file that cannot be read, as it was
// left by a kill. The process may die of that once, then it starts, keeps
// everything that is intact, and goes on.
func TestIOErrorOnRead(t *testing.T) {
	c := newCutChain(t, false, false)
	image := c.hoard(t)
	bad := []badFile{{"seg/*/*.vlog", true, 40}, {"seg/*/*.sst", false, 0}, {"seen/*[0-9a-f].run", true, 0}}
	if testing.Short() {
		bad = bad[:1]
	}
	if soak() {
		bad = append(bad, []badFile{
			{"seg/*/*.vlog", false, ownRecords}, {"seg/*/*.sst", true, 0}, {"seg/*/*.mem", false, 0}, {"seg/*/MANIFEST", false, 0},
			{"seg/*/KEYREGISTRY", false, 0}, {"seg/*/DISCARD", false, 0}, {"meta/*/*.vlog", false, 0}, {"meta/*/*.mem", false, 0},
			{"meta/*/MANIFEST", false, 0}, {"meta/*/READY", false, 0}, {"hist/*/*.vlog", false, 0}, {"hist/*/*.mem", false, 0},
			{"hist/*/MANIFEST", false, 0}, {"seen/*[0-9a-f].run", false, 0}, {"FORMAT", false, 0},
		}...)
	}
	for _, f := range bad {
		files, err := filepath.Glob(filepath.Join(image, "spool", f.pattern))
		files = slices.DeleteFunc(files, func(file string) bool { // a generation of meta that is not whole does not count
			_, err := os.Stat(filepath.Join(filepath.Dir(file), readyName))
			return strings.HasPrefix(f.pattern, "meta") && err != nil
		})
		if err != nil || len(files) == 0 {
			t.Errorf("no %s in the spool: %v", f.pattern, err)
			continue
		}
		which := map[string]string{"newest": files[len(files)-1]} // of meta, the one that counts
		if strings.HasPrefix(f.pattern, "se") && len(files) > 1 && soak() {
			which["oldest"] = files[0]
		}
		for word, file := range which {
			t.Run(fmt.Sprintf("%s %s sector %v", word, f.pattern, f.sector), func(t *testing.T) { c.readBad(t, image, file, f) })
		}
	}
}

// hoard has a writer fill a spool with some segments, kills it, and returns
// what it left.
func (c *cutChain) hoard(t *testing.T) (image string) {
	t.Helper()
	at := filepath.Join(c.dir, "hoard")
	setup := cutSetup{Mount: at + ".mount", From: c.image, To: []string{at + ".image"}, Kind: true}
	m := mountCuts(t, setup)
	w := startChild(t, "cutwrite", toArgument(t, cutWriter{Path: filepath.Join(setup.Mount, "spool"), Boot: c.boot(t), Hoard: true}))
	var faults []string
	runs := 0 // that the cut leaves
	for len(faults) == 0 && (len(c.ledger.Kept) < 300 || runs == 0 && len(c.ledger.Kept) < 3000) {
		faults = c.hear(t, w, 50, faults)
		runs = len(must(filepath.Glob(filepath.Join(setup.Mount, "spool", "seen", "*[0-9a-f].run"))))
	}
	m.server.tell("freeze the test")
	m.server.answer(t)
	w.kill()
	m.cut(t)
	for line := range w.lines {
		faults = c.take(line, faults)
	}
	_ = w.end()
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return setup.To[0]
}

// readBad mounts the spool with one bad file and checks it; once the process
// may die of it.
func (c *cutChain) readBad(t *testing.T, image, file string, f badFile) {
	fault := &cutFault{Op: opRead, Path: "^" + strings.TrimPrefix(file, image) + "$"}
	if fi, err := os.Stat(file); err == nil && f.sector {
		fault.At = min(max(0, fi.Size()-cutPage), 200<<10) // of a run, its last page
		fault.To = fault.At + cutSector
	}
	if f.costs == ownRecords {
		f.costs = recordsOf(t, filepath.Dir(file))
	}
	setup := cutSetup{Mount: filepath.Join(t.TempDir(), "mount"), From: image, Faults: []*cutFault{fault}}
	m := mountCuts(t, setup)
	defer m.unmount()
	faults, deaths := c.checkDying(t, cutCheck{Path: setup.Mount, Faulty: true}, m, nil)
	c.judge(t, f, faults, deaths, m.setFaults(t))
}

// checkDying checks as often as the process dies, but three times at most.
// again, if any, are faults that come once everything was read.
func (c *cutChain) checkDying(t *testing.T, k cutCheck, m *cutMount, again []*cutFault) (faults []string, deaths int) {
	k.Boot = c.boot(t) // the board stays up
	for deaths < 3 {
		faults = c.checkWith(t, k, func(p *child) {
			m.setFaults(t, again...)
			p.tell("")
		})
		if len(faults) == 0 || !strings.HasPrefix(faults[len(faults)-1], saidDied) {
			return faults, deaths
		}
		deaths++
		k.Again = false // the faults stay
		t.Log(faults[len(faults)-1][:min(400, len(faults[len(faults)-1]))])
	}
	return faults, deaths
}

func (c *cutChain) judge(t *testing.T, f badFile, faults []string, deaths, hits int) {
	t.Helper()
	lost, wrong := map[string]bool{}, []string{}
	for _, line := range faults {
		if strings.HasPrefix(line, "lost") {
			lost[line] = true
		} else if !strings.HasPrefix(line, saidLog) {
			wrong = append(wrong, line)
		}
	}
	t.Logf("%d reads failed, %d deaths, %d of %d records lost", hits, deaths, len(lost), len(c.ledger.Kept))
	if hits == 0 {
		t.Error("nothing read the bad file, so nothing is proven")
	}
	if deaths > 1 || len(wrong) > 0 || len(lost) > f.costs {
		t.Errorf("%d deaths:\n%s", deaths, strings.Join(wrong[:min(len(wrong), 20)], "\n"))
	}
}

// TestIOErrorInMapping has a file go bad that is mapped: what touches it dies
// of SIGBUS, which nobody can catch. It happens once.
func TestIOErrorInMapping(t *testing.T) {
	if testing.Short() {
		t.Skip("a child that dies of SIGBUS, a minute under the race detector; run without -short")
	}
	c := newCutChain(t, false, false)
	image := c.hoard(t)
	own := recordsOf(t, filepath.Join(image, "spool", "seg", "0000000000000001"))
	for pattern, costs := range map[string]int{`/seg/0000000000000001/\d+\.vlog$`: own, `/seg/0000000000000001/\d+\.sst$`: 0} {
		t.Run(pattern, func(t *testing.T) {
			setup := cutSetup{Mount: filepath.Join(t.TempDir(), "mount"), From: image}
			m := mountCuts(t, setup)
			defer m.unmount()
			fault := &cutFault{Op: opRead, Path: pattern}
			faults, deaths := c.checkDying(t, cutCheck{Path: setup.Mount, Faulty: true, Again: true}, m, []*cutFault{fault})
			c.judge(t, badFile{costs: costs}, faults, deaths, m.setFaults(t))
		})
	}
}
