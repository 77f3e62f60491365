package agent

import "github.com/edgespool/edgespool/sampler/serial"

// Ports lists the serial ports of this machine; it opens none of them. The
// list is never nil.
func Ports() ([]serial.PortInfo, error) {
	ports, err := serial.Ports("/")
	if ports == nil {
		ports = []serial.PortInfo{}
	}
	return ports, err
}
