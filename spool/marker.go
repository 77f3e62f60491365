package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// markerName is the file that stands in a store's folder while it is opened:
// who finds it at start knows that opening killed the process. It says how
// often, and in which run of the board; it is not synced, because what a power
// cut leaves of it says nothing about the store.
const markerName = "OPENING"

// bootFile tells one run of the board from another (Linux, random(4)).
var bootFile = "/proc/sys/kernel/random/boot_id"

// mark notes that a store is being opened, and that found starts died over it.
func mark(dir string, found int) error {
	boot, _ := os.ReadFile(bootFile) // without it every run is taken for this one
	text := fmt.Appendf(nil, "%d %s", found+1, boot)
	return os.WriteFile(filepath.Join(dir, markerName), text, 0o644)
}

// unmark notes that the store was opened, or refused to be.
func unmark(dir string) error { return os.Remove(filepath.Join(dir, markerName)) }

// markerCount tells how many starts of this run of the board died while they
// opened the store. A marker of another run is what a power cut left.
func markerCount(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		return 0
	}
	count, run, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.Atoi(count)
	if boot, berr := os.ReadFile(bootFile); err != nil || berr == nil && run != "" && run != strings.TrimSpace(string(boot)) {
		return 0
	}
	return n
}
