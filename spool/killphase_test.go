package spool

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killConfig is that of a spool which rotates, deletes and switches often.
func killConfig(dir string) Config {
	return testConfig(dir, func(c *Config) {
		c.segmentBytes, c.MaxBytes, c.WhenFull, c.Keep = 500<<10, 48<<20, refuse, time.Millisecond
	})
}

// killDatasets are read by a stream each.
var killDatasets = []string{"training", "testing", "anomaly"}

// workUntilKilled appends, delivers and rejects until it is killed. It writes
// a line for each record that was acknowledged, and for each one before it is
// settled.
func workUntilKilled(dir string) {
	s, err := Open(killConfig(dir))
	if err != nil {
		fmt.Println("error: open:", err)
		return
	}
	fmt.Println("open")
	start := int(s.Stats().NextSequence) * 100
	out := &lineWriter{}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				line, err := appendNumber(s, start+g+3*i)
				for errors.Is(err, ErrFull) {
					<-time.After(time.Millisecond)
					line, err = appendNumber(s, start+g+3*i)
				}
				if err != nil {
					out.say("error: append: " + err.Error())
					return
				}
				out.say("a " + line)
			}
		})
	}
	for _, dataset := range killDatasets {
		wg.Go(func() {
			if err := deliver(s, dataset, out); err != nil {
				out.say("error: deliver: " + err.Error())
			}
		})
	}
	wg.Go(func() { // cursors are saved, and passed segments go, more often than each 5 s
		for {
			<-time.After(100 * time.Millisecond)
			s.mu.Lock()
			s.choresAt = time.Now()
			s.mu.Unlock()
			s.nudge()
		}
	})
	wg.Go(func() { // so that meta goes through generations
		for i := start; ; i++ {
			if err := s.SetSetting("count", fmt.Appendf(make([]byte, 60<<10), "%d", i)); err != nil {
				out.say("error: setting: " + err.Error())
				return
			}
			out.say(fmt.Sprintf("s %d 0", i))
		}
	})
	wg.Wait()
}

// A lineWriter has written a line when say returns.
type lineWriter struct{ mu sync.Mutex }

func (w *lineWriter) say(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Println(line)
}

// deliver settles what a stream gives; one of three is rejected at length, so
// that history rotates.
func deliver(s *Spool, dataset string, out *lineWriter) error {
	ctx := context.Background()
	st, err := s.Stream("to/"+dataset, dataset, StreamOptions{Pin: true})
	if err != nil {
		return err
	}
	for {
		ready := st.Ready()
		recs, err := st.Fetch(ctx, Limit{Records: 8, Bytes: 1 << 20})
		if err != nil {
			return err
		}
		if len(recs) == 0 {
			<-ready
			continue
		}
		var outcomes []Outcome
		for _, r := range recs {
			out.say(fmt.Sprintf("d %d 0", r.Sequence))
			o := Outcome{Sequence: r.Sequence, Fate: FateStored}
			if r.Sequence%3 == 0 {
				o.Fate, o.Reason = FateRejected, strings.Repeat("refused ", 500)
			}
			outcomes = append(outcomes, o)
		}
		if err := st.Settle(ctx, outcomes...); err != nil {
			return err
		}
	}
}

// The phases that a kill is aimed at, and what in the folder tells of them.
var killPhases = []string{"append", "rotation", "seal", "deletion", "meta switch", "history rotation", "recovery", "salvage", "renewal"}

func phaseOf(path string) string {
	folder, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
	_, segment := parseSegmentName(folder)
	switch {
	case folder == "seg" && strings.HasSuffix(name, ".del"):
		return "deletion"
	case folder == "seg" && strings.HasSuffix(name, ".new"):
		return "salvage"
	case folder == "seg":
		return "rotation"
	case segment && strings.HasSuffix(name, ".sst"):
		return "seal"
	case folder == "meta" && name == "opening":
		return "recovery"
	case folder == "meta":
		return "meta switch"
	case folder == "hist" && strings.HasSuffix(name, ".new"):
		return "renewal"
	case folder == "hist":
		return "history rotation"
	}
	return ""
}

// watchFolders sends the path of everything that appears in a spool's folders
// until the watch is closed.
func watchFolders(t *testing.T, dir string) (paths <-chan string, end func()) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Skipf("inotify is not to be had: %v", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	watched := map[int32]string{}
	watch := func(path string) {
		if wd, err := unix.InotifyAddWatch(fd, path, unix.IN_CREATE|unix.IN_MOVED_TO); err == nil {
			watched[int32(wd)] = path
		}
	}
	for _, folder := range []string{"meta", "hist", "seg"} {
		_ = os.MkdirAll(filepath.Join(dir, folder), 0o755)
		watch(filepath.Join(dir, folder))
	}
	segs, _ := filepath.Glob(filepath.Join(dir, "seg", "*"))
	for _, seg := range segs {
		watch(seg)
	}
	out := make(chan string, 1024)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(out)
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			for at := 0; at+unix.SizeofInotifyEvent <= n; {
				wd := int32(binary.NativeEndian.Uint32(buf[at:]))
				length := int(binary.NativeEndian.Uint32(buf[at+12:]))
				name := strings.TrimRight(string(buf[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+length]), "\x00")
				at += unix.SizeofInotifyEvent + length
				path := filepath.Join(watched[wd], name)
				if _, ok := parseSegmentName(name); ok {
					watch(path)
				}
				select {
				case out <- path:
				default: // a test that kills on the first one needs no more
				}
			}
		}
	})
	return out, func() { f.Close(); wg.Wait() }
}

// A killLedger is what the killed processes said.
type killLedger struct {
	acked     map[int]uint64  // number → sequence
	delivered map[uint64]bool // by sequence
	setting   int
	hits      map[string]int // by phase
}

// killIn lets a process work until it is in that phase, and kills it a moment
// later. After enough records without it, it is killed all the same.
func (l *killLedger) killIn(t *testing.T, dir, phase string, patience int) {
	t.Helper()
	paths, endWatch := watchFolders(t, dir)
	defer endWatch()
	child := childCommand("work", dir)
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	hit := "append"
	kill := func(in string) { once.Do(func() { hit = in; _ = child.Process.Kill() }) }
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case path := <-paths:
				if phaseOf(path) == phase {
					<-time.After(time.Duration(rand.IntN(4000)) * time.Microsecond)
					kill(phase)
					return
				}
			case <-ended:
				return
			}
		}
	})
	l.listen(t, child, pipe, patience, kill)
	close(ended)
	wg.Wait()
	l.hits[hit]++
}

// listen takes what the process says until it is dead.
func (l *killLedger) listen(t *testing.T, child *exec.Cmd, pipe io.Reader, patience int, kill func(in string)) {
	t.Helper()
	lines := bufio.NewScanner(pipe)
	n := 0
	for lines.Scan() {
		var kind string
		var number int
		var sequence uint64
		if lines.Text() == "open" {
			continue
		}
		if got, _ := fmt.Sscanf(lines.Text(), "%s %d %d", &kind, &number, &sequence); got != 3 {
			kill("append")
			t.Errorf("the process says %q", lines.Text())
			continue
		}
		switch kind {
		case "a":
			l.acked[number] = sequence
			if n++; n >= patience {
				kill("append")
			}
		case "d":
			l.delivered[uint64(number)] = true
		case "s":
			l.setting = number
		}
	}
	_ = child.Wait()
}

// TestKillInEveryPhase kills a process again and again while it appends,
// begins, seals and deletes segments, switches meta, rotates and renews
// history, starts, and salvages. Whatever was acknowledged is there or was
// delivered, whole, in order and once, and the disk use stays under the cap.
func TestKillInEveryPhase(t *testing.T) {
	dir := t.TempDir()
	l := &killLedger{acked: map[int]uint64{}, delivered: map[uint64]bool{}, hits: map[string]int{}}
	n := rounds(9, 225)
	var open []string
	for round := range n {
		phase := killPhases[round%len(killPhases)]
		if phase == "salvage" {
			spoilNewest(t, dir)
		}
		patience := 60 + rand.IntN(60)
		if phase == "deletion" || phase == "history rotation" {
			patience = 400
		}
		l.killIn(t, dir, phase, patience)
		if use, limit := treeBytes(dir), int64(48<<20); use > limit {
			t.Errorf("after a kill in %s the spool takes %d bytes of %d", phase, use, limit)
		}
		l.check(t, dir)
		if t.Failed() {
			t.Fatalf("after kill %d, aimed at %s", round+1, phase)
		}
		if now := openFiles(t); round == 2 {
			open = now
		} else if round > 2 && len(now) > len(open)+2 {
			t.Fatalf("after kill %d these files are open or mapped: %v; after the third there were %v", round+1, now, open)
		}
	}
	t.Logf("%d kills hit %v; %d records acknowledged, %d delivered", n, l.hits, len(l.acked), len(l.delivered))
}

// spoilNewest takes away what the newest segment needs to be opened, but no record.
func spoilNewest(t *testing.T, dir string) {
	t.Helper()
	segs, _ := filepath.Glob(filepath.Join(dir, "seg", "????????????????"))
	if len(segs) > 0 {
		remove(t, filepath.Join(segs[len(segs)-1], "MANIFEST"))
	}
}

// openFiles are this process's descriptors and its mappings of stores.
func openFiles(t *testing.T) (open []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			open = append(open, name)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.Index(line, "/seg/"); at >= 0 {
			open = append(open, strings.TrimSpace(line[at:]))
		}
	}
	return open
}

// check opens the spool and reads, from each stream's cursor on, everything.
func (l *killLedger) check(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(killConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[int]uint64{}
	for _, dataset := range killDatasets {
		st := mustStream(t, s, "to/"+dataset, dataset)
		var last uint64
		for _, r := range mustFetch(t, st, 1<<30) {
			number := checkNumbered(t, r, dataset)
			if r.Sequence <= last {
				t.Errorf("record %d comes after %d", r.Sequence, last)
			}
			if before, twice := found[number]; twice {
				t.Errorf("number %d is there as %d and as %d", number, before, r.Sequence)
			}
			found[number], last = r.Sequence, r.Sequence
		}
		if lost := st.Totals().Lost; lost != 0 {
			t.Errorf("%d records of %s are lost", lost, dataset)
		}
	}
	for number, sequence := range l.acked {
		if got, there := found[number]; there && got != sequence || !there && !l.delivered[sequence] {
			t.Errorf("number %d was acknowledged as %d and is neither there (%d) nor was it delivered", number, sequence, got)
		}
	}
	if value, ok := s.Setting("count"); l.setting > 0 {
		var count int
		if !ok {
			t.Error("the setting is gone")
		} else if _, err := fmt.Sscan(string(value[60<<10:]), &count); err != nil || count < l.setting {
			t.Errorf("setting is %d (%v), %d was acknowledged", count, err, l.setting)
		}
	}
	if stats := s.Stats(); stats.Damaged != 0 || stats.Lost != 0 || stats.DiskBytes > stats.MaxBytes {
		t.Errorf("figures are %+v", stats)
	}
}

// checkNumbered compares a record with what its number says.
func checkNumbered(t *testing.T, r Record, dataset string) int {
	t.Helper()
	var number int
	data := readBody(t, r)
	if _, err := fmt.Sscanf(string(data[:min(12, len(data))]), "%d", &number); err != nil {
		t.Fatalf("record %d: %v", r.Sequence, err)
	}
	if want := numbered(number); want.Body.SHA256() != sha256Sum(data) || r.Dataset != dataset {
		t.Errorf("record %d (number %d) came back changed", r.Sequence, number)
	}
	return number
}
