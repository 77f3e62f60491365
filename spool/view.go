package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// A viewer opens the stores of a spool that no agent holds, and changes
// nothing of them: stores that were closed well are opened read-only, others
// are copied, because opening would mend them.
type viewer struct {
	tmp    string
	copies int
	faults *faultLog
}

func (v *viewer) open(dir string, shape storeShape) (*badger.DB, error) {
	if clean(dir) {
		return openRead(dir, shape, true, v.faults)
	}
	v.copies++
	return openCopy(dir, filepath.Join(v.tmp, strconv.Itoa(v.copies)), shape, v.faults)
}

// clean tells whether a store was closed well: Badger leaves no log of keys
// then.
func clean(dir string) bool {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	return err == nil && len(logs) == 0
}

// view opens a spool for looking only. The closer gives everything back.
func view(path string) (s *Spool, closer func(), err error) {
	lock, err := os.Open(filepath.Join(path, "LOCK"))
	if err != nil {
		return nil, nil, fmt.Errorf("look into spool: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, nil, fmt.Errorf("look into spool %s: %w; stop it first, or ask it with status", path, ErrLocked)
	}
	tmp, err := os.MkdirTemp("", "edgespool-view-")
	if err != nil {
		lock.Close()
		return nil, nil, fmt.Errorf("look into spool: %w", err)
	}
	s = newSpool(Config{Path: path}.withDefaults())
	s.lock = lock
	closer = func() {
		for _, seg := range s.table.list() {
			_ = seg.close()
		}
		if s.meta != nil {
			_ = s.meta.close()
		}
		if s.codec != nil {
			s.codec.close()
		}
		lock.Close()
		_ = os.RemoveAll(tmp)
	}
	s.table = &segmentTable{dir: filepath.Join(path, "seg"), faults: s.faults, keep: s.lim.openSealed}
	if err := s.loadView(&viewer{tmp: tmp, faults: s.faults}); err != nil {
		closer()
		return nil, nil, fmt.Errorf("look into spool %s: %w", path, err)
	}
	return s, closer, nil
}

// loadView finds the segments and gives the view everything to read them.
func (s *Spool) loadView(v *viewer) error {
	if _, err := os.Stat(filepath.Join(s.conf.Path, "FORMAT")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no FORMAT in it, so it is no spool", ErrDamaged)
	}
	epoch, err := readFormat(filepath.Join(s.conf.Path, "FORMAT"))
	if err != nil {
		return err
	}
	if s.codec, err = newCodec(epoch); err != nil {
		return err
	}
	s.table.codec, s.table.shape = s.codec, segmentShape(largeBoard)
	s.table.open = func(seg *segment) (*badger.DB, error) { return v.open(seg.dir, s.table.shape) }
	s.meta = &metaStore{dir: filepath.Join(s.conf.Path, "meta"), faults: s.faults}
	if gens, err := generations(s.meta.dir); err == nil && len(gens) > 0 {
		s.meta.gen = gens[len(gens)-1]
		dir := s.meta.path(s.meta.gen)
		if s.meta.db, err = openCopy(dir, filepath.Join(v.tmp, "meta"), storedShape(dir), s.faults); err != nil {
			s.log.Warn("meta cannot be read", "error", err)
			s.meta.db = nil
		}
	}
	s.hist = &history{dir: filepath.Join(s.conf.Path, "hist"), shape: segmentShape(s.lim.hist), faults: s.faults, view: v.open}
	if err := s.hist.list(); err != nil {
		return err
	}
	return s.viewSegments()
}

// viewSegments builds the table from what is in the segments, whatever meta
// says of them.
func (s *Spool) viewSegments() error {
	names, err := os.ReadDir(s.table.dir)
	if err != nil {
		return err
	}
	for _, d := range names {
		if id, ok := parseSegmentName(d.Name()); ok {
			s.table.add(&segment{id: id, dir: s.table.path(id), row: segmentRow{ID: id, Last: id.First - 1, Sealed: true}})
		}
	}
	all := s.table.list()
	for i, seg := range all {
		limit := uint64(math.MaxUint64)
		if i+1 < len(all) {
			limit = all[i+1].id.First
		}
		err := s.table.view(seg, func(db *badger.DB) error {
			row, err := s.rebuildRow(seg, db, limit)
			row.Sealed, row.Disk = true, treeBytes(seg.dir)
			s.table.mu.Lock()
			defer s.table.mu.Unlock()
			seg.row = row
			s.writtenSeq = max(s.writtenSeq, row.Last)
			return err
		})
		if err != nil {
			seg.broken = err
		}
	}
	return nil
}
