package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Held fails with ErrLocked if another agent holds the spool at path. It
// takes no lock itself, not for a moment: that could keep an agent from
// starting. Where the kernel does not say who has locks it finds nobody.
func Held(path string) error {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(path, "LOCK"), &st) != nil {
		return nil // there is no spool, or none that this user may see
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	// "1: FLOCK  ADVISORY  WRITE 711 08:02:131 0 EOF", by proc_locks(5).
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	for line := range strings.Lines(string(locks)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == file {
			return fmt.Errorf("look at spool %s: %w", path, ErrLocked)
		}
	}
	return nil
}
