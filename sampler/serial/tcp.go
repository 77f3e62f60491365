package serial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// A wire is a connection to a serial server (ser2net, Moxa NPort) that hands
// on the bytes of a port as they are.
type wire struct {
	net.Conn
	wait time.Duration // of a Read
}

const dialTimeout = 10 * time.Second

func dial(ctx context.Context, address string, wait time.Duration) (*wire, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open port tcp://%s: %w", address, err)
	}
	return &wire{c, wait}, nil
}

// Read is like port.Read.
func (w *wire) Read(b []byte) (n int, err error) {
	if err := w.SetReadDeadline(time.Now().Add(w.wait)); err != nil {
		return 0, fmt.Errorf("%w: %w", errGone, err)
	}
	n, err = w.Conn.Read(b)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, nil
	}
	return n, fmt.Errorf("%w: tcp://%s: %w", errGone, w.RemoteAddr(), err)
}

// Write is like port.Write.
func (w *wire) Write(b []byte) (n int, err error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

// Flush forgets what has come.
func (w *wire) Flush() {
	var b [256]byte
	for {
		_ = w.SetReadDeadline(time.Now().Add(time.Millisecond)) // then nothing is read
		if _, err := w.Conn.Read(b[:]); err != nil {
			return // the next Read says why
		}
	}
}

// Check has nothing to compare: keep-alives notice a server that is gone.
func (w *wire) Check() error { return nil }
