package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// makeFolders makes the spool's folders. What stands in the place of one goes
// to the quarantine.
func (s *Spool) makeFolders() error {
	for _, name := range []string{"quarantine", "seg", "hist", "det", "meta", "seen"} {
		dir := filepath.Join(s.conf.Path, name)
		if err := clearPlace(dir, true, s.log); err != nil {
			return err
		}
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := makeFolder(dir); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return clearPlace(filepath.Join(s.conf.Path, "ballast"), false, s.log)
}

// clearPlace moves what stands in the place of a folder or a file of the spool
// out of its way, to the quarantine.
func clearPlace(place string, folder bool, log Logger) error {
	if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if fi, err := os.Stat(place); err == nil && fi.IsDir() == folder {
		return nil // a link to one is as good
	}
	quarantine := filepath.Join(filepath.Dir(place), "quarantine")
	from := place
	if place == quarantine {
		from = place + ".foreign"
		if err := os.Rename(place, from); err != nil {
			return fmt.Errorf("clear place: %w", err)
		}
	}
	if err := os.MkdirAll(quarantine, 0o755); err != nil {
		return fmt.Errorf("clear place: %w", err)
	}
	to := asideName(quarantine, place)
	log.Error("something else stood in the place of a part of the spool; it is kept in quarantine", "place", place, "quarantine", to)
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("clear place: %w", err)
	}
	return nil
}

// asideName is the name in quarantine of what was at path.
func asideName(quarantine, path string) string {
	return filepath.Join(quarantine, fmt.Sprintf("%s-%s-%020d", filepath.Base(filepath.Dir(path)), filepath.Base(path), time.Now().UnixNano()))
}

// setAside moves what cannot be opened to the quarantine, for salvage by hand,
// and counts it.
func (s *Spool) setAside(dir string, cause error) error {
	to := asideName(s.quarantine, dir)
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

// keepHarmed keeps the bytes of a damaged chunk, before they go with their
// segment. Where Badger does not give them, there is nothing to be kept.
func (s *Spool) keepHarmed(seg *segment, head block, item *badger.Item) {
	data, err := item.ValueCopy(nil)
	if err != nil || len(data) == 0 {
		return
	}
	to := asideName(s.quarantine, fmt.Sprintf("%s/%d-%d.chunk", seg.id.name(), head.first, head.last))
	if err := os.WriteFile(to, data, 0o644); err != nil {
		s.log.Warn("damaged records are not kept in quarantine", "segment", seg.id.name(), "first", head.first, "error", err)
		_ = os.Remove(to)
	}
	s.boundQuarantine()
}

// boundQuarantine counts what is in quarantine and lets the oldest go while it
// takes more than an eighth of the cap.
func (s *Spool) boundQuarantine() {
	for treeBytes(s.quarantine) > int64(s.conf.MaxBytes)/8 && len(s.inQuarantine()) > 1 {
		if s.shedQuarantine() == 0 {
			break
		}
	}
	s.quarantined.Store(int64(len(s.inQuarantine())))
	s.asideUse.Store(treeBytes(s.quarantine))
}

// inQuarantine lists what was set aside, oldest first.
func (s *Spool) inQuarantine() []os.DirEntry {
	names, _ := os.ReadDir(s.quarantine)
	sort.Slice(names, func(i, j int) bool { return setAsideAt(names[i].Name()) < setAsideAt(names[j].Name()) })
	return names
}

// shedQuarantine lets the oldest thing in quarantine go, and returns how much
// that gives back.
func (s *Spool) shedQuarantine() (gained int64) {
	names := s.inQuarantine()
	if len(names) == 0 {
		return 0
	}
	oldest := filepath.Join(s.quarantine, names[0].Name())
	gained = treeBytes(oldest)
	s.log.Warn("quarantine takes room that records need; the oldest in it goes", "store", names[0].Name())
	if err := os.RemoveAll(oldest); err != nil {
		return 0
	}
	s.quarantined.Store(int64(len(names) - 1))
	s.asideUse.Store(treeBytes(s.quarantine))
	return gained
}

// setAsideAt is the part of a name that tells when the store was set aside.
func setAsideAt(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }
