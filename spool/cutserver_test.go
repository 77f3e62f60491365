//go:build !386 && !arm

package spool

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A cutSetup is what the process of a file system is told at its start.
type cutSetup struct {
	Mount  string
	From   string   // what the disk holds; all of it is safe
	To     []string // where copies of what a cut leaves go
	Strict bool
	Seed   uint64
	Kind   bool // a cut takes nothing, as if only the process had been killed
	Harsh  bool // a cut takes all data that was not synced, whatever chance says
	Plan   cutPlan
	Faults []*cutFault
}

// serveCuts is the process that serves a file system: it shares nothing with
// those who map files on it, because a process that waits for itself in a page
// fault cannot even be killed. It answers each line of its input with one.
func serveCuts(setupText string) {
	var setup cutSetup
	if err := json.Unmarshal([]byte(setupText), &setup); err != nil {
		fmt.Println("setup:", err)
		return
	}
	disk := newCutDisk(setup.Strict)
	disk.kind, disk.harsh = setup.Kind, setup.Harsh
	if err := disk.load(setup.From); err != nil {
		fmt.Println("load:", err)
		return
	}
	fs := newCutFS(disk, setup.Plan, func(what string) { fmt.Println("frozen", what) })
	if _, err := fs.setFaults(setup.Faults); err != nil {
		fmt.Println("faults:", err)
		return
	}
	if err := mountCutFS(fs, setup.Mount); err != nil {
		fmt.Println("mount:", err)
		return
	}
	fmt.Println("mounted")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
		case "freeze":
			fs.freeze(rest)
		case "cut": // nothing is served any more, so the disk is ours
			fmt.Println("cut", disk.cut(rand.New(rand.NewPCG(setup.Seed, 1))))
			for _, to := range setup.To {
				if err := disk.save(disk.nodes[cutRoot], to); err != nil {
					fmt.Println("save:", err)
					return
				}
			}
			fmt.Println("saved")
		case "faults":
			var faults []*cutFault
			err := json.Unmarshal([]byte(rest), &faults)
			hits, serr := fs.setFaults(faults)
			if err == nil {
				err = serr
			}
			fmt.Println("hits", hits, err)
		case "hits":
			fmt.Println("hits", fs.hits(), error(nil))
		}
	}
	_ = syscall.Unmount(setup.Mount, syscall.MNT_DETACH) // the test has gone
}

// A child is the test binary as one of children, running. Its lines come
// on a channel that is closed when it has no more to say.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	err   strings.Builder
}

func startChild(t *testing.T, name, argument string) *child {
	t.Helper()
	c := &child{cmd: childCommand(name, argument), lines: make(chan string, 4096)}
	c.cmd.Stderr = &c.err
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			c.lines <- scanner.Text()
		}
	}()
	return c
}

// tell sends a line.
func (c *child) tell(line string) { _, _ = io.WriteString(c.in, line+"\n") }

// end waits for the child, which was told to go or killed, to have gone.
func (c *child) end() error {
	for range c.lines { // until it has no more to say
	}
	return c.cmd.Wait()
}

// kill ends the child; what it said before stays to be read.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// answer is the next line, or a failure after too long.
func (c *child) answer(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-c.lines:
		if ok {
			return line
		}
		t.Fatalf("child ended: %v\n%s", c.cmd.Wait(), c.err.String())
	case <-time.After(time.Minute):
		c.kill()
		t.Fatal("child does not answer")
	}
	return ""
}

// A cutMount is a mounted file system with its process.
type cutMount struct {
	server *child
	path   string
	gone   bool
}

// mountCuts starts a file system, or skips where there can be none.
func mountCuts(t *testing.T, setup cutSetup) *cutMount {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root and /dev/fuse")
	}
	if err := os.MkdirAll(setup.Mount, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(setup)
	if err != nil {
		t.Fatal(err)
	}
	m := &cutMount{server: startChild(t, "cutfs", string(text)), path: setup.Mount}
	t.Cleanup(func() { m.unmount() })
	if line := m.server.answer(t); line != "mounted" {
		m.server.kill()
		if strings.Contains(line, "operation not permitted") || strings.Contains(line, "no such device") {
			t.Skip("cannot mount FUSE here: ", line)
		}
		t.Fatal(line)
	}
	return m
}

// unmount ends the server, which fails every request that still waits, and
// takes the mount away.
func (m *cutMount) unmount() {
	if m.gone {
		return
	}
	m.gone = true
	m.server.kill()
	_ = m.server.end()
	_ = syscall.Unmount(m.path, syscall.MNT_DETACH)
}

// cut has a frozen server decide what is left, and ends it. It tells how it
// was cut.
func (m *cutMount) cut(t *testing.T) (told string) {
	t.Helper()
	m.server.tell("cut")
	for {
		switch line := m.server.answer(t); {
		case strings.HasPrefix(line, "cut "):
			told = line
		case line == "saved":
			m.unmount()
			return told
		case !strings.HasPrefix(line, "frozen"):
			t.Fatal(line)
		}
	}
}

// setFaults tells a server which requests fail from now on, and returns how
// many failed under the plan before.
func (m *cutMount) setFaults(t *testing.T, faults ...*cutFault) (hits int) {
	t.Helper()
	text, err := json.Marshal(faults)
	if err != nil {
		t.Fatal(err)
	}
	return m.ask(t, "faults "+string(text))
}

// hits is how many requests failed so far.
func (m *cutMount) hits(t *testing.T) int { t.Helper(); return m.ask(t, "hits") }

func (m *cutMount) ask(t *testing.T, line string) (hits int) {
	t.Helper()
	m.server.tell(line)
	answer := m.server.answer(t)
	if _, err := fmt.Sscanf(answer, "hits %d <nil>", &hits); err != nil {
		t.Fatalf("server says %q", answer)
	}
	return hits
}
