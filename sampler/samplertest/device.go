// Package samplertest is for tests of sources: a device on a pseudo-terminal
// that can be unplugged, a sink that remembers and can refuse, and the suite
// that every source passes.
package samplertest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// A Device is something that speaks on a serial port, made of a pty. Its port
// is a link, so that the name stays when the device is plugged in again.
type Device struct {
	// Port is what a source opens.
	Port string
	t    testing.TB
	near *os.File // the device's end; nil while it is unplugged
	far  *os.File // keeps the port's settings, as a real one does
}

// NewDevice plugs a device in. It goes away with the test.
func NewDevice(t testing.TB) *Device {
	t.Helper()
	d := &Device{t: t, Port: filepath.Join(t.TempDir(), "usb-Test_Board-if00")}
	d.Plug()
	t.Cleanup(d.Unplug)
	return d
}

// Plug makes the port appear, as a new device under the same name.
func (d *Device) Plug() {
	d.t.Helper()
	near, far, err := pty.Open()
	if err == nil {
		_, err = term.MakeRaw(int(far.Fd()))
	}
	if err == nil {
		err = os.Symlink(far.Name(), d.Port+".new")
	}
	if err == nil {
		err = os.Rename(d.Port+".new", d.Port) // over the old one, if there is one
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.near, d.far = near, far
}

// Unplug makes the port disappear, while it is open or not.
func (d *Device) Unplug() {
	if d.near == nil {
		return
	}
	_ = os.Remove(d.Port)
	_ = d.near.Close()
	_ = d.far.Close()
	d.near, d.far = nil, nil
}

// Swap plugs another device in under the same name, while the one before
// stays open and silent.
func (d *Device) Swap() {
	near, far := d.near, d.far
	d.t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	d.Plug()
}

// Say sends text out of the device.
func (d *Device) Say(text string) {
	d.t.Helper()
	if _, err := d.near.WriteString(text); err != nil {
		d.t.Errorf("device cannot speak: %v", err)
	}
}

// Near is the device's own end of the wire.
func (d *Device) Near() *os.File { return d.near }

// Far is the port's end, as another program would have it open.
func (d *Device) Far() *os.File { return d.far }
