package agent

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// board lays out a file system of a board from paths and their text; a path
// that ends in a slash is a folder.
func board(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		dir := filepath.Dir(full)
		if path[len(path)-1] == '/' {
			dir = full
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == full {
			continue
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFirstAddressIsOfAPhysicalInterface(t *testing.T) {
	root := board(t, map[string]string{
		"sys/class/net/lo/address": "00:00:00:00:00:00\n", "sys/class/net/lo/ifindex": "1\n",
		"sys/class/net/docker0/address": "02:42:ac:11:00:02\n", "sys/class/net/docker0/ifindex": "2\n",
		"sys/class/net/can0/device/": "", "sys/class/net/can0/address": "\n", "sys/class/net/can0/ifindex": "3\n",
		"sys/class/net/wlan0/device/": "", "sys/class/net/wlan0/address": "B8:27:EB:00:00:02\n", "sys/class/net/wlan0/ifindex": "11\n",
		"sys/class/net/eth0/device/": "", "sys/class/net/eth0/address": "b8:27:eb:00:00:01\n", "sys/class/net/eth0/ifindex": "4\n",
	})
	if got, want := firstAddress(root), "b8:27:eb:00:00:01"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := firstAddress(t.TempDir()); got != "" {
		t.Errorf("board without a network: got %q", got)
	}
}

func TestMadeUpAddress(t *testing.T) {
	a, b := madeUpAddress(), madeUpAddress()
	mac, err := net.ParseMAC(a)
	if err != nil || mac[0]&3 != 2 || a == b {
		t.Errorf("got %q and %q, %v; want two locally administered unicast addresses", a, b, err)
	}
}

func TestDeviceType(t *testing.T) {
	for model, want := range map[string]string{
		"Raspberry Pi 4 Model B Rev 1.4\x00": "RASPBERRY_PI", "Raspberry Pi Zero W Rev 1.1\x00": "RASPBERRY_PI",
		"NVIDIA Jetson Nano\x00": "GENERIC_LINUX", "": "GENERIC_LINUX",
	} {
		if got := deviceType(board(t, map[string]string{"proc/device-tree/model": model})); got != want {
			t.Errorf("%q: got %s, want %s", model, got, want)
		}
	}
}

func TestMemoryIsFoundOut(t *testing.T) {
	for _, c := range []struct {
		name          string
		files         map[string]string
		cgroup, board int64
	}{
		{"nothing known", nil, 0, 0},
		{"a Pi Zero", map[string]string{"proc/meminfo": "MemTotal:         443080 kB\nMemFree: 1 kB\n"}, 0, 443080 << 10},
		{"no bound", map[string]string{"proc/self/cgroup": "0::/system.slice/edgespool.service\n", "sys/fs/cgroup/system.slice/edgespool.service/memory.max": "max\n"}, 0, 0},
		{"the least from here upwards", map[string]string{
			"proc/self/cgroup": "0::/system.slice/edgespool.service\n",
			"sys/fs/cgroup/system.slice/edgespool.service/memory.max":  "209715200\n",
			"sys/fs/cgroup/system.slice/edgespool.service/memory.high": "104857600\n",
			"sys/fs/cgroup/system.slice/memory.max":                    "max\n",
			"sys/fs/cgroup/memory.max":                                 "157286400\n",
		}, 104857600, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := board(t, c.files)
			if got := cgroupMemory(root); got != c.cgroup {
				t.Errorf("control group: got %d, want %d", got, c.cgroup)
			}
			if got := boardMemory(root); got != c.board {
				t.Errorf("board: got %d, want %d", got, c.board)
			}
		})
	}
}
