package demo

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPTY makes a pseudo-terminal in raw mode and returns its near end and
// the path of its far end, which behaves like a serial port. Nothing holds
// the far end open, so that an agent finds a device that was just plugged in.
// What nobody reads waits in the kernel, 4 KB of it.
func openPTY() (near *os.File, far string, err error) {
	near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, "", fmt.Errorf("make pseudo-terminal: %w", err)
	}
	conn, err := near.SyscallConn()
	if err == nil {
		var inner error
		err = conn.Control(func(fd uintptr) { far, inner = unlockRaw(int(fd)) })
		if err == nil {
			err = inner
		}
	}
	if err != nil {
		near.Close()
		return nil, "", fmt.Errorf("make pseudo-terminal: %w", err)
	}
	return near, far, nil
}

func unlockRaw(fd int) (far string, err error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return "", err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return "", err
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	// Echo and line editing would send the readings back and change them.
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	return fmt.Sprintf("/dev/pts/%d", n), unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
