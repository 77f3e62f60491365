package detect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxAnswer  = 1 << 20         // bytes of one answer
	endTime    = 2 * time.Second // for a child to end by itself
	tidyTime   = 500 * time.Millisecond
	niceness   = 5   // judging gives way to sampling
	shownWords = 300 // bytes of what a child says last that are shown
)

var (
	errFlood   = errors.New("program answers with more than 1 MiB")
	errUnasked = errors.New("program speaks without being asked")
	errStuck   = errors.New("program that was killed has not ended yet")
)

// A link is how we talk to a child.
type link interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
	SyscallConn() (syscall.RawConn, error)
}

// A child is a program that judges, in a process group of its own.
type child struct {
	cmd   *exec.Cmd
	said  *tail
	ended chan struct{} // closed once it has ended
	cause error         // why, then
	link  link
	read  *bufio.Reader
	// warm: it has answered once, so it is done with starting.
	warm bool
	// tidies: it has something to clear away when it is interrupted.
	tidies bool
}

// launch starts a program. It inherits nothing of our environment but what
// programs need to run: keys may be in the rest.
func launch(argv []string, in io.Reader, out io.Writer) (*child, error) {
	c := &child{cmd: exec.Command(argv[0], argv[1:]...), said: &tail{}, ended: make(chan struct{})}
	c.cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return !passed(pair) })
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr, c.cmd.WaitDelay = in, out, c.said, endTime
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	_ = unix.Setpriority(unix.PRIO_PGRP, c.cmd.Process.Pid, niceness) // a wish
	go func() {
		defer close(c.ended)
		c.cause = c.cmd.Wait()
		c.signal(unix.SIGKILL) // what it has left behind
	}()
	return c, nil
}

func passed(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	return slices.Contains([]string{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}, name) || strings.HasPrefix(name, "LC_")
}

func (c *child) attach(l link) { c.link, c.read = l, bufio.NewReaderSize(l, 4096) }

func (c *child) signal(s unix.Signal) { _ = unix.Kill(-c.cmd.Process.Pid, s) }

func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// end waits for the child to end, for patience at most, and then kills it. It
// tells whether it has ended; one that sleeps in a driver cannot.
func (c *child) end(patience time.Duration) bool {
	if c.link != nil {
		_ = c.link.Close()
	}
	if c.tidies && c.alive() {
		c.signal(unix.SIGINT)
		patience = max(patience, tidyTime)
	}
	if patience > 0 {
		awaitEnd(c.ended, patience)
	}
	if c.alive() {
		c.signal(unix.SIGKILL)
	}
	return awaitEnd(c.ended, endTime)
}

func awaitEnd(ended <-chan struct{}, patience time.Duration) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-ended:
		return true
	case <-t.C:
		return false
	}
}

// patience is how long an answer may take: the first one longer, because
// libraries and graphics processors take their time to get ready.
func (c *child) patience(configured time.Duration) time.Duration {
	if c.warm {
		return configured
	}
	return max(configured, helloTime)
}

// ask sends a request and returns the first answer that is wanted, each up to
// its last byte. A few that are not are passed over.
func (c *child) ask(ctx context.Context, request []byte, last byte, patience time.Duration, wanted func(answer []byte) bool) ([]byte, error) {
	_ = c.link.SetDeadline(time.Now().Add(patience))
	defer context.AfterFunc(ctx, func() { _ = c.link.SetDeadline(time.Now()) })()
	if _, err := c.link.Write(request); err != nil {
		return nil, c.explain("ask program", err, patience)
	}
	for range 16 {
		answer, err := c.readUpTo(last)
		if err != nil {
			return nil, c.explain("read answer", err, patience)
		}
		if wanted(answer) {
			return answer, nil
		}
	}
	return nil, errUnasked
}

func (c *child) readUpTo(last byte) (answer []byte, err error) {
	for {
		part, err := c.read.ReadSlice(last)
		if answer = append(answer, part...); len(answer) > maxAnswer {
			return nil, errFlood
		}
		if err == nil {
			return answer[:len(answer)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// quiet tells whether the child has said nothing since its last answer.
func (c *child) quiet() bool {
	if c.read.Buffered() > 0 {
		return false
	}
	raw, err := c.link.SyscallConn()
	if err != nil {
		return true
	}
	n := -1 // Go interrupts its own threads, and a poll with them
	_ = raw.Control(func(fd uintptr) {
		for err := error(unix.EINTR); err == unix.EINTR; {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		}
	})
	return n <= 0
}

// explain finds words for what went wrong with a child.
func (c *child) explain(doing string, err error, patience time.Duration) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: nothing within %v", doing, patience)
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		if awaitEnd(c.ended, endTime) {
			err = errors.New("program has ended")
			if c.cause != nil {
				err = fmt.Errorf("program has ended: %w", c.cause)
			}
		} else {
			err = errors.New("program has hung up")
		}
	}
	if words := c.said.String(); words != "" {
		return fmt.Errorf("%s: %w; it said %q", doing, err, words)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write takes anything.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b[max(0, len(b)-shownWords):]...)
	t.text = append(t.text[:0], t.text[max(0, len(t.text)-shownWords):]...)
	return len(b), nil
}

// String is the text without blanks around it.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.text), "?"))
}
