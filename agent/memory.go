package agent

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// leastMemory is what the agent works well in; no limit goes below.
const leastMemory = 48 << 20

// limitMemory tells the Go runtime to collect rather than to grow: at four
// fifths of what the service manager allows, or at half of a board without
// such a bound. GOMEMLIMIT, where it is set, goes before. It returns the
// limit in bytes.
func limitMemory(root string) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return debug.SetMemoryLimit(-1)
	}
	limit := int64(math.MaxInt64)
	if allowed := cgroupMemory(root); allowed > 0 {
		limit = allowed / 5 * 4
	}
	if board := boardMemory(root); board > 0 {
		limit = min(limit, board/2)
	}
	limit = max(limit, leastMemory)
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroupMemory is the least memory.high or memory.max from the process's
// control group (version 2) upwards; 0 if none is set.
func cgroupMemory(root string) (least int64) {
	_, group, ok := strings.Cut(firstLine(filepath.Join(root, "proc/self/cgroup")), "0::")
	if !ok {
		return 0
	}
	for ; ; group = filepath.Dir(group) {
		for _, name := range []string{"memory.high", "memory.max"} {
			n, err := strconv.ParseInt(firstLine(filepath.Join(root, "sys/fs/cgroup", group, name)), 10, 64)
			if err == nil && n > 0 && (least == 0 || n < least) {
				least = n
			}
		}
		if group == "/" || group == "." {
			return least
		}
	}
}

// boardMemory is the board's memory by /proc/meminfo, whose first line is
// "MemTotal: N kB"; 0 if unknown.
func boardMemory(root string) int64 {
	fields := strings.Fields(firstLine(filepath.Join(root, "proc/meminfo")))
	if len(fields) < 2 || fields[0] != "MemTotal:" {
		return 0
	}
	kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}
