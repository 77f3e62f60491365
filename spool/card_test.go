package spool

import (
	"fmt"
	"os"
	"path/filepath"
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
