package serial

import (
	"os"
	"strconv"
	"syscall"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// openForUs opens the port through the library so that no program started by
// this process inherits it: the library opens the device and a pipe without
// O_CLOEXEC, and a child that lives on would keep the port open behind our
// back. No child is begun between the opening and the marking.
func openForUs(path string, mode *bugst.Mode) (bugst.Port, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	raw, err := bugst.Open(path, mode)
	if err != nil {
		return nil, err
	}
	closeOnExec()
	return raw, nil
}

// closeOnExec marks every open file from number 3 on. The library does not
// tell the numbers of its own, but everything else in a Go process is marked
// anyway, so that even a number which changes hands meanwhile is in no danger.
// Without /proc nothing is marked.
func closeOnExec() {
	open, _ := os.ReadDir("/proc/self/fd")
	for _, f := range open {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC) // a closed one needs no mark
		}
	}
}
