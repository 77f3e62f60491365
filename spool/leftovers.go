package spool

import (
	"os"
	"path/filepath"
	"strings"
)

// leftovers explains what is in a spool's folders beside what should be.
func leftovers(path string) []string {
	found := []string{}
	note := func(name, why string) { found = append(found, name+": "+why) }
	own := map[string]bool{"FORMAT": true, "LOCK": true, "ballast": true, "meta": true, "seg": true, "hist": true, "det": true, "seen": true, "quarantine": true}
	names, _ := os.ReadDir(path)
	for _, d := range names {
		if !own[d.Name()] {
			note(d.Name(), "not the spool's; it is left alone")
		}
	}
	for _, folder := range []string{"meta", "seg", "hist", "det", "seen"} {
		names, _ := os.ReadDir(filepath.Join(path, folder))
		for _, d := range names {
			name := folder + "/" + d.Name()
			base := strings.TrimSuffix(strings.TrimSuffix(d.Name(), ".new"), ".del")
			switch {
			case folder == "seen" && strings.HasSuffix(name, ".run"):
			case strings.HasSuffix(name, ".run.tmp"), folder == "meta" && d.Name() == "opening":
				note(name, "was being written; the next start removes it")
			case folder == "seen" || !isStoreName(base):
				note(name, "not the spool's; it is left alone")
			case strings.HasSuffix(name, ".del"):
				note(name, "was being deleted; the next start ends that")
			case strings.HasSuffix(name, ".new"):
				note(name, "was being built anew; the next start ends that")
			case markerCount(filepath.Join(path, folder, d.Name())) > 0:
				note(name, "was being opened when its process ended; the next start builds it anew from its blocks")
			}
		}
	}
	return found
}
