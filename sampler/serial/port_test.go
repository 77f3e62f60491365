package serial

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler/samplertest"
)

// The numbers S1 to S15 are those of the hazards in the field notes.

func open(t *testing.T, path string, change ...func(c *Config)) *port {
	t.Helper()
	c := DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	p, err := openPort(path, &c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// readUntil reads until want has come.
func readUntil(t *testing.T, p *port, want string) {
	t.Helper()
	var got strings.Builder
	buffer := make([]byte, readSize)
	for got.Len() < len(want) {
		n, err := p.Read(buffer)
		if err != nil {
			t.Fatalf("after %q: %v", got.String(), err)
		}
		got.Write(buffer[:n])
	}
	if got.String() != want {
		t.Fatalf("got %q, want %q", got.String(), want)
	}
}

// fillDescriptors opens files until the next descriptor is n.
func fillDescriptors(t *testing.T, n int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 1100 {
		t.Skipf("the limit of open files is %d, %v: run with ulimit -n 2048", limit.Cur, err)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if int(f.Fd()) >= n-1 {
			return
		}
	}
}

// TestS1HighDescriptors: the library's select panics from descriptor 1024 on.
func TestS1HighDescriptors(t *testing.T) {
	d := samplertest.NewDevice(t)
	fillDescriptors(t, 990)
	p := open(t, d.Port)
	d.Say("x")
	readUntil(t, p, "x")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	c := DefaultConfig()
	for _, n := range []int{998, 1030} {
		fillDescriptors(t, n)
		if _, err := openPort(d.Port, &c); !errors.Is(err, errFull) {
			t.Fatalf("with %d files open: got %v, want it refused", n, err)
		}
	}
	// A refusal leaves nothing locked behind, as another program sees it.
	if err := unix.Flock(int(d.Far().Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("the port is still locked: %v", err)
	}
}

// panicking is a library that panics, in case a descriptor slips through.
type panicking struct{ bugst.Port }

func (panicking) Read([]byte) (int, error) { panic("index out of range [16] with length 16") }
func (panicking) Close() error             { return nil }

func TestS1APanicIsAnError(t *testing.T) {
	p := &port{raw: panicking{}, path: "x", companion: -1}
	if _, err := p.Read(nil); err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v, want the panic as an error", err)
	}
	if _, err := p.Read(nil); errors.Is(err, errReaders) {
		t.Error("the reader's place is taken for good")
	}
}

// TestS2WriteAfterClose: the library would write into the victim.
func TestS2WriteAfterClose(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("intact"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 8 { // the descriptors that the port had are among these
		f, err := os.OpenFile(victim, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if n, err := p.Write([]byte("CORRUPT")); n != 0 || !errors.Is(err, errClosed) {
		t.Errorf("write after close: got %d, %v", n, err)
	}
	if n, err := p.Read(make([]byte, 10)); n != 0 || !errors.Is(err, errClosed) {
		t.Errorf("read after close: got %d, %v", n, err)
	}
	if text, _ := os.ReadFile(victim); string(text) != "intact" {
		t.Errorf("another file was written: %q", text)
	}
	if err := p.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// watched is a library port that notices being closed while it is read.
type watched struct {
	bugst.Port
	reading, overlaps atomic.Int32
}

func (w *watched) Read(b []byte) (int, error) {
	w.reading.Add(1)
	defer w.reading.Add(-1)
	return w.Port.Read(b)
}

func (w *watched) Close() error {
	w.overlaps.Add(w.reading.Load())
	return w.Port.Close()
}

// TestS3CloseWhileReading: the library closes first, and the reader then
// reads from whatever file has got the descriptor.
func TestS3CloseWhileReading(t *testing.T) {
	d := samplertest.NewDevice(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		p := open(t, d.Port)
		if err := p.raw.SetReadTimeout(5 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		w := &watched{Port: p.raw}
		p.raw = w
		begun, done := make(chan struct{}), make(chan error)
		go func() {
			buffer := make([]byte, 64)
			for first := true; ; first = false {
				n, err := p.Read(buffer)
				if first {
					close(begun)
				}
				if n > 0 {
					err = errors.New("read from another file: " + string(buffer[:n]))
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
		<-begun
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		f, err := os.Open(victim)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, errClosed) {
			t.Errorf("the reader ends with %v, want errClosed", err)
		}
		f.Close()
		if n := w.overlaps.Load(); n != 0 {
			t.Fatal("closed while it was being read")
		}
	}
}

// idle is a library port on which nothing happens, then something.
type idle struct {
	bugst.Port
	quiet int
}

func (i *idle) Read(b []byte) (int, error) {
	if i.quiet--; i.quiet >= 0 {
		return 0, nil
	}
	return copy(b, "x"), nil
}

// TestS6IdlePortsStayOpen: a time-out is (0, nil), of which bufio takes 100.
func TestS6IdlePortsStayOpen(t *testing.T) {
	p := &port{raw: &idle{quiet: 1000}, companion: -1}
	readUntil(t, p, "x")
}

// TestS7OneReader: with two, closing can hang for good.
func TestS7OneReader(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port)
	p.reading.Lock() // as the first reader does
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, errReaders) {
		t.Errorf("a second reader: got %v, want errReaders", err)
	}
	p.reading.Unlock()
	d.Say("1")
	readUntil(t, p, "1")
}

// TestS9WritesEnd: the library's write blocks for as long as nobody reads.
func TestS9WritesEnd(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port)
	text := []byte(strings.Repeat("0123456789abcdef", 4096))
	n, err := p.Write(text)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n >= len(text) {
		t.Fatalf("nobody reads: wrote %d of %d, %v; want a part and a time-out", n, len(text), err)
	}
	var got sync.WaitGroup
	got.Go(func() {
		buffer := make([]byte, readSize)
		for left := n + len(text); left > 0; {
			k, err := d.Near().Read(buffer)
			if err != nil {
				t.Errorf("%d bytes before the end: %v", left, err)
				return
			}
			left -= k
		}
	})
	if k, err := p.Write(text); err != nil || k != len(text) {
		t.Errorf("somebody reads: wrote %d of %d, %v", k, len(text), err)
	}
	got.Wait()
}

// TestS10Unplugging: the library calls it closed, as if we had closed it.
func TestS10Unplugging(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port)
	d.Unplug()
	var err error
	for err == nil {
		_, err = p.Read(make([]byte, 10))
	}
	if !errors.Is(err, errGone) {
		t.Errorf("read: got %v, want errGone", err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, errGone) {
		t.Errorf("write: got %v, want errGone", err)
	}
	if err := p.Check(); !errors.Is(err, errGone) {
		t.Errorf("check: got %v, want errGone", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestS11Speeds(t *testing.T) {
	d := samplertest.NewDevice(t)
	for _, baud := range []int{9600, 74880, 115200, 250000, 921600, 12_000_000} {
		p := open(t, d.Port, func(c *Config) { c.Baud = baud })
		s, err := unix.IoctlGetTermios(p.companion, unix.TCGETS2)
		if err != nil || int(s.Ospeed) != baud || len(p.settings) != 0 {
			t.Errorf("%d baud: the port says %d, %v; notes %q", baud, s.Ospeed, err, p.settings)
		}
		c := DefaultConfig()
		c.Baud = baud * 103 / 100
		if p.setLines(&c); len(p.settings) != 1 || !strings.Contains(p.settings[0], "2 % off") {
			t.Errorf("3 %% off: notes %q", p.settings)
		}
		p.Close()
	}
}

// TestS12Lock: TIOCEXCL keeps neither root nor ourselves out.
func TestS12Lock(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port)
	c := DefaultConfig()
	for range 3 { // a refused attempt must not undo the lock
		if _, err := openPort(d.Port, &c); !errors.Is(err, errBusy) || !strings.Contains(err.Error(), d.Port) {
			t.Fatalf("open twice: got %v, want errBusy", err)
		}
	}
	p.Close()
	open(t, d.Port)
}

// TestS13Features: what the library lacks, where the hardware has it.
func TestS13Features(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port, func(c *Config) { c.Flow = FlowRTSCTS })
	s, err := unix.IoctlGetTermios(int(d.Far().Fd()), unix.TCGETS2)
	if err != nil || s.Cflag&unix.CRTSCTS == 0 {
		t.Errorf("flow control is not on: %+v, %v", s, err)
	}
	if _, ok := p.Counters(); ok {
		t.Error("a pseudo-terminal seems to count errors")
	}
	p.Close()
	open(t, d.Port)
	if s, err = unix.IoctlGetTermios(int(d.Far().Fd()), unix.TCGETS2); err != nil || s.Cflag&unix.CRTSCTS != 0 {
		t.Errorf("flow control stays on: %+v, %v", s, err)
	}
}

// TestS14DTR: pseudo-terminals have no such line, which must not matter
// unless somebody asks for it to be off.
func TestS14DTR(t *testing.T) {
	d := samplertest.NewDevice(t)
	for _, tt := range []struct {
		dtr    string
		notes  int
		hangUp bool
	}{{DTROn, 0, true}, {DTROff, 1, true}, {DTRKeep, 0, false}} {
		s, err := unix.IoctlGetTermios(int(d.Far().Fd()), unix.TCGETS2)
		if err != nil {
			t.Fatal(err)
		}
		s.Cflag |= unix.HUPCL
		if err := unix.IoctlSetTermios(int(d.Far().Fd()), unix.TCSETS2, s); err != nil {
			t.Fatal(err)
		}
		p := open(t, d.Port, func(c *Config) { c.DTR = tt.dtr })
		if len(p.settings) != tt.notes {
			t.Errorf("dtr %s: notes %q, want %d", tt.dtr, p.settings, tt.notes)
		}
		s, err = unix.IoctlGetTermios(p.companion, unix.TCGETS2)
		if err != nil || s.Cflag&unix.HUPCL != 0 != tt.hangUp {
			t.Errorf("dtr %s: lines drop on closing %v, want %v", tt.dtr, s.Cflag&unix.HUPCL != 0, tt.hangUp)
		}
		p.Close()
	}
}

func TestCheckNoticesAnotherDevice(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port)
	if err := p.Check(); err != nil {
		t.Errorf("the same device: %v", err)
	}
	d.Swap()
	if err := p.Check(); !errors.Is(err, errGone) {
		t.Errorf("another device of the same name: got %v, want errGone", err)
	}
}

func TestOpenErrors(t *testing.T) {
	c := DefaultConfig()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{filepath.Join(folder, "no"): errAbsent, file: errNoTTY, folder: errNoTTY, os.DevNull: errNoTTY} {
		if _, err := openPort(path, &c); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	for err, want := range map[error]error{unix.EACCES: fs.ErrPermission, unix.EBUSY: errBusy, unix.ENXIO: errAbsent, unix.EIO: unix.EIO} {
		if got := openError("/dev/ttyX", err); !errors.Is(got, want) {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

func TestMode(t *testing.T) {
	d := samplertest.NewDevice(t)
	p := open(t, d.Port, func(c *Config) { c.DataBits, c.Parity, c.StopBits = 7, "even", 2 })
	s, err := unix.IoctlGetTermios(p.companion, unix.TCGETS2)
	if err != nil {
		t.Fatal(err)
	}
	// A pseudo-terminal keeps CSTOPB and PARENB, and sets CS8 by itself.
	if s.Cflag&unix.CSTOPB == 0 || p.raw == nil {
		t.Errorf("7E2: the port has %#x", s.Cflag)
	}
	for parity, want := range map[string]bugst.Parity{"none": bugst.NoParity, "odd": bugst.OddParity, "even": bugst.EvenParity, "mark": bugst.MarkParity, "space": bugst.SpaceParity} {
		c := DefaultConfig()
		c.Parity = parity
		if got := c.mode(); got.Parity != want || got.StopBits != bugst.OneStopBit || got.DataBits != 8 || got.BaudRate != 115200 {
			t.Errorf("%s: got %+v", parity, got)
		}
	}
}

// TestPortsAreNotInherited checks that a program started while a port is open
// gets neither the device nor any of the library's other files.
func TestPortsAreNotInherited(t *testing.T) {
	d := samplertest.NewDevice(t)
	open(t, d.Port)
	out, err := exec.Command("ls", "-l", "/proc/self/fd/").Output()
	if err != nil {
		t.Skipf("ls /proc/self/fd: %v; it takes coreutils and /proc", err)
	}
	for line := range strings.Lines(string(out)) {
		from, to, isLink := strings.Cut(strings.TrimSpace(line), " -> ")
		number, err := strconv.Atoi(from[strings.LastIndexByte(from, ' ')+1:])
		if isLink && (err != nil || number > 2 && !strings.HasPrefix(to, "/proc/")) {
			t.Errorf("the child inherits %d, which is %s", number, to)
		}
	}
}
