package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeDevice puts a device for path into a sysfs below root: files lie in the
// folder of the whole device, and the spool on a partition of it.
func fakeDevice(t *testing.T, root, path, name string, files map[string]string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(root, "sys/devices/soc", name)
	part := filepath.Join(disk, name+"p2")
	fakeFile(t, part, "partition", "2\n")
	fakeFile(t, part, "size", "8\n")
	for file, text := range files {
		fakeFile(t, disk, file, text)
	}
	link := filepath.Join(root, "sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))))
	fakeLink(t, part, link)
}

func fakeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fakeLink(t *testing.T, to, link string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}

// TestCard: what the kernel says of cards, eMMCs and disks.
func TestCard(t *testing.T) {
	const gigabytes = "62333952\n" // sectors of a card sold as 32 GB
	for _, c := range []struct {
		name  string
		files map[string]string
		want  Card
	}{
		{"an SD card says nothing of its life", map[string]string{"size": gigabytes, "queue/rotational": "0\n", "device/type": "SD\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424}},
		{"an eMMC does, and the worse of its two kinds of cells counts",
			map[string]string{"size": gigabytes, "device/life_time": "0x01 0x03\n", "device/pre_eol_info": "0x01\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424, LifeUsed: 30, Spares: "normal"}},
		{"an eMMC at its end", map[string]string{"size": gigabytes, "device/life_time": "0x0b 0x02\n", "device/pre_eol_info": "0x03\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424, LifeUsed: 110, Spares: "urgent"}},
		{"values that are reserved say nothing", map[string]string{"size": gigabytes, "device/life_time": "0x00 0xff\n", "device/pre_eol_info": "0x09\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424}},
		{"nor does rubbish", map[string]string{"size": gigabytes, "device/life_time": "soon\n", "device/pre_eol_info": "\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424}},
		{"a disk that turns", map[string]string{"size": gigabytes, "queue/rotational": "1\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424, Spins: true}},
		{"a device without a size", nil, Card{}},
		{"an SD card of class A2", map[string]string{"size": gigabytes, "device/ssr": cardStatus('2') + "\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424, Speed: "A2"}},
		{"an SD card that promises nothing", map[string]string{"size": gigabytes, "device/ssr": cardStatus('0') + "\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424, Speed: "none"}},
		{"a status cut short, and a class that is reserved", map[string]string{"size": gigabytes, "device/ssr": cardStatus('3')[:127] + "\n"},
			Card{Name: "mmcblk0", Bytes: 31914983424}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, path := t.TempDir(), t.TempDir()
			fakeDevice(t, root, path, "mmcblk0", c.files)
			if got := findCard(root, path); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got := findCard(t.TempDir(), t.TempDir()); got != (Card{}) {
		t.Errorf("without a sysfs: got %+v", got)
	}
	if got := findCard("/", filepath.Join(t.TempDir(), "gone")); got != (Card{}) {
		t.Errorf("without a folder: got %+v", got)
	}
}

// cardStatus is an SD card's status as sysfs shows it, of speed class 10 and
// that application class.
func cardStatus(class byte) string {
	return "00000000" + "08000000" + "04009000" + "0f050500" + "00000000" + "000" + string(class) + "0000" + strings.Repeat("0", 80)
}

// TestAdviceOnTheDisk: a FAT file system and a card without a class are warned
// of, at the field that names the folder; a disk of a journal is not.
func TestAdviceOnTheDisk(t *testing.T) {
	for _, c := range []struct {
		magic uint32
		card  Card
		want  string
	}{
		{magicFAT, Card{}, "/boot/x is on a FAT file system"}, {magicExFAT, Card{}, "/boot/x is on a FAT file system"},
		{0xef53, Card{Name: "mmcblk0", Speed: "none"}, "/boot/x is on an SD card (mmcblk0) without"},
		{0xef53, Card{Name: "mmcblk0", Speed: "A1"}, ""}, {0xef53, Card{}, ""},
	} {
		got := ""
		adviseOn("/boot/x", c.magic, c.card, func(field, problem, remedy string) {
			if field != "path" || remedy == "" {
				t.Errorf("%s without a remedy at %q", problem, field)
			}
			got += problem
		})
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: got %q, want %q", c, got, c.want)
		}
	}
}

// TestWarningsOfAFolderThatIsNotThereYet: the disk is that of the folder above.
func TestWarningsOfAFolderThatIsNotThereYet(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	fakeDevice(t, root, dir, "mmcblk0", map[string]string{"size": "8\n", "device/ssr": cardStatus('0')})
	c := Config{Path: filepath.Join(dir, "deep/below"), root: root}
	warned := 0
	c.Warnings(func(_, _, _ string) { warned++ })
	if warned != 1 {
		t.Errorf("got %d warnings, want that of the card", warned)
	}
}

// TestCardBelowAnEncryptedVolume: a volume's one device is what wears, and of
// several nobody can say which.
func TestCardBelowAnEncryptedVolume(t *testing.T) {
	root, path := t.TempDir(), t.TempDir()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	disk, volume := filepath.Join(root, "sys/devices/mmcblk1"), filepath.Join(root, "sys/devices/dm-0")
	fakeFile(t, disk, "size", "2048\n")
	fakeFile(t, filepath.Join(disk, "mmcblk1p1"), "partition", "1\n")
	fakeFile(t, volume, "size", "1024\n")
	fakeLink(t, filepath.Join(disk, "mmcblk1p1"), filepath.Join(volume, "slaves/mmcblk1p1"))
	fakeLink(t, volume, filepath.Join(root, "sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))))
	if got, want := findCard(root, path), (Card{Name: "mmcblk1", Bytes: 1 << 20}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	fakeLink(t, disk, filepath.Join(volume, "slaves/mmcblk2"))
	if got, want := findCard(root, path), (Card{Name: "dm-0", Bytes: 512 << 10}); got != want {
		t.Errorf("with two below it: got %+v, want %+v", got, want)
	}
}
