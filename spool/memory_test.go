package spool

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// anonymousLimit is the most memory of its own that the spool may have in a
// 32-bit process, whatever it does.
const anonymousLimit = 24 << 20

// A memoryPlan is what the measured child does; it is told on its command line.
type memoryPlan struct {
	dir     string
	memory  int64 // of the board that it believes to be on
	cap     int64
	records int   // to append in the steady part
	size    int   // of each in bytes
	space   int64 // address space beyond what it has once open; 0 is any
}

func (p memoryPlan) String() string {
	return fmt.Sprintf("%d %d %d %d %d %s", p.memory, p.cap, p.records, p.size, p.space, p.dir)
}

func parseMemoryPlan(text string) (p memoryPlan, err error) {
	_, err = fmt.Sscanf(text, "%d %d %d %d %d %s", &p.memory, &p.cap, &p.records, &p.size, &p.space, &p.dir)
	return p, err
}

// measured opens a spool, appends to it, fills it, and reads all of it; it
// says when each part begins.
func measured(argument string) {
	if err := beMeasured(argument); err != nil {
		fmt.Println("error:", err)
	}
}

func beMeasured(argument string) error {
	p, err := parseMemoryPlan(argument)
	if err != nil {
		return err
	}
	fmt.Println("part open")
	s, err := Open(testConfig(p.dir, func(c *Config) {
		c.segmentBytes, c.MaxBytes, c.Memory = 0, Size(p.cap), p.memory
		c.WhenFull = dropOldest
	}))
	if err != nil {
		return err
	}
	if err := spareAddressSpace(p.space); err != nil {
		return err
	}
	ctx := context.Background()
	fmt.Println("part steady")
	if err := appendMany(ctx, s, p.records, p.size); err != nil {
		return err
	}
	fmt.Println("part scan")
	read, err := readAll(ctx, s)
	if err != nil {
		return err
	}
	fmt.Println("read", read)
	fmt.Println("part close")
	return s.Close()
}

// spareAddressSpace leaves the process that much more than it has; 0 is any.
func spareAddressSpace(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		return err
	}
	limit := pages*uint64(os.Getpagesize()) + uint64(bytes)
	return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit})
}

// appendMany appends records of that many bytes, 64 at a time.
func appendMany(ctx context.Context, s *Spool, records, size int) error {
	first := int(s.Stats().NextSequence)
	for i := 0; i < records; i += 64 {
		batch := make([]Record, 64)
		for j := range batch {
			batch[j] = sampleOf("training", first+i+j, cheapNoise(first+i+j, size))
		}
		r, err := s.Append(ctx, batch...)
		if err == nil {
			err = r.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readAll passes a stream over everything, as a destination does.
func readAll(ctx context.Context, s *Spool) (records int, err error) {
	st, err := s.Stream("memory", "training", StreamOptions{})
	if err != nil {
		return 0, err
	}
	if err := st.Reset(ctx, 0); err != nil {
		return 0, err
	}
	return readOn(ctx, st)
}

// readOn passes a stream over all that it has not passed.
func readOn(ctx context.Context, st *Stream) (records int, err error) {
	for {
		recs, err := st.Fetch(ctx, Limit{Records: 100, Bytes: 1 << 20})
		if err != nil || len(recs) == 0 {
			return records, err
		}
		outcomes := make([]Outcome, 0, len(recs))
		for i := range recs {
			rd, err := recs[i].Body.Open()
			if err != nil {
				return records, err
			}
			n, err := rd.Read(make([]byte, 64))
			_ = rd.Close()
			if n == 0 {
				return records, fmt.Errorf("read record %d: %w", recs[i].Sequence, err)
			}
			outcomes = append(outcomes, Outcome{Sequence: recs[i].Sequence, Fate: FateStored})
		}
		if err := st.Settle(ctx, outcomes...); err != nil {
			return records, err
		}
		records += len(recs)
	}
}

// measure runs the child and returns the peaks of each part, and how many
// records it has read.
func measure(t *testing.T, p memoryPlan, behind ...string) (peaks map[string]*processUse, read int) {
	t.Helper()
	child := childCommand("measured", p.String(), behind...)
	child.Stderr = os.Stderr
	child.Env = append(child.Env, "GOMEMLIMIT=20MiB") // what the agent sets for 32 bits
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	peaks = map[string]*processUse{}
	part := &processUse{}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for open := true; open; {
		select {
		case line, more := <-lines:
			open = more
			if name, ok := strings.CutPrefix(line, "part "); ok {
				part = &processUse{}
				peaks[name] = part
			} else if _, err := fmt.Sscanf(line, "read %d", &read); more && err != nil {
				t.Errorf("the child says: %s", line)
			}
		case <-tick.C:
			watchProcess(child.Process.Pid, p.dir, part)
		}
	}
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	return peaks, read
}

// TestMemoryStaysSmall measures a spool under the agent's limit for 32 bits
// while it is written to at full speed, with a backlog at its cap, and read
// through. The long form does so on boards of each class.
func TestMemoryStaysSmall(t *testing.T) {
	boards := []int64{256}
	if soak() {
		boards = []int64{256, 512, 1024}
	}
	for _, megabytes := range boards {
		t.Run(fmt.Sprintf("%d MB", megabytes), func(t *testing.T) {
			p := memoryPlan{dir: t.TempDir(), size: 1000, memory: megabytes << 20, cap: int64(max(rounds(96, 2048), 80)) << 20}
			if soak() {
				p.dir = memoryDir(t)
			}
			p.records = int(p.cap / 1000)
			checkUse(t, p)
		})
	}
}

// TestMemoryInLittleAddressSpace reads and writes with less address space to
// spare than the backlog takes: whoever mapped all of it would fail. The long
// form has a backlog of 10 GB in the 3 GB that a 32-bit kernel gives.
func TestMemoryInLittleAddressSpace(t *testing.T) {
	if strconv.IntSize > 32 {
		t.Skip("a 64-bit process has address space enough; run the tests with GOARCH=386")
	}
	p := memoryPlan{dir: t.TempDir(), size: 1000, memory: 256 << 20, cap: 140 << 20, space: 64 << 20}
	if soak() {
		p = memoryPlan{dir: memoryDir(t), size: 32 << 10, memory: 512 << 20, cap: 11 << 30}
	}
	p.records = int(p.cap / int64(p.size+80))
	if !soak() {
		checkUse(t, p)
		return
	}
	setarch, err := exec.LookPath("setarch")
	if err != nil {
		t.Skip("setarch is missing; it is in the package util-linux")
	}
	checkUse(t, p, setarch, "linux32", "-3")
}

// checkUse runs the child and holds its peaks against the limit.
func checkUse(t *testing.T, p memoryPlan, behind ...string) {
	t.Helper()
	var err error
	if p.dir, err = filepath.EvalSymlinks(p.dir); err != nil {
		t.Fatal(err)
	}
	peaks, read := measure(t, p, behind...)
	t.Logf("%d records of %d bytes read of %d appended under a cap of %.0f MB", read, p.size, p.records, mb(p.cap))
	if read < p.records/2 {
		t.Errorf("%d records were read of the %d appended", read, p.records)
	}
	for _, part := range []string{"steady", "scan"} {
		use := peaks[part]
		if use == nil || use.anonymous == 0 {
			t.Fatalf("part %s was never seen", part)
		}
		t.Logf("%-6s: RssAnon %5.1f MB, VmRSS %6.1f MB, %2d threads, %2d files, %3d maps of %6.1f MB",
			part, mb(use.anonymous), mb(use.resident), use.threads, use.files, use.maps, mb(use.mapped))
		if use.anonymous > anonymousLimit && runtime.GOARCH == "386" {
			t.Errorf("%s took %d bytes of memory of its own, more than %d", part, use.anonymous, anonymousLimit)
		}
		if use.maps > 32 || use.files > 96 || use.threads > 32 {
			t.Errorf("%s had %d mappings, %d files and %d threads", part, use.maps, use.files, use.threads)
		}
	}
}
