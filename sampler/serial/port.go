package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// A port is an open serial port: go.bug.st/serial behind the rules that it
// needs in a process with other open files. Used naively it panics from file
// descriptor 1024 on, writes into whatever file has got the number of a
// closed port, and closes ports that are being read.
//
// A second descriptor of the same device, the companion, holds the lock and
// does what the library cannot: bounded writes, flow control, counters.
type port struct {
	path      string
	raw       bugst.Port
	companion int
	settings  []string // what could not be set as asked, for the log

	closed  atomic.Bool
	reading sync.Mutex // held by the one reader; Close waits for it to leave
	writing sync.Mutex
}

var (
	// errGone: the device went away while it was open.
	errGone    = errors.New("port is gone")
	errNotYet  = errors.New("port is being opened")
	errBusy    = errors.New("port is in use by another program")
	errClosed  = errors.New("port is closed")
	errNoTTY   = errors.New("is no serial port")
	errReaders = errors.New("port has a reader already")
	errFull    = errors.New("the process has too many open files for a serial port (the library's select ends at 1024); set LimitNOFILE=1024 or open fewer")
)

const (
	readTimeout  = 200 * time.Millisecond // how soon a reader sees that it is to stop
	writeTimeout = time.Second
	maxFD        = 1000 // select(2) ends at 1024; the library opens a few more
)

// openPort opens, locks and sets up the device at path.
func openPort(path string, c *Config) (p *port, err error) {
	companion, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(companion)
		}
	}()
	if _, err := unix.IoctlGetTermios(companion, unix.TCGETS); err != nil {
		return nil, fmt.Errorf("open port: %s %w", path, errNoTTY)
	}
	if companion >= maxFD {
		return nil, fmt.Errorf("open port %s: %w", path, errFull)
	}
	// The library's own lock (TIOCEXCL) does not keep root out, and closing
	// any descriptor drops it.
	if err := unix.Flock(companion, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("open port %s: %w; stop that program (\"fuser %s\" finds it)", path, errBusy, path)
	}
	raw, err := openForUs(path, c.mode())
	if err != nil {
		return nil, openError(path, err)
	}
	p = &port{path: path, raw: raw, companion: companion}
	if err := p.setUp(c); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("open port %s: %w", path, err)
	}
	return p, nil
}

// setUp does what the library's Open leaves to do.
func (p *port) setUp(c *Config) error {
	probe, err := unix.FcntlInt(uintptr(p.companion), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_ = unix.Close(probe)
	if probe >= maxFD {
		return errFull
	}
	if err := p.raw.SetReadTimeout(c.readTimeout()); err != nil {
		return err
	}
	p.setLines(c)
	return nil
}

// readTimeout is how long a Read may wait.
func (c *Config) readTimeout() time.Duration {
	if c.polled() {
		return min(readTimeout, c.Modbus.Timeout)
	}
	return readTimeout
}

func (c *Config) mode() *bugst.Mode {
	m := &bugst.Mode{BaudRate: c.Baud, DataBits: c.DataBits}
	switch c.Parity {
	case "odd":
		m.Parity = bugst.OddParity
	case "even":
		m.Parity = bugst.EvenParity
	case "mark":
		m.Parity = bugst.MarkParity
	case "space":
		m.Parity = bugst.SpaceParity
	}
	if c.StopBits == 2 {
		m.StopBits = bugst.TwoStopBits
	}
	return m
}

// openError puts why a port could not be opened into an operator's words.
func openError(path string, err error) error {
	var library *bugst.PortError
	busy := errors.Is(err, unix.EBUSY)
	denied := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
	if errors.As(err, &library) {
		busy = busy || library.Code() == bugst.PortBusy
		denied = denied || library.Code() == bugst.PermissionDenied
	}
	switch {
	case busy:
		return fmt.Errorf("open port %s: %w; stop that program (\"fuser %s\" finds it)", path, errBusy, path)
	case denied:
		return fmt.Errorf("open port %s: %w; add the agent's user to the group that owns it (often dialout)", path, fs.ErrPermission)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %s; plug the device in, or look with \"edgespool ports\"", errAbsent, path)
	case errors.Is(err, unix.EISDIR):
		return fmt.Errorf("open port: %s %w", path, errNoTTY)
	}
	return fmt.Errorf("open port %s: %w", path, err)
}

// Read waits a short time for bytes; none is no error. There is one reader.
func (p *port) Read(b []byte) (n int, err error) {
	if !p.reading.TryLock() {
		if p.closed.Load() {
			return 0, errClosed
		}
		return 0, errReaders // two readers can hang in the library for good
	}
	defer p.reading.Unlock()
	if p.closed.Load() {
		return 0, errClosed
	}
	defer func() {
		if caught := recover(); caught != nil {
			n, err = 0, fmt.Errorf("read port %s: library panics: %v", p.path, caught)
		}
	}()
	if n, err = p.raw.Read(b); err != nil {
		// Whatever it is (EIO, or "closed" although we did not), the way on
		// is to open the device anew.
		return n, fmt.Errorf("%w: %s: %w", errGone, p.path, err)
	}
	return n, nil
}

// Write sends all of b or fails after a short time: a device that takes
// nothing must not hold anybody up.
func (p *port) Write(b []byte) (n int, err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	for deadline := time.Now().Add(writeTimeout); ; {
		if p.closed.Load() {
			return n, errClosed
		}
		k, err := unix.Write(p.companion, b[n:])
		n += max(k, 0)
		left := time.Until(deadline)
		switch {
		case n == len(b):
			return n, nil
		case err == nil, errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EAGAIN):
			return n, fmt.Errorf("%w: %s: %w", errGone, p.path, err)
		}
		if left <= 0 {
			return n, fmt.Errorf("write port %s: %w", p.path, os.ErrDeadlineExceeded)
		}
		ready := []unix.PollFd{{Fd: int32(p.companion), Events: unix.POLLOUT}}
		_, _ = unix.Poll(ready, int(min(left, readTimeout)/time.Millisecond)+1)
	}
}

// Flush forgets what came and was not read. Only the reader may call it.
func (p *port) Flush() {
	_ = unix.IoctlSetInt(p.companion, unix.TCFLSH, unix.TCIFLUSH) // a wish
}

// Close waits until the reader has left, then closes. The library closes
// first, and then the reader reads whichever file got the number.
func (p *port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.reading.Lock()
	defer p.reading.Unlock()
	p.writing.Lock()
	defer p.writing.Unlock()
	err := p.raw.Close()
	return errors.Join(err, unix.Close(p.companion))
}

// Check tells whether path still leads to the device that is open: after a
// quick replug it may be another one that never says anything.
func (p *port) Check() error {
	var open, there unix.Stat_t
	if err := unix.Fstat(p.companion, &open); err != nil {
		return fmt.Errorf("check port %s: %w", p.path, err)
	}
	if err := unix.Stat(p.path, &there); err != nil {
		return fmt.Errorf("%w: %s: %w", errGone, p.path, err)
	}
	if open.Rdev != there.Rdev || open.Ino != there.Ino || open.Dev != there.Dev {
		return fmt.Errorf("%w: %s is another device now", errGone, p.path)
	}
	return nil
}
