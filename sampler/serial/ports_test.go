package serial

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler/samplertest"
)

// sysfs builds what the kernel shows of a gateway: an Arduino, two adapters
// of the same kind without serial numbers, a real UART, a UART that the 8250
// driver only supposes, a console and a pseudo-terminal.
func sysfs(t *testing.T) (root string) {
	root = t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, to string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	usb := func(device, vendor, product, maker, name, number string) {
		write(device+"/idVendor", vendor+"\n")
		write(device+"/idProduct", product+"\n")
		write(device+"/manufacturer", maker+"\n")
		write(device+"/product", name+"\n")
		if number != "" {
			write(device+"/serial", number+"\n")
		}
	}
	const bus = "sys/devices/platform/soc/usb1"
	usb(bus+"/1-1", "2341", "8057", "Arduino LLC", "Nano 33 IoT", "A1B2C3")
	write(bus+"/1-1/1-1:1.0/bInterfaceNumber", "00\n")
	write(bus+"/1-1/1-1:1.0/tty/ttyACM0/uevent", "")
	link(bus+"/1-1/1-1:1.0/driver", "../../../../../../bus/usb/drivers/cdc_acm")
	link(bus+"/1-1/1-1:1.0/tty/ttyACM0/device", "../..")
	link("sys/class/tty/ttyACM0", "../../devices/platform/soc/usb1/1-1/1-1:1.0/tty/ttyACM0")
	for i, port := range []string{"ttyUSB0", "ttyUSB1"} {
		device := bus + "/1-" + string(rune('2'+i))
		usb(device, "1a86", "7523", "", "USB Serial", "")
		at := device + "/1-x:1.0/" + port
		write(device+"/1-x:1.0/bInterfaceNumber", "00\n")
		write(at+"/tty/"+port+"/uevent", "")
		link(at+"/driver", "../../../../../../../bus/usb-serial/drivers/ch341-uart")
		link(at+"/tty/"+port+"/device", "../..")
		link("sys/class/tty/"+port, "../../devices/platform/soc/usb1/1-"+string(rune('2'+i))+"/1-x:1.0/"+port+"/tty/"+port)
	}
	write("sys/devices/platform/serial/driver/x", "")
	link("sys/class/tty/ttyAMA0/device", "../../../devices/platform/serial")
	link("sys/class/tty/ttyS0/device", "../../../devices/platform/serial")
	write("sys/class/tty/ttyS0/type", "0\n")
	link("sys/class/tty/ttyS1/device", "../../../devices/platform/serial")
	write("sys/class/tty/ttyS1/type", "4\n")
	write("sys/class/tty/tty1/uevent", "")
	write("sys/class/tty/ptmx/uevent", "")
	link("sys/class/tty/ttyUSB9/device", "../../../devices/unplugged-meanwhile")
	link("dev/serial/by-id/usb-Arduino_LLC_Nano_33_IoT_A1B2C3-if00", "../../ttyACM0")
	link("dev/serial/by-path/platform-soc-usb-0:1.2:1.0-port0", "../../ttyUSB0")
	link("dev/serial/by-path/platform-soc-usb-0:1.3:1.0-port0", "../../ttyUSB1")
	return root
}

func TestPorts(t *testing.T) {
	got, err := Ports(sysfs(t))
	if err != nil {
		t.Fatal(err)
	}
	adapter := PortInfo{Driver: "ch341-uart", VendorID: "1a86", ProductID: "7523", Product: "USB Serial", Interface: "00"}
	first, second := adapter, adapter
	first.Path, first.ByPath = "/dev/ttyUSB0", []string{"/dev/serial/by-path/platform-soc-usb-0:1.2:1.0-port0"}
	second.Path, second.ByPath = "/dev/ttyUSB1", []string{"/dev/serial/by-path/platform-soc-usb-0:1.3:1.0-port0"}
	want := []PortInfo{
		{
			Path: "/dev/ttyACM0", ByID: []string{"/dev/serial/by-id/usb-Arduino_LLC_Nano_33_IoT_A1B2C3-if00"}, Driver: "cdc_acm",
			VendorID: "2341", ProductID: "8057", Vendor: "Arduino LLC", Product: "Nano 33 IoT", SerialNumber: "A1B2C3", Interface: "00",
		},
		{Path: "/dev/ttyAMA0"}, {Path: "/dev/ttyS1"}, first, second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	var names []string
	for _, p := range got {
		names = append(names, p.Stable()+" "+p.USB()+" "+p.Describe())
	}
	if names[0] != want[0].ByID[0]+" 2341:8057 Arduino LLC Nano 33 IoT" || names[1] != "/dev/ttyAMA0  " || names[3] != first.ByPath[0]+" 1a86:7523 USB Serial" {
		t.Errorf("as they are shown: %q", names)
	}
}

func TestNoSysfsNoPorts(t *testing.T) {
	if ports, err := Ports(t.TempDir()); err != nil || len(ports) != 0 {
		t.Errorf("got %v, %v, want none", ports, err)
	}
}

// TestPortsTouchesNoPort is S4 of the field notes: listing ports must not
// change one that somebody has set up.
func TestPortsTouchesNoPort(t *testing.T) {
	d := samplertest.NewDevice(t)
	fd := int(d.Far().Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		t.Fatal(err)
	}
	before.Cflag |= unix.CSTOPB
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, before); err != nil {
		t.Fatal(err)
	}
	if _, err := Ports("/"); err != nil {
		t.Fatal(err)
	}
	after, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil || *after != *before || after.Cflag&unix.CSTOPB == 0 {
		t.Errorf("settings changed: got %+v, %v, want %+v", after, err, before)
	}
	// And nothing here can call what does (S4, S8).
	sources, _ := filepath.Glob("*.go")
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"bugst.GetPorts", "serial/enumerator\"", ".ResetInput", ".ResetOutput"} {
			if !strings.HasSuffix(name, "_test.go") && strings.Contains(string(text), call) {
				t.Errorf("%s: %s is not safe", name, call)
			}
		}
	}
}

func TestLocate(t *testing.T) {
	root := sysfs(t)
	for port, want := range map[string]string{
		"usb:2341:8057": "/dev/ttyACM0", "usb:2341:8057:A1B2C3": "/dev/ttyACM0", os.DevNull: os.DevNull,
	} {
		if got, err := locate(port, root); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %s", port, got, err, want)
		}
	}
	for _, port := range []string{"usb:2341:8057:OTHER", "usb:dead:beef", filepath.Join(root, "no-such-port")} {
		if got, err := locate(port, root); !errors.Is(err, errAbsent) || !strings.Contains(err.Error(), port) {
			t.Errorf("%s: got %q, %v, want it to be absent", port, got, err)
		}
	}
	if got, err := locate("usb:1A86:7523", root); err == nil || errors.Is(err, errAbsent) || !strings.Contains(err.Error(), "by-path") {
		t.Errorf("two adapters fit: got %q, %v, want the advice to name one", got, err)
	}
}
