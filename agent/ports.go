package agent

import "github.com/edgespool/edgespool/sampler/serial"

// A Port is a serial port of this machine, and what it is on the board.
type Port struct {
	serial.PortInfo
	Label   string `json:"label,omitempty"` // as the board's case or manual has it
	Console bool   `json:"console,omitempty"`
}

// Ports lists the serial ports of the machine below root, "/" for this one;
// it opens none of them. The list is never nil.
func Ports(root string) ([]Port, error) {
	found, err := serial.Ports(root)
	if err != nil {
		return []Port{}, err
	}
	m, err := findBoard(root)
	if err != nil {
		return []Port{}, err
	}
	ports := make([]Port, len(found))
	for i, p := range found {
		ports[i].PortInfo = p
		place := m.place(p.Path)
		if place != nil {
			ports[i].Label = place.Port.Label
		}
		ports[i].Console = m.isConsole(p.Path, place)
	}
	return ports, nil
}
