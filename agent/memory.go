package agent

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// heapLimits are the bytes that the Go runtime may take before it collects
// rather than grows, by the memory of the board. A spool of any size works
// within the first; more saves collections.
var heapLimits = []struct{ board, limit int64 }{
	{384 << 20, 20 << 20},
	{768 << 20, 32 << 20},
	{math.MaxInt64, 64 << 20},
}

// leastHeap is what the agent works in; no limit goes below.
const leastHeap = 16 << 20

// limitMemory sets the runtime's limit for a process that may use that many
// bytes, and returns it. It is that of the smallest boards wherever pointers
// have 32 bits, and never more than four fifths of what is allowed.
// GOMEMLIMIT, where it is set, goes before.
func limitMemory(allowed int64) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return debug.SetMemoryLimit(-1)
	}
	limit := heapLimit(allowed, strconv.IntSize)
	debug.SetMemoryLimit(limit)
	return limit
}

func heapLimit(allowed int64, pointerBits int) int64 {
	limit := heapLimits[0].limit
	for i := 0; pointerBits > 32 && allowed >= heapLimits[i].board; i++ {
		limit = heapLimits[i+1].limit
	}
	return max(min(limit, allowed/5*4), leastHeap)
}

// allowedMemory is what the process may use: the board's memory, or less where
// its control group says so. 256 MiB if nothing is known.
func allowedMemory(root string) int64 {
	allowed := boardMemory(root)
	if group := cgroupMemory(root); group > 0 && (allowed == 0 || group < allowed) {
		allowed = group
	}
	if allowed == 0 {
		return 256 << 20
	}
	return allowed
}

// cgroupMemory is the least limit from the process's control group upwards, of
// version 2 (line "0::PATH" of /proc/self/cgroup) or of version 1's memory
// controller ("N:memory:PATH"); 0 if none is set.
func cgroupMemory(root string) (least int64) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		number, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		mount, names := "sys/fs/cgroup", []string{"memory.high", "memory.max"}
		if strings.Contains(","+controllers+",", ",memory,") {
			mount, names = "sys/fs/cgroup/memory", []string{"memory.limit_in_bytes"}
		} else if !ok || number != "0" {
			continue
		}
		if n := leastLimit(filepath.Join(root, mount), group, names); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// leastLimit looks through a group and those around it; in a container only
// the outermost may be to be seen.
func leastLimit(mount, group string, names []string) (least int64) {
	for ; ; group = filepath.Dir(group) {
		for _, name := range names {
			n, err := strconv.ParseInt(firstLine(filepath.Join(mount, group, name)), 10, 64)
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
