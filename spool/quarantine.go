package spool

import (
	"fmt"
	"io"
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

// copyStore copies a store's files, leaving out stretches of zeros.
func copyStore(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("copy store: %w", err)
	}
	for _, d := range files {
		if d.Name() == markerName || d.IsDir() {
			continue
		}
		if err := copySparse(filepath.Join(from, d.Name()), filepath.Join(to, d.Name())); err != nil {
			return fmt.Errorf("copy store: %w", err)
		}
	}
	return nil
}

func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && string(buf[:n]) != string(zeros[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Truncate(at)
		}
		if err != nil {
			return err
		}
	}
}
