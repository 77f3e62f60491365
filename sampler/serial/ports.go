package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A PortInfo describes a serial port as the kernel knows it.
type PortInfo struct {
	Path         string   `json:"path"`              // such as /dev/ttyUSB0; changes with the order of plugging in
	ByID         []string `json:"by_id,omitempty"`   // names that follow the device
	ByPath       []string `json:"by_path,omitempty"` // names that follow the socket
	Driver       string   `json:"driver,omitempty"`
	VendorID     string   `json:"vendor_id,omitempty"` // the rest is of USB devices only
	ProductID    string   `json:"product_id,omitempty"`
	Vendor       string   `json:"vendor,omitempty"`
	Product      string   `json:"product,omitempty"`
	SerialNumber string   `json:"serial_number,omitempty"`
	Interface    string   `json:"interface,omitempty"` // number of the USB interface
	Label        string   `json:"label,omitempty"`     // what the board calls the port; set by who knows boards, as is the next
	Console      bool     `json:"console,omitempty"`   // the kernel writes to it
}

// Stable is the name to write into a configuration: it stays the same when
// devices are plugged in another order, if the port has such a name.
func (p PortInfo) Stable() string {
	switch {
	case len(p.ByID) > 0:
		return p.ByID[0]
	case len(p.ByPath) > 0:
		return p.ByPath[0]
	}
	return p.Path
}

// USB is VENDOR:PRODUCT, empty for other ports.
func (p PortInfo) USB() string {
	if p.VendorID == "" {
		return ""
	}
	return p.VendorID + ":" + p.ProductID
}

// Describe says in a few words what is behind the port.
func (p PortInfo) Describe() string {
	if text := strings.TrimSpace(p.Vendor + " " + p.Product); text != "" {
		return text
	}
	return p.Driver
}

// Ports lists the serial ports below root, which is "/" but in tests. It reads
// /sys/class/tty and /dev/serial and never opens a port: opening one resets
// many boards, and go.bug.st/serial's own list reprograms ports that others
// hold. A machine without sysfs has no ports.
func Ports(root string) ([]PortInfo, error) {
	class := filepath.Join(root, "sys/class/tty")
	found, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	byID := links(filepath.Join(root, "dev/serial/by-id"), "/dev/serial/by-id/")
	byPath := links(filepath.Join(root, "dev/serial/by-path"), "/dev/serial/by-path/")
	var ports []PortInfo
	for _, f := range found {
		// A pseudo-terminal or console has no device behind it. What vanishes
		// while we look is not there.
		tty := filepath.Join(class, f.Name())
		device, err := filepath.EvalSymlinks(filepath.Join(tty, "device"))
		if err != nil || attribute(tty, "type") == "0" {
			continue // type 0 is a UART that the 8250 driver only supposes
		}
		p := PortInfo{Path: "/dev/" + f.Name(), ByID: byID[f.Name()], ByPath: byPath[f.Name()]}
		if driver, err := os.Readlink(filepath.Join(device, "driver")); err == nil {
			p.Driver = filepath.Base(driver)
		}
		p.fromUSB(device, root)
		ports = append(ports, p)
	}
	return ports, nil
}

// fromUSB looks for the USB device that the port is a part of.
func (p *PortInfo) fromUSB(dir, root string) {
	for ; len(dir) > len(root) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if n := attribute(dir, "bInterfaceNumber"); n != "" {
			p.Interface = n
		}
		if p.VendorID = attribute(dir, "idVendor"); p.VendorID == "" {
			continue
		}
		p.ProductID = attribute(dir, "idProduct")
		p.Vendor = attribute(dir, "manufacturer")
		p.Product = attribute(dir, "product")
		p.SerialNumber = attribute(dir, "serial")
		return
	}
}

// attribute reads a file of sysfs; empty if there is none.
func attribute(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// links finds the names in a folder of links by the ports they lead to.
func links(dir, prefix string) map[string][]string {
	names := map[string][]string{}
	found, _ := os.ReadDir(dir) // no folder, no names
	for _, f := range found {
		if to, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil {
			port := filepath.Base(to)
			names[port] = append(names[port], prefix+f.Name())
		}
	}
	return names
}

// errAbsent: the port is not there at the moment.
var errAbsent = errors.New("port is not there")

// locate finds the device behind the name of a port in the configuration.
func locate(port, root string) (path string, err error) {
	m := usbPort.FindStringSubmatch(port)
	if m == nil {
		if _, err := os.Stat(port); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w: %s; plug the device in, or look with \"edgespool ports\"", errAbsent, port)
		}
		return port, nil
	}
	ports, err := Ports(root)
	if err != nil {
		return "", err
	}
	fits := slices.DeleteFunc(ports, func(p PortInfo) bool {
		return !strings.EqualFold(p.VendorID, m[1]) || !strings.EqualFold(p.ProductID, m[2]) || m[3] != "" && p.SerialNumber != m[3]
	})
	switch len(fits) {
	case 0:
		return "", fmt.Errorf("%w: %s; plug the device in, or look with \"edgespool ports\"", errAbsent, port)
	case 1:
		return fits[0].Path, nil
	}
	return "", fmt.Errorf("find port %s: %s and %s both fit; add the serial number, or use a name from /dev/serial/by-path",
		port, fits[0].Path, fits[1].Path)
}
