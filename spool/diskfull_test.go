package spool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// starvedConfig is the spool of the tests on small disks: the disk is its
// limit, and everything is due often.
func starvedConfig(argument string) Config {
	dir, policy, _ := strings.Cut(argument, "|")
	return testConfig(dir, func(c *Config) { c.WhenFull, c.MaxBytes, c.Keep = policy, 512<<20, 0 })
}

// starve is a child that uses its spool in every way while the disk is taken
// away from it. It tells each acknowledged record, and when it is refused or
// taken again. A line on its input has it deliver everything; the end of it,
// close.
func starve(argument string) {
	out := make(chan string)
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for line := range out {
			fmt.Println(line)
		}
	}()
	s := starvedOpen(starvedConfig(argument), out)
	go func() {
		<-s.Hung()
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2) // what it hangs in
		fmt.Println("hung:", s.Err())
		os.Exit(6) // as the agent does
	}()
	deliver := make(chan struct{})
	ctx, end := context.WithCancel(context.Background())
	var using sync.WaitGroup
	using.Go(func() { starvedAppend(ctx, s, out) })
	using.Go(func() { starvedSettings(ctx, s) })
	using.Go(func() { starvedStreams(ctx, s, deliver, out) })
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		deliver <- struct{}{}
	}
	end()
	using.Wait()
	if err := s.Close(); err != nil {
		out <- "close: " + err.Error()
	}
	out <- "closed"
	close(out)
	<-printed
}

// starvedOpen tries until the spool opens, as the agent does.
func starvedOpen(c Config, out chan<- string) *Spool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; <-tick.C {
		s, err := Open(c)
		switch {
		case err == nil:
			out <- "open"
			return s
		case !errors.Is(err, ErrFull) && !errors.Is(err, ErrReadOnly):
			out <- "broken: " + err.Error()
		case !said:
			said = true
			out <- "refused: " + err.Error()
		}
	}
}

// starvedAppend appends record after record, each one until it is taken.
func starvedAppend(ctx context.Context, s *Spool, out chan<- string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var refused error // of which kind it was last; nil while records are taken
	for number := int(s.Stats().NextSequence) * 10; ctx.Err() == nil; number++ {
		for {
			line, err := appendNumber(s, number)
			if err == nil {
				refused = nil
				out <- line
				break
			}
			kind := ErrReadOnly
			if errors.Is(err, ErrFull) {
				kind = ErrFull
			}
			if hungNow(s) {
				select {} // the process ends
			}
			if !errors.Is(err, kind) {
				out <- "error: " + err.Error()
			} else if refused != kind {
				refused = kind
				out <- "refused: " + err.Error()
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// starvedSettings makes meta go through generations.
func starvedSettings(ctx context.Context, s *Spool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		_ = s.SetSetting("count", fmt.Appendf(make([]byte, 30<<10), "%d", i))
		<-tick.C
	}
}

// starvedStreams makes exceptions of the testing records, so that history
// rotates, reads the training records again and again, and delivers them on
// request.
func starvedStreams(ctx context.Context, s *Spool, deliver <-chan struct{}, out chan<- string) {
	testing, terr := s.Stream("check/testing", "testing", StreamOptions{Pin: true})
	training, err := s.Stream("check/training", "training", StreamOptions{Pin: true})
	if _, aerr := s.Stream("check/anomaly", "anomaly", StreamOptions{Pin: true}); err != nil || terr != nil || aerr != nil {
		out <- fmt.Sprint("streams: ", err, terr, aerr)
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if recs, err := testing.Fetch(ctx, Limit{Records: 20, Bytes: 1 << 20}); err == nil {
			for _, r := range recs {
				_ = testing.Settle(ctx, Outcome{Sequence: r.Sequence, Fate: FateRejected, Reason: strings.Repeat("because ", 400)})
			}
		}
		if recs, err := training.Fetch(ctx, Limit{Records: 5, Bytes: 1 << 20}); err != nil {
			if ctx.Err() == nil && !errors.Is(err, ErrReadOnly) { // that it was sent undated cannot be noted
				out <- "error: " + err.Error()
			}
		} else {
			for _, r := range recs {
				if err := starvedRead(r); err != nil {
					out <- "error: " + err.Error()
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-deliver:
			starvedDeliver(ctx, s)
			out <- "delivered"
		case <-tick.C:
		}
	}
}

func starvedRead(r Record) error {
	body, err := r.Body.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

func starvedDeliver(ctx context.Context, s *Spool) {
	for _, st := range s.streamList() {
		for {
			recs, err := st.Fetch(ctx, Limit{Records: 100, Bytes: 4 << 20})
			if err != nil || len(recs) == 0 {
				break
			}
			for _, r := range recs {
				_ = st.Settle(ctx, Outcome{Sequence: r.Sequence, Fate: FateStored})
			}
		}
		_ = st.Sync(ctx) // or the next fault comes first, and nothing was delivered
	}
	s.choresSoon()
}

// A starved is such a child and what it has said.
type starved struct {
	t        *testing.T
	argument string
	cmd      *exec.Cmd
	in       io.WriteCloser
	lines    chan string
	errs     bytes.Buffer
	acked    map[int]uint64
	refused  string // the last reason
	deaths   int    // by SIGBUS, in the long form
	hangs    int    // that ended it
	mayHang  int    // and how many of those are no fault
}

func hungNow(s *Spool) bool {
	select {
	case <-s.Hung():
		return true
	default:
		return false
	}
}

func startStarved(t *testing.T, dir, policy string, acked map[int]uint64) *starved {
	t.Helper()
	c := &starved{t: t, argument: dir + "|" + policy, acked: acked}
	if soak() {
		c.mayHang = starvedDeaths
	}
	c.start()
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

func (c *starved) start() {
	t := c.t
	t.Helper()
	c.cmd, c.lines = childCommand("starve", c.argument), make(chan string, 64)
	c.errs.Reset()
	c.cmd.Stderr = &c.errs
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func(lines chan<- string) {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}(c.lines)
}

// next takes one line of the child; ok is false when it has ended, or says
// nothing for long.
func (c *starved) next(patience time.Duration) (line string, ok bool) {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line, ok = <-c.lines:
	case <-timer.C:
		return "", false
	}
	var number int
	var sequence uint64
	switch {
	case !ok:
		err := c.cmd.Wait()
		if soak() && strings.Contains(c.errs.String(), "SIGBUS") && c.deaths < starvedDeaths {
			c.deaths++
			c.t.Logf("the child has died of SIGBUS\n%.600s", c.errs.String())
			c.start()
			return "died", true
		}
		c.t.Fatalf("the child has died: %v\n%.3000s", err, c.errs.String())
	case strings.HasPrefix(line, "hung:"):
		// Badger tries for ever to write the table of what it was closing; the
		// agent ends then, and is started again.
		if c.hangs++; c.hangs > c.mayHang {
			c.t.Fatalf("the child %s\n%.30000s", line, c.errs.String())
		}
		c.t.Logf("the child %s", line)
		c.kill()
		c.start()
		return hasHung, true
	case strings.HasPrefix(line, "error:"), strings.HasPrefix(line, "broken:"), strings.HasPrefix(line, "streams:"), strings.HasPrefix(line, "close:"):
		c.t.Errorf("the child says %q\n%.30000s", line, c.errs.String())
	case strings.HasPrefix(line, "refused:"):
		c.refused = line
	default:
		if n, _ := fmt.Sscanf(line, "%d %d", &number, &sequence); n == 2 {
			c.acked[number] = sequence
		}
	}
	return line, true
}

// hasHung is what next says of a child that hung, and was started again.
const hasHung = "refused: it hung"

// starvedDeaths is how often in the hundred fills of a long form somebody else
// may take the room between the last look at it and Badger's writing of a
// table; see roomToFlush. Nothing is lost by it. In the short form, never.
const starvedDeaths = 2

// starvedPatience ends a test that would hang; it says nothing of how long things take.
const starvedPatience = 2 * time.Minute

// await waits for a line with that beginning.
func (c *starved) await(prefix string) {
	c.t.Helper()
	for {
		line, ok := c.next(starvedPatience)
		if !ok {
			c.stuck(fmt.Sprintf("the child does not say %q", prefix))
		}
		if strings.HasPrefix(line, prefix) {
			return
		}
	}
}

// more waits until n records more were acknowledged.
func (c *starved) more(n int) {
	c.t.Helper()
	for want := len(c.acked) + n; len(c.acked) < want; {
		if _, ok := c.next(starvedPatience); !ok {
			c.stuck(fmt.Sprintf("the child acknowledges no more; %d were to come", want-len(c.acked)))
		}
	}
}

// stuck ends the test with what the child does, and why it last refused.
func (c *starved) stuck(what string) {
	c.t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	_ = c.cmd.Wait()
	dir, _, _ := strings.Cut(c.argument, "|")
	c.t.Fatalf("%s; it last said %q; the disk has\n%s\n%.60000s", what, c.refused, diskShares(dir), c.errs.String())
}

// diskShares says what each part of a spool takes, and what else is there.
func diskShares(dir string) string {
	var lines []string
	for _, pattern := range []string{"../*", "*", "seg/*", "meta/*", "hist/*", "quarantine/*"} {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range paths {
			lines = append(lines, fmt.Sprintf("%10d %s", treeBytes(path), path))
		}
	}
	return strings.Join(lines, "\n")
}

// quiet takes what the child says until it is silent for that long.
func (c *starved) quiet(d time.Duration) {
	c.t.Helper()
	for {
		if _, ok := c.next(d); !ok {
			return
		}
	}
}

func (c *starved) kill() {
	c.t.Helper()
	_ = c.cmd.Process.Kill()
	for line := range c.lines {
		var number int
		var sequence uint64
		if n, _ := fmt.Sscanf(line, "%d %d", &number, &sequence); n == 2 {
			c.acked[number] = sequence
		}
	}
	_ = c.cmd.Wait()
}

// close has the child close its spool.
func (c *starved) close() {
	c.t.Helper()
	_ = c.in.Close()
	for line := ""; line != "closed"; {
		var ok bool
		if line, ok = c.next(starvedPatience); !ok {
			c.stuck("the child does not close")
		}
		if line == hasHung {
			c.kill()
			return
		}
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the child ends with %v\n%.3000s", err, c.errs.String())
	}
}

// starvedCheck looks for every acknowledged record: those that were delivered
// are known, the others come back as they were. None counts as lost.
func starvedCheck(t *testing.T, dir, policy string, acked map[int]uint64) {
	t.Helper()
	s, err := Open(starvedConfig(dir + "|" + policy))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for number, sequence := range acked {
		rd, _ := numbered(number).Body.Open()
		data, _ := io.ReadAll(rd)
		if got, ok := s.Seen(Bytes(data).SHA256()); !ok && number%3 != 1 || ok && got != sequence {
			t.Errorf("number %d was acknowledged as %d; the spool says %d, %v", number, sequence, got, ok)
		}
	}
	for i, dataset := range []string{"training", "testing", "anomaly"} {
		st, err := s.Stream("check/"+dataset, dataset, StreamOptions{Pin: true})
		if err != nil {
			t.Fatal(err)
		}
		if lost := st.Totals().Lost; lost != 0 {
			t.Errorf("%d records of %s count as lost", lost, dataset)
		}
		from := st.cursor.Load()
		found := map[uint64]bool{}
		for _, r := range mustFetch(t, st, 1<<30) {
			found[r.Sequence] = true
			var number int
			data := readBody(t, r)
			if _, err := fmt.Sscanf(string(data[:min(12, len(data))]), "%d", &number); err != nil || number%3 != i {
				t.Fatalf("record %d of %s says it is %.20q", r.Sequence, dataset, data)
			}
			rd, _ := numbered(number).Body.Open()
			want, _ := io.ReadAll(rd)
			if !bytes.Equal(data, want) {
				t.Errorf("record %d came back changed", r.Sequence)
			}
		}
		for number, sequence := range acked {
			if number%3 == i && sequence >= from && !found[sequence] {
				t.Errorf("record %d of %s does not come back; the stream is at %d", sequence, dataset, from)
			}
		}
	}
	if stats := s.Stats(); stats.Damaged != 0 || stats.Quarantined != 0 || stats.Lost != 0 {
		t.Errorf("the figures are %+v", stats)
	}
}

// A hog is somebody else who fills the disk, and takes at once what comes free.
type hog struct {
	path              string
	end, ending, full chan struct{}
}

func startHog(t *testing.T, disk string) *hog {
	t.Helper()
	h := &hog{path: filepath.Join(disk, "hog"), end: make(chan struct{}), ending: make(chan struct{}), full: make(chan struct{})}
	f, err := os.Create(h.path)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(h.ending)
		defer f.Close()
		block := make([]byte, 1<<20)
		var full sync.Once
		tick := time.NewTicker(10 * time.Millisecond) // 100 MB a second
		defer tick.Stop()
		for {
			select {
			case <-h.end:
				return
			case <-tick.C:
			}
			if _, err := f.Write(block); err == nil {
				continue
			}
			for size := len(block); size >= 1<<10; {
				if _, err := f.Write(block[:size]); err != nil {
					size /= 2
				}
			}
			full.Do(func() { close(h.full) })
		}
	}()
	return h
}

// stop ends the hog, and gives back what it has taken if asked to.
func (h *hog) stop(giveBack bool) {
	close(h.end)
	<-h.ending
	if giveBack {
		_ = os.Remove(h.path)
	}
}

// TestDiskFullByUs: the spool fills the disk itself and refuses; once its
// records are delivered it goes on.
func TestDiskFullByUs(t *testing.T) {
	disk := smallDisk(t, 112)
	dir := filepath.Join(disk, "spool")
	acked := map[int]uint64{}
	c := startStarved(t, dir, refuse, acked)
	for range rounds(2, 10) {
		c.await("refused:")
		_, _ = io.WriteString(c.in, "deliver\n")
		c.more(50)
	}
	c.close()
	starvedCheck(t, dir, refuse, acked)
}

// TestDiskFullByOthers: somebody else fills the disk while the spool is at
// work, at any place of a segment, and holds it for a while.
func TestDiskFullByOthers(t *testing.T) {
	for _, policy := range []string{refuse, dropOldest} {
		t.Run(policy, func(t *testing.T) {
			disk := smallDisk(t, 128)
			dir := filepath.Join(disk, "spool")
			acked := map[int]uint64{}
			c := startStarved(t, dir, policy, acked)
			n := rounds(4, 100)
			for round := range n {
				c.more(1 + rand.IntN(60))
				h := startHog(t, disk)
				c.await("refused:")
				c.quiet(300 * time.Millisecond)
				if round%3 == 2 {
					c.kill()
					c = startStarved(t, dir, policy, acked)
					c.quiet(300 * time.Millisecond)
				}
				h.stop(true)
				_, _ = io.WriteString(c.in, "deliver\n")
				c.await("delivered") // else its own records may fill the disk, and rightly go
				c.more(1)
			}
			c.close()
			starvedCheck(t, dir, policy, acked)
			t.Logf("%d times full, %d deaths by SIGBUS, %d acknowledged records", n, c.deaths, len(acked))
		})
	}
}

// TestDiskFullAtStart: the disk is full when the spool is opened, after a kill
// or a close. It waits, and goes on by itself.
func TestDiskFullAtStart(t *testing.T) {
	disk := smallDisk(t, 128)
	dir := filepath.Join(disk, "spool")
	acked := map[int]uint64{}
	n := rounds(3, 60)
	for round := range n {
		policy := []string{refuse, dropOldest}[round%2]
		c := startStarved(t, dir, policy, acked)
		c.more(1 + rand.IntN(100))
		_, _ = io.WriteString(c.in, "deliver\n")
		c.await("delivered") // else the disk is full of what is not, and rightly refused
		if round%2 == 0 {
			c.kill()
		} else {
			c.close()
		}
		h := startHog(t, disk)
		<-h.full
		c = startStarved(t, dir, policy, acked)
		c.await("refused:")
		c.quiet(200 * time.Millisecond)
		h.stop(true)
		c.more(1)
		c.close()
	}
	starvedCheck(t, dir, refuse, acked)
	t.Logf("%d full starts, %d acknowledged records", n, len(acked))
}

// TestDiskFullAtSeal: each time a segment has to be sealed the disk is full,
// for the hog leaves nothing; room for a moment lets the next one begin.
func TestDiskFullAtSeal(t *testing.T) {
	disk := smallDisk(t, 128)
	dir := filepath.Join(disk, "spool")
	acked := map[int]uint64{}
	c := startStarved(t, dir, refuse, acked)
	c.more(1)
	n := rounds(6, 100)
	for round := range n {
		h := startHog(t, disk)
		c.await("refused:") // the active segment is full, and has to be sealed
		h.stop(true)
		if round%4 == 3 {
			_, _ = io.WriteString(c.in, "deliver\n")
		}
		c.more(1)
	}
	c.close()
	starvedCheck(t, dir, refuse, acked)
	t.Logf("%d segments at a full disk, %d acknowledged records", n, len(acked))
}
