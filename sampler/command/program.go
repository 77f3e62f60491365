package command

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
)

// A program runs in a process group of its own.
type program struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once it has ended
	cause error         // why, then; nil is exit code 0
}

// endTime is how long a program has to end by itself when it is told to.
const endTime = 2 * time.Second

// start starts a program. It dies with us, however we die.
func start(argv []string, out *os.File, said *notes) (*program, error) {
	p := &program{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	// Python keeps its output back when it writes to a pipe.
	p.cmd.Env = append(sampler.ProgramEnvironment(), "PYTHONUNBUFFERED=1")
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = out, said, endTime
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.cause = p.cmd.Wait()
		p.signal(unix.SIGKILL) // what it has left behind
	}()
	return p, nil
}

func (p *program) signal(s unix.Signal) { _ = unix.Kill(-p.cmd.Process.Pid, s) }

func (p *program) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// stop tells the program to end, and kills it with its whole group if it does
// not do so in time.
func (p *program) stop() {
	if p.over() {
		return
	}
	p.signal(unix.SIGTERM)
	t := time.NewTimer(endTime)
	defer t.Stop()
	select {
	case <-p.ended:
	case <-t.C:
		p.signal(unix.SIGKILL)
	}
}

// notes put what a program writes to its standard error into the log, so many
// lines a minute; the others are counted.
type notes struct {
	setup *sampler.Setup
	split sampler.Splitter
	since time.Duration // when this minute began
	lines int           // in it
}

const (
	maxNotes = 10  // a minute
	maxNote  = 300 // bytes
)

// Write takes anything.
func (n *notes) Write(b []byte) (int, error) {
	for rest := b; ; {
		line, left, _, ok := n.split.Next(rest)
		if !ok {
			return len(b), nil
		}
		rest = left
		if line = bytes.TrimSpace(line); len(line) > 0 {
			n.note(line)
		}
	}
}

func (n *notes) note(line []byte) {
	if now := n.setup.Clock.Since(); now-n.since > time.Minute {
		n.since, n.lines = now, 0
	}
	if n.lines++; n.lines > maxNotes {
		n.setup.Progress.Count("unlogged_lines", 1)
		return
	}
	n.setup.Log.Info("program says", "source", n.setup.Name, "text", string(bytes.ToValidUTF8(line[:min(len(line), maxNote)], []byte("?"))))
}
