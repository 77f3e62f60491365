package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// setAside moves what cannot be opened to the quarantine, for salvage by hand,
// and counts it.
func (s *Spool) setAside(dir string, cause error) error {
	to := filepath.Join(s.quarantine, fmt.Sprintf("%s-%s-%020d", filepath.Base(filepath.Dir(dir)), filepath.Base(dir), time.Now().UnixNano()))
	s.log.Error("store cannot be opened; it is kept in quarantine", "store", dir, "quarantine", to, "error", cause)
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	s.boundQuarantine()
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return syncDir(s.quarantine)
}

// boundQuarantine counts what is in quarantine and lets the oldest go while it
// takes more than an eighth of the cap.
func (s *Spool) boundQuarantine() {
	names, err := os.ReadDir(s.quarantine)
	if err != nil {
		return
	}
	slices.SortFunc(names, func(a, b os.DirEntry) int { return strings.Compare(setAsideAt(a.Name()), setAsideAt(b.Name())) })
	for len(names) > 1 && treeBytes(s.quarantine) > int64(s.conf.MaxBytes)/8 {
		s.log.Warn("quarantine is full; the oldest in it goes", "store", names[0].Name())
		if err := os.RemoveAll(filepath.Join(s.quarantine, names[0].Name())); err != nil {
			return
		}
		names = names[1:]
	}
	s.quarantined.Store(int64(len(names)))
}

// setAsideAt is the part of a name that tells when the store was set aside.
func setAsideAt(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }
