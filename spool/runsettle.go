package spool

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// looseKept is how many runs may wait to be made durable. Each that is made so
// alone costs the file system's journal as much as the run is long.
const looseKept = mergeRuns

// looseRuns are the runs that a power cut can spoil, but for those that are to
// be made anew anyway.
func (x *seenIndex) looseRuns() (loose []*run) {
	for _, r := range x.runs {
		if r.loose() && !r.bad.Load() {
			loose = append(loose, r)
		}
	}
	return loose
}

// holdsLoose tells whether the identities of a segment are in a run that a
// power cut can spoil, so that the segment has to stay.
func (x *seenIndex) holdsLoose(row segmentRow) bool {
	return slices.ContainsFunc(x.runs, func(r *run) bool { return r.loose() && r.first <= row.Last && row.ID.First <= r.last })
}

// settle makes that run and those durable: before that nothing goes from which
// they could be made again.
func (x *seenIndex) settle(mu *sync.Mutex, these ...*run) error {
	if len(these) == 0 {
		return nil
	}
	if err := syncTogether(these); err != nil {
		return err
	}
	if err := syncDir(x.dir); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	for _, r := range these { // a power cut may take the new name back: a start looks through the run then
		path := strings.TrimSuffix(r.path, looseRun) + runEnd
		if err := os.Rename(r.path, path); err != nil {
			return fmt.Errorf("settle run: %w", err)
		}
		r.path = path
	}
	return nil
}

// syncTogether syncs runs so that the file system's journal has to be written
// once for all: their bytes are on their way before the first sync.
func syncTogether(runs []*run) error {
	files := make([]*os.File, len(runs))
	for i, r := range runs {
		f, err := os.OpenFile(r.path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("sync run: %w", err)
		}
		defer f.Close()
		files[i] = f
	}
	const write, wait = unix.SYNC_FILE_RANGE_WRITE, unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for _, flags := range []int{write, wait} {
		for _, f := range files {
			_ = unix.SyncFileRange(int(f.Fd()), 0, 0, flags) // only for speed; the sync tells
		}
	}
	for i, f := range files {
		if err := f.Sync(); err != nil {
			runs[i].bad.Store(true) // another sync would find nothing to do
			return fmt.Errorf("sync run %s: %w", runs[i].path, err)
		}
	}
	return nil
}
