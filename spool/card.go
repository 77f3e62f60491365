package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Card is the device that the spool is on, as far as the kernel knows it:
// an SD card, eMMC, another disk. The zero Card is one that nothing is known
// of, such as a network's.
type Card struct {
	Name  string // of the whole device, such as mmcblk0
	Bytes int64  // its capacity
	Spins bool   // a disk that turns: writing does not wear it
	// LifeUsed is the part of its life that an eMMC says it has behind it, in
	// per cent: 10 for up to 10, … 100, and 110 for more than was promised. 0:
	// the device does not say.
	LifeUsed int
	// Spares is what an eMMC says of its spare blocks: normal, warning (80 %
	// are used) or urgent (90 %). Empty: it does not say.
	Spares string
	// Speed is an SD card's application performance class, A1 or A2, "none"
	// for a card that promises no random writes, or empty: it does not say.
	Speed string
}

// findCard looks the device of path up in the sysfs below root. The files are
// those of the kernel's Documentation/ABI/stable/sysfs-block and
// Documentation/driver-api/mmc/mmc-dev-attrs.rst.
func findCard(root, path string) Card {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return Card{}
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	dir, err := filepath.EvalSymlinks(filepath.Join(root, "sys/dev/block", number))
	if err != nil {
		return Card{} // a network's file system has no device
	}
	dir = wholeDevice(dir)
	sectors, err := strconv.ParseInt(firstWord(dir, "size"), 10, 64)
	if err != nil {
		return Card{}
	}
	return Card{
		Name: filepath.Base(dir), Bytes: sectors * 512, Spins: firstWord(dir, "queue/rotational") == "1",
		LifeUsed: lifeUsed(filepath.Join(dir, "device/life_time")), Spares: spares(firstWord(dir, "device/pre_eol_info")),
		Speed: applicationClass(firstWord(dir, "device/ssr")),
	}
}

// wholeDevice goes from a partition to its disk, and from an encrypted or
// logical volume to the one device below it.
func wholeDevice(dir string) string {
	for range 8 {
		if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
			dir = filepath.Dir(dir)
		}
		below, err := filepath.Glob(filepath.Join(dir, "slaves/*"))
		if err != nil || len(below) != 1 {
			return dir
		}
		next, err := filepath.EvalSymlinks(below[0])
		if err != nil {
			return dir
		}
		dir = next
	}
	return dir
}

// lifeUsed reads the two steps of an eMMC's life_time, "0x01 0x02", for its
// two kinds of cells (EXT_CSD[268] and [269], JESD84-B51), and takes the worse.
func lifeUsed(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	worst := uint64(0)
	for _, word := range strings.Fields(string(text)) {
		step, err := strconv.ParseUint(word, 0, 8)
		if err != nil || step > 0x0b { // reserved values say nothing
			continue
		}
		worst = max(worst, step)
	}
	return int(worst) * 10
}

// spares puts an eMMC's pre_eol_info (EXT_CSD[267]) into words.
func spares(word string) string {
	step, err := strconv.ParseUint(word, 0, 8)
	if err != nil {
		return ""
	}
	return map[uint64]string{1: "normal", 2: "warning", 3: "urgent"}[step]
}

// applicationClass reads APP_PERF_CLASS, bits 339 to 336 of an SD card's
// 512-bit status in hexadecimal (SD Physical Layer Simplified Specification
// 6.00, 4.10.2).
func applicationClass(status string) string {
	if len(status) != 128 {
		return ""
	}
	switch status[(511-339)/4] {
	case '0':
		return "none"
	case '1':
		return "A1"
	case '2':
		return "A2"
	}
	return ""
}

// firstWord is the first word of a small file, empty if there is none.
func firstWord(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return word
}
