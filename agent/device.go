package agent

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// settingDevice is where the spool keeps the device's name.
const settingDevice = "device/name"

// findDevice says whose samples these are. A name that is not configured is
// chosen at the first start and kept, so that a changed network card does not
// make another device of the same board.
func findDevice(c DeviceConfig, s *spool.Spool, root string) (sampler.Device, error) {
	d := sampler.Device{Name: c.Name, Type: c.Type}
	if d.Type == "" {
		d.Type = deviceType(root)
	}
	if d.Name != "" {
		return d, nil
	}
	if kept, ok := s.Setting(settingDevice); ok {
		d.Name = string(kept)
		return d, nil
	}
	if d.Name = firstAddress(root); d.Name == "" {
		d.Name = madeUpAddress()
	}
	if err := s.SetSetting(settingDevice, []byte(d.Name)); err != nil {
		return d, fmt.Errorf("keep device name: %w", err)
	}
	return d, nil
}

// firstAddress is the MAC address of the physical interface that the kernel
// found first. Bridges, tunnels and containers' interfaces have no device.
func firstAddress(root string) string {
	type candidate struct {
		index   int
		address string
	}
	var found []candidate
	devices, _ := filepath.Glob(filepath.Join(root, "sys/class/net/*/device"))
	for _, d := range devices {
		dir := filepath.Dir(d)
		mac, err := net.ParseMAC(firstLine(filepath.Join(dir, "address")))
		index, bad := strconv.Atoi(firstLine(filepath.Join(dir, "ifindex")))
		if err != nil || bad != nil || len(mac) != 6 || bytes.Equal(mac, make([]byte, 6)) {
			continue
		}
		found = append(found, candidate{index, mac.String()})
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, func(a, b candidate) int { return a.index - b.index }).address
}

// madeUpAddress is a locally administered address (IEEE 802, second bit) for
// boards without a network card.
func madeUpAddress() string {
	mac := make(net.HardwareAddr, 6)
	_, _ = rand.Read(mac) // never fails, says its documentation
	mac[0] = mac[0]&^1 | 2
	return mac.String()
}

// deviceType names the board by what its device tree says.
func deviceType(root string) string {
	model, _, _ := strings.Cut(firstLine(filepath.Join(root, "proc/device-tree/model")), "\x00")
	if strings.HasPrefix(model, "Raspberry Pi") {
		return "RASPBERRY_PI"
	}
	return "GENERIC_LINUX"
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}
