package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// mapMargin is free space that has to be there where Badger makes a file and
// writes to its mapping before it can be allocated: a disk that is full by
// then is a SIGBUS, which nobody can catch. It is much more than those files
// take, so that somebody else who fills the disk does not get there meanwhile.
const mapMargin = 16 << 20

// roomToMap fails with ENOSPC where that much and the margin is not free.
func roomToMap(dir string, bytes int64) error {
	free, _, err := freeBytes(dir)
	if err == nil && free < bytes+mapMargin {
		return fmt.Errorf("%w: %d bytes are free, %s may take %d and needs %d to spare", syscall.ENOSPC, free, dir, bytes, mapMargin)
	}
	return err
}

// Somebody else who fills the disk may take what is free now before Badger has
// written its table, which takes long where many share few processors. So what
// goes within flushLook counts flushLooks times: that a flush may take. Where
// more than calmBytes are free no disk of a board is filled by then.
const (
	flushLook  = 50 * time.Millisecond
	flushLooks = 40
	calmBytes  = 512 << 20
)

// roomToFlush fails with ENOSPC where a store that was written must not be
// closed now: there is no room for its table, or soon will not be.
func roomToFlush(dir string) error {
	before, _, err := freeBytes(dir)
	if err != nil || before >= calmBytes {
		return err
	}
	if err := roomToMap(dir, 0); err != nil {
		return err
	}
	<-time.After(flushLook)
	now, _, err := freeBytes(dir)
	if err == nil && fills(before, now) {
		return fmt.Errorf("%w: %d bytes are free on the disk, but somebody fills it: %d went within %s", syscall.ENOSPC, now, before-now, flushLook)
	}
	return err
}

// fills tells whether the room for a table will be gone if it goes on as it
// went within one look.
func fills(before, now int64) bool { return now-flushLooks*max(before-now, 0) < mapMargin }

// closeStore closes a store. Of one that was written Badger makes a table of
// its keys, through a mapping, and tries that for ever: where there is no room
// for it, or the disk takes no writes, the store stays open, and the error is
// one of staysOpen. What it has is as durable as before, and whoever opens it
// next finds it as after a kill.
func closeStore(db *badger.DB) error {
	o := db.Opts()
	if o.ReadOnly {
		_ = db.Close() // it has nothing to write, but syncs its folder
		unlinkStore(o.Dir)
		return nil
	}
	err := roomToMap(filepath.Dir(o.Dir), 0)
	if err == nil {
		err = storeTakesWrites(o.Dir)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errStaysOpen, err)
	}
	return db.Close()
}

// errStaysOpen: closing a store failed without closing anything.
var errStaysOpen = errors.New("close store: it stays open")

func staysOpen(err error) bool { return errors.Is(err, errStaysOpen) }

// faultError says what a panic means in which opening a store has ended: on a
// disk that is full by now, that a mapping got no blocks; else that the store
// is damaged.
func faultError(dir string, readOnly bool, cause any) error {
	if !readOnly {
		if err := roomToMap(dir, 0); err != nil {
			return fmt.Errorf("open store %s: %w: %v", dir, err, cause)
		}
	}
	return fmt.Errorf("%w: open store %s: %v", ErrDamaged, dir, cause)
}
