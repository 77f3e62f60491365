package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A child is one of our own processes, its output in a file.
type child struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; set before done is closed
}

// spawn starts this program with other arguments. The child has a process
// group of its own, so that Ctrl-C reaches the demo alone.
func spawn(program, dir, name string, args ...string) (*child, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{name: name, log: log.Name(), cmd: exec.Command(program, args...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// ready waits until the child answers at the address.
func (c *child) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := eventually(ctx, func() bool { return c.ended() || answers(ctx, url) })
	if c.ended() {
		return fmt.Errorf("start %s: it ended (%w); the end of %s:\n%s", c.name, c.err, c.log, tail(c.log))
	}
	if err != nil {
		return fmt.Errorf("start %s: no answer from %s; see %s", c.name, url, c.log)
	}
	return nil
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// stop asks the child to end and waits until it has; it must end well.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already, which Wait tells
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		c.kill()
		return fmt.Errorf("stop %s: it did not end within 30 s; see %s", c.name, c.log)
	}
	if c.err != nil {
		return fmt.Errorf("stop %s: %w; the end of %s:\n%s", c.name, c.err, c.log, tail(c.log))
	}
	return nil
}

// kill ends the child at once, as the out-of-memory killer does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// tail is the end of a log, enough to see what went wrong.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-10):], "\n  ")
}

// eventually asks ten times a second until ok says so or ctx ends.
func eventually(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

var client = &http.Client{Timeout: 5 * time.Second}

// answers tells whether a server gives any answer but a server error.
func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode < 500
}

// freeAddress finds a loopback address that a child can listen on, more than
// once.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
