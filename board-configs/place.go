package boards

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Place is where a port of the board is on this machine.
type Place struct {
	Port
	Path string `json:"path,omitempty"` // the name that is there, to be written into a configuration; empty if none is
	// Device is what the name leads to, such as /dev/ttyS0; empty as Path is.
	Device  string `json:"device,omitempty"`
	Console bool   `json:"console,omitempty"` // the kernel uses it as a console now
}

// Places finds the board's ports below root. A device that one port has is
// no other's: what serial0 leads to decides which UART a header has. Consoles
// are the devices that the kernel uses as its console; where it does not say,
// and the list is empty, the board's file does.
func (b *Board) Places(root string) (places []Place, consoles []string) {
	consoles = strings.Fields(text(root, "sys/class/tty/console/active"))
	for i, name := range consoles {
		consoles[i] = "/dev/" + name
	}
	places = make([]Place, 0, len(b.Serial))
	for _, port := range b.Serial {
		p := Place{Port: port}
		for _, name := range port.Paths {
			device := DeviceOf(root, name)
			if device == "" || PlaceOf(places, device) != nil {
				continue
			}
			p.Path, p.Device = name, device
			p.Console = slices.Contains(consoles, device) || port.Console && len(consoles) == 0
			break
		}
		places = append(places, p)
	}
	return places, consoles
}

// PlaceOf is the port that a device is, nil if it is none of them.
func PlaceOf(places []Place, device string) *Place {
	for i := range places {
		if places[i].Device == device {
			return &places[i]
		}
	}
	return nil
}

// DeviceOf follows the name of a port, /dev/serial0 or /dev/ttyS0, to its
// device below root; empty if there is none, or only a UART that the 8250
// driver supposes.
func DeviceOf(root, name string) string {
	if to, err := os.Readlink(filepath.Join(root, name)); err == nil {
		name = "/dev/" + filepath.Base(to)
	}
	if _, err := os.Lstat(filepath.Join(root, name)); err != nil || text(root, "sys/class/tty/"+filepath.Base(name)+"/type") == "0" {
		return ""
	}
	return name
}
