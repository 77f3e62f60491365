package agent

import (
	"slices"

	boards "github.com/edgespool/edgespool/board-configs"
	"github.com/edgespool/edgespool/sampler/serial"
)

// Ports lists the serial ports of the machine below root, "/" for this one,
// with what they are on its board; it opens none of them. The list is never
// nil.
func Ports(root string) ([]serial.PortInfo, error) {
	ports, err := serial.Ports(root)
	if ports == nil {
		ports = []serial.PortInfo{}
	}
	r := findBoard(root)
	for i := range ports {
		p := &ports[i]
		p.Console = slices.Contains(r.consoles, p.Path)
		if place := boards.PlaceOf(r.Ports, p.Path); place != nil {
			p.Label, p.Console = place.Label, place.Console
		}
	}
	return ports, err
}
