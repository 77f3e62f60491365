package boards

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree lays out a machine below a folder of the test's: a name that ends in
// "->" is a link to its text.
func tree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		link := strings.HasSuffix(name, "->")
		at := filepath.Join(root, strings.TrimSuffix(name, "->"))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if link {
			err = os.Symlink(text, at)
		} else {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// deviceTree is what the kernel shows of one: texts that end in NUL.
func deviceTree(model string, compatible ...string) map[string]string {
	return map[string]string{
		"proc/device-tree/model":      model + "\x00",
		"proc/device-tree/compatible": strings.Join(compatible, "\x00") + "\x00",
	}
}

func bios(vendor, product, board string) map[string]string {
	return map[string]string{
		"sys/class/dmi/id/sys_vendor": vendor + "\n", "sys/class/dmi/id/product_name": product + "\n", "sys/class/dmi/id/board_name": board + "\n",
	}
}

// machines are boards as they show themselves.
var machines = []struct {
	board string
	files map[string]string
}{
	{"raspberry-pi-zero-w", deviceTree("Raspberry Pi Zero W Rev 1.1", "raspberrypi,model-zero-w", "brcm,bcm2835")},
	{"raspberry-pi-zero-2-w", deviceTree("Raspberry Pi Zero 2 W Rev 1.0", "raspberrypi,model-zero-2-w", "brcm,bcm2837")},
	{"raspberry-pi-3", deviceTree("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberrypi,3-model-b-plus", "brcm,bcm2837")},
	{"raspberry-pi-4", deviceTree("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b", "brcm,bcm2711")},
	{"raspberry-pi-4", deviceTree("Raspberry Pi 400 Rev 1.0", "raspberrypi,400", "brcm,bcm2711")},
	{"raspberry-pi-5", deviceTree("Raspberry Pi 5 Model B Rev 1.0", "raspberrypi,5-model-b", "brcm,bcm2712")},
	{"revpi-connect", deviceTree("Raspberry Pi Compute Module 3 Plus Rev 1.0", "kunbus,revpi-connect", "brcm,bcm2837", "brcm,bcm2836")},
	{"revpi-connect", deviceTree("Raspberry Pi Compute Module 4S Rev 1.0", "kunbus,revpi-connect-se", "brcm,bcm2711")},
	{"revpi-connect", deviceTree("Raspberry Pi Compute Module 4 Rev 1.1", "kunbus,revpi-connect4", "brcm,bcm2711")},
	{"revpi-compact", deviceTree("Raspberry Pi Compute Module 3 Plus Rev 1.0", "kunbus,revpi-compact", "brcm,bcm2837", "brcm,bcm2836")},
	{"revpi-flat", deviceTree("Raspberry Pi Compute Module 3 Plus Rev 1.0", "kunbus,revpi-flat", "brcm,bcm2837", "brcm,bcm2836")},
	{"revpi-flat", deviceTree("Raspberry Pi Compute Module 4S Rev 1.0", "kunbus,revpi-flat-s-2022", "kunbus,revpi-flat", "brcm,bcm2711")},
	{"beaglebone-black", deviceTree("TI AM335x BeagleBone Black", "ti,am335x-bone-black", "ti,am335x-bone", "ti,am33xx")},
	{"siemens-iot2050-basic", deviceTree("SIMATIC IOT2050 Basic PG2", "siemens,iot2050-basic-pg2", "ti,am654")},
	{"siemens-iot2050-basic", deviceTree("SIMATIC IOT2050 Basic", "siemens,iot2050-basic", "ti,am654")},
	{"siemens-iot2050-advanced", deviceTree("SIMATIC IOT2050 Advanced", "siemens,iot2050-advanced", "ti,am654")},
	{"siemens-iot2050-advanced", deviceTree("SIMATIC IOT2050 Advanced M2", "siemens,iot2050-advanced-m2", "ti,am654")},
	{"moxa-uc-8112", deviceTree("MOXA UC-8100", "ti,moxa-uc8100", "ti,am33xx")},
	{"moxa-uc-8220", deviceTree("Moxa UC-8210", "moxa,uc-8210", "fsl,imx7d")},
	{"compulab-iot-gate-imx8", deviceTree("CompuLab IOT-GATE-iMX8", "compulab,iot-gate-imx8", "compulab,imx8mm-ucm-som", "fsl,imx8mm")},
	{"advantech-uno", bios("Advantech", "UNO-2271G-E22AE", "UNO-2271G")},
	{"advantech-epc-r", deviceTree("NXP i.MX8MPlus RSB3720A1 board", "fsl,imx8mp-rsb3720-a1", "fsl,imx8mp")},
	{"jetson-nano", deviceTree("NVIDIA Jetson Nano Developer Kit", "nvidia,p3450-0000", "nvidia,tegra210")},
	{"jetson-nano", deviceTree("NVIDIA Jetson Nano 2GB Developer Kit", "nvidia,p3541-0000", "nvidia,p3450-0000", "nvidia,tegra210")},
	{"jetson-orin-nano", deviceTree("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234")},
	{"nxp-imx8m-evk", deviceTree("FSL i.MX8MM EVK board", "fsl,imx8mm-evk", "fsl,imx8mm")},
	{"nxp-imx8m-evk", deviceTree("NXP i.MX8MPlus EVK board", "fsl,imx8mp-evk", "fsl,imx8mp")},
	{"stm32mp157-dk", deviceTree("STMicroelectronics STM32MP157C-DK2 Discovery Board", "st,stm32mp157c-dk2", "st,stm32mp157")},
	{"visionfive-2", deviceTree("StarFive VisionFive 2 v1.3B", "starfive,visionfive-2-v1.3b", "starfive,jh7110")},
}

// strangers look like boards that are known, and are none of them.
var strangers = []map[string]string{
	deviceTree("Raspberry Pi 2 Model B Rev 1.1", "raspberrypi,2-model-b", "brcm,bcm2836"),
	deviceTree("Raspberry Pi Compute Module 4 Rev 1.1", "raspberrypi,4-compute-module", "brcm,bcm2711"),
	deviceTree("TI AM335x BeagleBone", "ti,am335x-bone", "ti,am33xx"),
	deviceTree("CompuLab IOT-GATE-iMX8PLUS", "compulab,iot-gate-imx8plus", "fsl,imx8mp"),
	deviceTree("NVIDIA Jetson Orin NX", "nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
	deviceTree("Toradex Verdin iMX8M Mini", "toradex,verdin-imx8mm", "fsl,imx8mm"),
	bios("Advantech", "AIMB-215", "AIMB-215"), bios("QEMU", "Standard PC (Q35 + ICH9, 2009)", ""), bios("LENOVO", "UNO-like", ""),
	nil,
}

// rules names the boards that an identity fits in any way.
func rules(id Identity) (names []string) {
	for _, b := range All() {
		fits := false
		for kind, all := range id {
			for _, name := range all {
				fits = fits || b.Match.fits(kind, name)
			}
		}
		if fits {
			names = append(names, b.Name)
		}
	}
	return names
}

func TestEachBoardMatchesItsOwnAndNothingElse(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range machines {
		id := Identify(tree(t, m.files))
		b, because, known := Detect(id, "arm64")
		by := "it is by DMI "
		switch {
		case len(b.Match.Compatible) > 0:
			by = "it is compatible with "
		case len(b.Match.Model) > 0:
			by = "it is the model "
		}
		if b.Name != m.board || !known || !strings.HasPrefix(because, by) {
			t.Errorf("%q: got %s because %s, want %s", id, b.Name, because, m.board)
		}
		if got := rules(id); !slices.Equal(got, []string{m.board}) {
			t.Errorf("%q: the rules of %q fit, want those of %s alone", id, got, m.board)
		}
		seen[m.board] = true
	}
	if len(All()) < 20 {
		t.Fatalf("got %d boards", len(All()))
	}
	for _, b := range All() {
		if !b.Match.Generic && !seen[b.Name] {
			t.Errorf("%s: add a machine to this test that shows itself as this board does", b.Name)
		}
	}
}

func TestUnknownBoardIsTheGenericOneAndSaysSo(t *testing.T) {
	for _, files := range strangers {
		id := Identify(tree(t, files))
		for arch, want := range map[string]string{"amd64": "generic-x86", "arm64": "generic-arm64", "arm": "generic-arm", "riscv64": "generic-riscv64", "386": "generic"} {
			b, because, known := Detect(id, arch)
			if b.Name != want || known || !strings.HasPrefix(because, unknownBy(id)) {
				t.Errorf("%q on %s: got %s because %s", id, arch, b.Name, because)
			}
		}
		if got := rules(id); len(got) > 0 {
			t.Errorf("%q: fits %q", id, got)
		}
	}
}

// unknownBy is how Detect begins to say that nothing fits.
func unknownBy(id Identity) string {
	if len(id[compatible])+len(id[model])+len(id[dmi]) == 0 {
		return "this machine says nothing of itself"
	}
	return "no known board is "
}

func TestPlacesFollowTheLinks(t *testing.T) {
	pi := All()[slices.IndexFunc(All(), func(b *Board) bool { return b.Name == "raspberry-pi-4" })]
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"as delivered":     {map[string]string{"dev/serial0->": "ttyS0", "dev/serial1->": "ttyAMA0", "dev/ttyS0": "", "dev/ttyAMA0": ""}, []string{"/dev/ttyS0", "/dev/ttyAMA0", ""}},
		"without links":    {map[string]string{"dev/ttyS0": "", "dev/ttyAMA0": "", "dev/ttyAMA3": ""}, []string{"/dev/ttyS0", "/dev/ttyAMA0", "/dev/ttyAMA3"}},
		"disable-bt":       {map[string]string{"dev/serial0->": "ttyAMA0", "dev/ttyAMA0": "", "dev/ttyS0": "", "sys/class/tty/ttyS0/type": "0\n"}, []string{"/dev/ttyAMA0", "", ""}},
		"dangling":         {map[string]string{"dev/serial0->": "ttyS0"}, []string{"", "", ""}},
		"only supposed":    {map[string]string{"dev/ttyS0": "", "sys/class/tty/ttyS0/type": "0\n"}, []string{"", "", ""}},
		"absolute link":    {map[string]string{"dev/serial0->": "/dev/ttyS0", "dev/ttyS0": "", "sys/class/tty/ttyS0/type": "4\n"}, []string{"/dev/ttyS0", "", ""}},
		"nothing is there": {nil, []string{"", "", ""}},
	} {
		var got []string
		places, _ := pi.Places(tree(t, c.files))
		for _, p := range places {
			got = append(got, p.Device)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// TestConsolesAreThoseOfTheKernel: and where it does not name them, those of
// the board's file.
func TestConsolesAreThoseOfTheKernel(t *testing.T) {
	b := &Board{Serial: []Port{{Paths: []string{"/dev/ttyS0"}, Console: true}, {Paths: []string{"/dev/ttyS1"}}}}
	for _, c := range []struct {
		active        string
		first, second bool
	}{{"tty0 ttyS0\n", true, false}, {"ttyS1\n", false, true}, {"tty0\n", false, false}, {"", true, false}} {
		places, consoles := b.Places(tree(t, map[string]string{"dev/ttyS0": "", "dev/ttyS1": "", "sys/class/tty/console/active": c.active}))
		if places[0].Console != c.first || places[1].Console != c.second || len(consoles) != len(strings.Fields(c.active)) {
			t.Errorf("%q: got %+v and %q", c.active, places, consoles)
		}
	}
}

// FuzzDetect: whatever a kernel or a BIOS says, there is a board and a reason
// that can be printed.
func FuzzDetect(f *testing.F) {
	f.Add([]byte("raspberrypi,4-model-b\x00brcm,bcm2711\x00"), []byte("Raspberry Pi 4 Model B Rev 1.4\x00"), []byte("Advantech\n"), []byte("UNO-\n"))
	f.Add([]byte("\x00\x00[*\\\x1b"), []byte("\xff*EPC-R["), []byte("Advantech"), []byte(""))
	f.Fuzz(func(t *testing.T, compatible, model, vendor, product []byte) {
		id := Identify(tree(t, map[string]string{
			"proc/device-tree/compatible": string(compatible), "proc/device-tree/model": string(model),
			"sys/class/dmi/id/sys_vendor": string(vendor), "sys/class/dmi/id/product_name": string(product),
		}))
		b, because, _ := Detect(id, "arm64")
		if b.Title == "" || because == "" {
			t.Errorf("got %v, %q", b, because)
		}
		if strings.ContainsFunc(because, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("control characters in %q", because)
		}
	})
}
