package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/serial"
)

// pi4 is a Raspberry Pi 4 with its serial ports; more adds to it or replaces.
func pi4(t *testing.T, more map[string]string) (root string) {
	t.Helper()
	files := map[string]string{
		"proc/device-tree/compatible": "raspberrypi,4-model-b\x00brcm,bcm2711\x00", "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\x00",
		"proc/meminfo": "MemTotal: 3884000 kB\n", "dev/ttyS0": "", "dev/ttyAMA0": "", "dev/ttyUSB0": "",
		"sys/class/tty/console/active": "tty1 ttyS0\n",
		"sys/class/tty/ttyS0/device/":  "", "sys/class/tty/ttyAMA0/device/": "", "sys/class/tty/ttyUSB0/device/": "",
	}
	for name, text := range more {
		files[name] = text
	}
	root = board(t, files)
	if err := os.Symlink("ttyS0", filepath.Join(root, "dev/serial0")); err != nil {
		t.Fatal(err)
	}
	return root
}

// warningsOn are those of a serial source on a board.
func warningsOn(t *testing.T, root, fields string) string {
	t.Helper()
	c := serialOn(t, root, fields)
	if w := c.Warnings(); w != nil {
		return w.Error()
	}
	return ""
}

func serialOn(t *testing.T, root, fields string) *Config {
	t.Helper()
	c, err := ParseConfig("c.yaml", []byte("sources:\n  - {name: a, type: serial, "+fields+", sensors: [{name: x}], frequency: 50, window: 2s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.Sources[0].root = root
	return c
}

func TestConfiguredPortsAreHeldAgainstTheBoard(t *testing.T) {
	const console, bluetooth = "is the console on this board (Raspberry Pi 4 Model B and 400)", "ttyAMA0 is in use by Bluetooth"
	const fast = "baud is more than the 115200 that are advised for GPIO14/15 of this board"
	unknown := map[string]string{"proc/device-tree/compatible": "maker,other\x00", "proc/device-tree/model": "Other\x00"}
	for _, c := range []struct {
		name, fields string
		more         map[string]string
		want         []string
	}{
		{"the console by its link", "port: /dev/serial0", nil, []string{"c.yaml:2:35: warning: port: ttyS0 " + console, "raspi-config"}},
		{"the console by its device", "port: /dev/ttyS0, baud: 9600", nil, []string{"ttyS0 " + console}},
		{"a console that was freed", "port: /dev/serial0", map[string]string{"sys/class/tty/console/active": "tty1\n"}, nil},
		{"Bluetooth", "port: /dev/ttyAMA0", nil, []string{bluetooth, "if it still is: dtoverlay=disable-bt"}},
		{"a speed above what is advised", "port: /dev/serial0, baud: 921600", map[string]string{"sys/class/tty/console/active": "tty1\n"},
			[]string{"c.yaml:2:55: warning: 921600 " + fast}},
		{"both", "port: /dev/serial0, baud: 921600", nil, []string{"ttyS0 " + console, "921600 " + fast}},
		{"an adapter", "port: /dev/ttyUSB0, baud: 921600", nil, nil},
		{"an address", "port: \"tcp://127.0.0.1:4001\", baud: 921600", nil, nil},
		{"a console of an unknown board", "port: /dev/ttyUSB0", map[string]string{
			"proc/device-tree/compatible": unknown["proc/device-tree/compatible"], "proc/device-tree/model": unknown["proc/device-tree/model"],
			"sys/class/tty/console/active": "ttyUSB0\n"}, []string{"ttyUSB0 is the console on this board", "remove console=ttyUSB0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := warningsOn(t, pi4(t, c.more), c.fields)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got\n%s\nwant it to say %s", got, want)
				}
			}
			if n := strings.Count(got, "on this board") + strings.Count(got, "of this board") + strings.Count(got, "as this board"); len(c.want) == 0 && n > 0 {
				t.Errorf("got\n%s\nwant nothing of the board", got)
			}
		})
	}
}

// TestConsoleOfASilentKernel: where the kernel does not name its console, the
// board's file does.
func TestConsoleOfASilentKernel(t *testing.T) {
	root := pi4(t, nil)
	if err := os.Remove(filepath.Join(root, "sys/class/tty/console/active")); err != nil {
		t.Fatal(err)
	}
	if got := warningsOn(t, root, "port: /dev/serial0"); !strings.Contains(got, "ttyS0 is the console") {
		t.Errorf("got %s", got)
	}
}

func TestPortsHaveTheBoardsNames(t *testing.T) {
	ports, err := Ports(pi4(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]serial.PortInfo{}
	for _, p := range ports {
		got[p.Path] = p
	}
	if p := got["/dev/ttyS0"]; p.Label != "GPIO14/15" || !p.Console {
		t.Errorf("got %+v", p)
	}
	if p := got["/dev/ttyAMA0"]; p.Label != "Bluetooth" || p.Console {
		t.Errorf("got %+v", p)
	}
	if p, there := got["/dev/ttyUSB0"]; !there || p.Label != "" || p.Console {
		t.Errorf("got %+v", p)
	}
	if ports, err := Ports(t.TempDir()); err != nil || ports == nil || len(ports) > 0 {
		t.Errorf("without sysfs: got %v, %v", ports, err)
	}
}

func TestDescribeBoard(t *testing.T) {
	r := DescribeBoard(pi4(t, nil))
	if r.Board.Name != "raspberry-pi-4" || !r.Known || r.MemoryClass != "large" || len(r.Ports) != 3 {
		t.Errorf("got %+v", r)
	}
	if p := r.Ports[0]; p.Path != "/dev/serial0" || p.Device != "/dev/ttyS0" || !p.Console {
		t.Errorf("first port: got %+v", p)
	}
	if p := r.Ports[2]; p.Path != "" || p.Device != "" || p.Console {
		t.Errorf("port that is not there: got %+v", p)
	}
	if len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0].Problem, "ttyS0 is the console") || r.Warnings[0].Remedy == "" {
		t.Errorf("got %q, want the console", r.Warnings)
	}
}

// TestLessMemoryThanTheBoardHas: the limits follow what may be used, and that
// is said.
func TestLessMemoryThanTheBoardHas(t *testing.T) {
	r := DescribeBoard(pi4(t, map[string]string{"proc/self/cgroup": "0::/x\n", "sys/fs/cgroup/x/memory.max": "209715200\n"}))
	last := r.Warnings[len(r.Warnings)-1]
	if r.MemoryClass != "small" || !strings.HasPrefix(last.Problem, "edgespool may use less memory") {
		t.Errorf("got class %s and %q", r.MemoryClass, last)
	}
}

func TestRunLogsTheBoard(t *testing.T) {
	root := pi4(t, nil)
	var log bytes.Buffer
	tellBoard(serialOn(t, root, "port: /dev/serial0, baud: 230400"), root, slog.New(slog.NewTextHandler(&log, nil)))
	for _, want := range []string{"board=raspberry-pi-4", "level=WARN msg=\"ttyS0 is the console", " source=a remedy=", "230400 baud is more", "remedy="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("got\n%s\nwant it to say %s", log.String(), want)
		}
	}
}
