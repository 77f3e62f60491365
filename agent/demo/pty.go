package demo

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPTY makes a pseudo-terminal in raw mode. Its far end behaves like a
// serial port, under its Name. What nobody reads waits in the kernel, 4 KB of
// it.
func openPTY() (near, far *os.File, err error) {
	near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make pseudo-terminal: %w", err)
	}
	var path string
	err = control(near, func(fd int) (err error) {
		path, err = unlockRaw(fd)
		return err
	})
	if err == nil {
		far, err = os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		near.Close()
		return nil, nil, fmt.Errorf("make pseudo-terminal: %w", err)
	}
	return near, far, nil
}

// release lifts the exclusive use that a killed reader claimed. A serial port
// forgets it when it is closed; a pseudo-terminal does not before its near end
// is, and then keeps everybody but root out.
func release(far *os.File) error {
	if err := control(far, func(fd int) error { return unix.IoctlSetInt(fd, unix.TIOCNXCL, 0) }); err != nil {
		return fmt.Errorf("release pseudo-terminal: %w", err)
	}
	return nil
}

// control calls do with the descriptor of an open file.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
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
