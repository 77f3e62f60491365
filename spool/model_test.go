package spool

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestModel runs random steps on a spool and on a model of it (modelState),
// in a bubble of false time, and compares all that can be seen after each. A
// failing run is shrunk and printed, with the flag that repeats it.
func TestModel(t *testing.T) {
	steps := modelRapid(t, rounds(6, 1080), rounds(250, 1000))
	var done int
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			m := newModelRun(rt, modelFolder(rt))
			defer m.end()
			rt.Repeat(m.actions())
			done += m.steps
		})
	})
	t.Logf("%d steps of %d asked for", done, steps)
}

// modelRapid sets how much rapid does, unless its own flags say so. The short
// form does the same each time, so that a change is judged by what it changes;
// the long form is where the dice are thrown anew.
func modelRapid(t *testing.T, checks, steps int) int {
	t.Helper()
	said := map[string]int{"rapid.checks": checks, "rapid.steps": steps}
	if !soak() {
		said["rapid.seed"] = 20261122
	}
	for name, n := range said {
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
		if given {
			continue
		}
		if testing.Short() { // rapid takes a part of what it is told then
			n *= map[string]int{"rapid.checks": 5, "rapid.steps": 2, "rapid.seed": 1}[name]
		}
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, before) })
	}
	return checks * steps
}

// modelFolder is a folder in memory where there is one: what counts here is
// the state of files, not of a disk.
func modelFolder(t *rapid.T) string {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "edgespool-model-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A modelRun is one run of steps on a spool and its model.
type modelRun struct {
	*modelState
	t      *rapid.T
	parent string // of the spool's folders, one for each life
	life   int
	conf   Config
	s      *Spool
	staged []stagedNumber
	steps  int
}

// A stagedNumber is a body that waits for its record.
type stagedNumber struct {
	number int
	body   Body
}

func newModelRun(t *rapid.T, parent string) *modelRun {
	m := &modelRun{modelState: newModelState(), t: t, parent: parent}
	m.conf = testConfig(m.folder(), func(c *Config) {
		c.segmentBytes = 192 << 10
		c.compareEvery = -1 // the model compares every repeat
		c.Commit.Bytes = Size(rapid.SampledFrom([]int{1 << 10, 64 << 10}).Draw(t, "commit bytes"))
		c.Keep = rapid.SampledFrom([]time.Duration{0, 10 * time.Minute, time.Hour}).Draw(t, "keep")
		c.WhenFull = rapid.SampledFrom([]string{dropOldest, refuse}).Draw(t, "when full")
		c.KeepAnomalyFirst = rapid.Bool().Draw(t, "keep anomaly first")
		c.MaxBytes = Size(rapid.SampledFrom([]int64{26 << 20, 2 << 30}).Draw(t, "max bytes"))
	})
	m.small = m.conf.MaxBytes < 1<<30
	m.open()
	return m
}

func (m *modelRun) folder() string { return fmt.Sprintf("%s/%d", m.parent, m.life) }

func (m *modelRun) open() {
	m.conf.Path = m.folder()
	s, err := Open(m.conf)
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	m.s = s
	synctest.Wait()
}

// end closes what is open, also after a failure, and clears up.
func (m *modelRun) end() {
	if m.s != nil {
		_ = m.s.Close()
	}
	_ = os.RemoveAll(m.parent)
}

func (m *modelRun) actions() map[string]func(*rapid.T) {
	a := map[string]func(*rapid.T){
		"": m.check, "append": m.append, "append more": m.append, "append waiting": m.appendWaiting, "append staged": m.appendStaged,
		"stage": m.stage, "seen": m.seen,
		"stream": m.stream, "remove": m.remove,
		"fetch": m.fetch, "fetch more": m.fetch, "settle": m.settle, "settle more": m.settle, "settle all": m.settleAll,
		"sync": m.sync, "reset": m.reset, "exceptions": m.exceptions,
		"sleep": m.sleep, "mark boot": m.markBoot, "clock": m.setClock,
		"end": m.endLife, "end otherwise": m.endLife,
	}
	for name, action := range a {
		a[name] = func(t *rapid.T) {
			m.t = t
			action(t)
			if name != "" {
				m.steps++
			}
		}
	}
	return a
}

// endLife ends the process in one of its ways. In the long form that is rarer,
// because it takes as long as a hundred other steps.
func (m *modelRun) endLife(t *rapid.T) {
	if soak() && rapid.IntRange(0, 3).Draw(t, "later") > 0 {
		m.steps--
		return
	}
	switch rapid.SampledFrom([]string{"close", "crash", "crash in commit"}).Draw(t, "end") {
	case "close":
		m.reopen(t)
	case "crash":
		m.crash(t)
	default:
		m.crashInCommit(t)
	}
}

// draw makes records: new ones, and some that came before.
func (m *modelRun) draw(t *rapid.T) []Record {
	recs := make([]Record, rapid.IntRange(1, 5).Draw(t, "records"))
	for i := range recs {
		number := m.fresh
		if m.fresh > 0 && rapid.IntRange(0, 3).Draw(t, "repeat") == 0 {
			number = m.fresh - 1 - rapid.IntRange(0, min(m.fresh-1, 200)).Draw(t, "back")
		} else {
			m.fresh++
		}
		recs[i] = m.record(number, rapid.IntRange(0, 7).Draw(t, "variant"))
	}
	return recs
}

func (m *modelRun) append(t *rapid.T)        { m.appendRecords(t, false, m.draw(t)...) }
func (m *modelRun) appendWaiting(t *rapid.T) { m.appendRecords(t, true, m.draw(t)...) }

func (m *modelRun) appendRecords(t *rapid.T, wait bool, recs ...Record) {
	receipt, err := m.s.Append(context.Background(), recs...)
	if errors.Is(err, ErrFull) && m.mayRefuse() {
		return
	}
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	m.appended(t, m.s, recs, receipt.Results)
	if !wait {
		return
	}
	err = receipt.Wait(context.Background())
	if errors.Is(err, ErrFull) && m.mayRefuse() {
		return
	}
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	for _, r := range receipt.Results {
		m.promise(r.Sequence)
	}
}

// mayRefuse tells whether the cap leaves no room.
func (m *modelRun) mayRefuse() bool {
	short, _, err := m.s.lacking(m.s.table.shape.disk() * 2)
	return err == nil && short > 0 && (m.conf.WhenFull == refuse || m.s.evictable() < short)
}

// stage stores a large body ahead of its record.
func (m *modelRun) stage(t *rapid.T) {
	for m.fresh%modelLarge != 7 {
		m.fresh++
	}
	body, err := m.s.Stage(context.Background(), bytes.NewReader(modelBody(m.fresh)), 1<<30)
	if errors.Is(err, ErrFull) && m.mayRefuse() {
		return
	}
	if err != nil {
		t.Fatalf("stage: %v", err)
	}
	m.staged = append(m.staged, stagedNumber{m.fresh, body})
	m.fresh++
}

func (m *modelRun) appendStaged(t *rapid.T) {
	if len(m.staged) == 0 {
		t.Skip("nothing is staged")
	}
	r := m.record(m.staged[0].number, rapid.IntRange(0, 7).Draw(t, "variant"))
	r.Body = m.staged[0].body
	m.staged = m.staged[1:]
	if !m.s.holdsAll(r.Body.(*stagedBody).parts) {
		if !m.small || m.conf.WhenFull == refuse {
			t.Fatal("parts of a staged body went")
		}
		return
	}
	m.appendRecords(t, rapid.Bool().Draw(t, "wait"), r)
}

func (m *modelRun) seen(t *rapid.T) {
	if m.fresh == 0 {
		t.Skip("nothing yet")
	}
	m.checkSeen(t, m.s, rapid.IntRange(0, m.fresh-1).Draw(t, "number"))
}

func (m *modelRun) sleep(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 6 * time.Second, 6 * time.Second, 11 * time.Minute}).Draw(t, "sleep")
	<-time.After(d) // of the bubble
	synctest.Wait()
	m.slept(d)
}
