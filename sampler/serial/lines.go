package serial

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setLines sets the lines and speed on the companion, after the library has
// set its own. What the hardware does not have is noted and left alone.
func (p *port) setLines(c *Config) {
	t, err := unix.IoctlGetTermios(p.companion, unix.TCGETS2)
	if err != nil {
		p.note("speed and flow control cannot be checked: %v", err)
		return
	}
	if got := int(t.Ospeed); got*50 < c.Baud*49 || got*50 > c.Baud*51 {
		p.note("speed is %d baud, not %d: more than 2 %% off", got, c.Baud)
	}
	t.Cflag &^= unix.CRTSCTS
	if c.Flow == FlowRTSCTS {
		t.Cflag |= unix.CRTSCTS
	}
	if c.DTR == DTRKeep {
		t.Cflag &^= unix.HUPCL
	}
	if err := unix.IoctlSetTermios(p.companion, unix.TCSETS2, t); err != nil {
		p.note("flow control cannot be set: %v", err)
	}
	var request uint
	switch c.DTR {
	case DTROn:
		request = unix.TIOCMBIS
	case DTROff:
		request = unix.TIOCMBIC
	default:
		return
	}
	// Both lines at once: boards with an automatic reset tell the difference
	// between the two.
	bits := int32(unix.TIOCM_DTR | unix.TIOCM_RTS)
	if err := ioctl(p.companion, request, unsafe.Pointer(&bits)); err != nil && c.DTR == DTROff {
		p.note("DTR and RTS cannot be switched off: %v", err)
	}
}

func (p *port) note(format string, args ...any) {
	p.settings = append(p.settings, fmt.Sprintf(format, args...))
}

// counters are struct serial_icounter_struct of linux/serial.h.
type counters struct {
	_                                    [6]int32 // cts, dsr, rng, dcd, rx, tx
	Frame, Overrun, Parity, _, BufferRun int32
	_                                    [9]int32
}

// Counters reads how often the hardware lost or broke bytes since boot; ok is
// false where it does not count (USB adapters often, pseudo-terminals never).
func (p *port) Counters() (c counters, ok bool) {
	return c, ioctl(p.companion, unix.TIOCGICOUNT, unsafe.Pointer(&c)) == nil
}

func ioctl(fd int, request uint, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
