package spool

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// setAside moves what cannot be opened to the quarantine, for salvage by hand,
// and counts it.
func (s *Spool) setAside(dir string, cause error) error {
	to := filepath.Join(s.quarantine, fmt.Sprintf("%s-%s-%d", filepath.Base(filepath.Dir(dir)), filepath.Base(dir), time.Now().UnixNano()))
	s.log.Error("store cannot be opened; it is kept in quarantine", "store", dir, "quarantine", to, "error", cause)
	if err := os.Rename(dir, to); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	s.quarantined.Add(1)
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return syncDir(s.quarantine)
}

// forgetExceptions takes exceptions that the history dropped off the counts.
func (s *Spool) forgetExceptions(gone map[string]int64) {
	for _, st := range s.streamList() {
		if n := gone[st.name]; n > 0 {
			go func() { // the caller may hold the stream's mutex
				st.mu.Lock()
				defer st.mu.Unlock()
				st.exceptions = max(0, st.exceptions-n)
				st.dirty = true
			}()
		}
	}
}

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
