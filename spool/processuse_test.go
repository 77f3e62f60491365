package spool

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A processUse is the most that a process was seen to use.
type processUse struct {
	anonymous int64 // RssAnon: what no file backs and the kernel cannot drop
	resident  int64 // VmRSS
	threads   int64
	files     int   // open descriptors
	mapped    int64 // of files below the watched folder
	maps      int
}

// watchProcess looks at a process once, if it is still there, and keeps
// the peaks.
func watchProcess(pid int, dir string, peak *processUse) {
	proc := fmt.Sprintf("/proc/%d", pid)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "RssAnon:":
			peak.anonymous = max(peak.anonymous, n<<10)
		case "VmRSS:":
			peak.resident = max(peak.resident, n<<10)
		case "Threads:":
			peak.threads = max(peak.threads, n)
		}
	}
	if fds, err := os.ReadDir(proc + "/fd"); err == nil {
		peak.files = max(peak.files, len(fds))
	}
	mapped, maps := mappedBelow(proc+"/maps", dir)
	peak.mapped, peak.maps = max(peak.mapped, mapped), max(peak.maps, maps)
}

// mappedBelow counts the mappings of a process of files below dir.
func mappedBelow(mapsFile, dir string) (bytes int64, maps int) {
	text, _ := os.ReadFile(mapsFile)
	for line := range strings.Lines(string(text)) {
		var from, to uint64
		if !strings.Contains(line, dir+"/") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err == nil {
			bytes, maps = bytes+int64(to-from), maps+1
		}
	}
	return bytes, maps
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }
