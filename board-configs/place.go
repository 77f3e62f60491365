package boards

import (
	"os"
	"path/filepath"
	"strings"
)

// A Place is where a port of the board is on this machine.
type Place struct {
	Port *Port
	Path string // the name that is there, to be written into a configuration; empty if none is
	// Device is what the name leads to, such as /dev/ttyS0; empty as Path is.
	Device string
}

// Places finds the board's ports below root. A device that one port has is
// no other's: what serial0 leads to decides which UART a header has.
func (b *Board) Places(root string) []Place {
	places := make([]Place, len(b.Serial))
	taken := map[string]bool{}
	for i := range b.Serial {
		places[i].Port = &b.Serial[i]
		for _, name := range b.Serial[i].Paths {
			if device := DeviceOf(root, name); device != "" && !taken[device] {
				places[i].Path, places[i].Device, taken[device] = name, device, true
				break
			}
		}
	}
	return places
}

// DeviceOf follows the name of a port, /dev/serial0 or /dev/ttyS0, to its
// device below root; empty if there is none, or only a UART that the 8250
// driver supposes.
func DeviceOf(root, name string) string {
	at := filepath.Join(root, name)
	if to, err := os.Readlink(at); err == nil {
		name = "/dev/" + filepath.Base(to)
		at = filepath.Join(root, name)
	}
	if _, err := os.Lstat(at); err != nil || text(root, "sys/class/tty/"+filepath.Base(name)+"/type") == "0" {
		return ""
	}
	return name
}

// Consoles lists the devices that the kernel uses as its console at the
// moment, such as /dev/ttyS0; known is false if it does not say.
func Consoles(root string) (devices []string, known bool) {
	active, err := os.ReadFile(filepath.Join(root, "sys/class/tty/console/active"))
	for name := range strings.FieldsSeq(string(active)) {
		devices = append(devices, "/dev/"+name)
	}
	return devices, err == nil
}
