package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// renew builds a history store anew, so that its many tables become one.
func (h *history) renew(n uint64) error {
	old, err := h.openOld(n)
	if err != nil {
		return err
	}
	defer func() { _ = closeStore(old) }()
	gone := h.path(n) + ".del"
	err = h.replace(n, func(visit func(key, value []byte) error) error { return eachPair(old, nil, visit) },
		func() error { return os.Rename(h.path(n), gone) })
	if err != nil {
		return fmt.Errorf("renew history: %w", err)
	}
	return os.RemoveAll(gone)
}

// salvage builds a history store anew from the pairs in its files, and sets
// the old one aside. One that is whole, and at which a start was only stopped,
// leaves nothing to be set aside.
func (h *history) salvage(n uint64, cause error) error {
	pairs, damaged, err := wholePairs(h.path(n))
	if err != nil {
		return err
	}
	away := func() error { return h.damaged(h.path(n), cause) }
	if !damaged && errors.Is(cause, errSuspect) {
		away = func() error { return discardStore(h.path(n)) }
	}
	err = h.replace(n, func(visit func(key, value []byte) error) error { return eachOf(pairs, nil, visit) }, away)
	if err != nil {
		return fmt.Errorf("salvage history: %w", err)
	}
	return nil
}

// replace puts a new store of these pairs in the place of an old one, after
// away has moved that.
func (h *history) replace(n uint64, each func(visit func(key, value []byte) error) error, away func() error) error {
	fresh := h.path(n) + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	db, err := openStore(fresh, h.shape, 0, h.faults)
	if err != nil {
		return err
	}
	err = copyPairs(db, each)
	if cerr := closeStore(db); err == nil {
		err = cerr
	}
	if err == nil {
		err = syncDir(fresh)
	}
	if err == nil {
		err = away()
	}
	if err == nil {
		err = os.Rename(fresh, h.path(n))
	}
	if err != nil {
		return err
	}
	return syncDir(h.dir)
}

// copyPairs writes pairs to a store, some at a time.
func copyPairs(to *badger.DB, each func(visit func(key, value []byte) error) error) error {
	var batch []metaPair
	size := 0
	flush := func() error {
		err := to.Update(func(txn *badger.Txn) error {
			for _, p := range batch {
				if err := txn.Set(p.key, sealValue(p.key, p.value)); err != nil {
					return err
				}
			}
			return nil
		})
		batch, size = batch[:0], 0
		return err
	}
	err := each(func(key, value []byte) error {
		batch = append(batch, metaPair{key, value})
		if size += len(key) + len(value); size < 64<<10 && len(batch) < 256 {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// discardStore removes a store that a new one takes the place of. It is renamed
// first: a start that found a part of it would take that for the store, and
// remove the new one.
func discardStore(dir string) error {
	gone := dir + ".del"
	if err := os.Rename(dir, gone); err != nil {
		return err
	}
	_ = os.RemoveAll(gone) // else the next start does
	return nil
}

// sweepStores ends deletions and renewals that a crash cut short, before
// anything is opened. A new store without the old one is whole.
func sweepStores(parent string) error {
	names, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("sweep stores: %w", err)
	}
	for _, d := range names {
		if !isStoreName(strings.TrimSuffix(strings.TrimSuffix(d.Name(), ".new"), ".del")) {
			continue // somebody else's
		}
		dir := filepath.Join(parent, d.Name())
		old, renewed := strings.CutSuffix(dir, ".new")
		_, kept := os.Stat(old)
		switch {
		case strings.HasSuffix(dir, ".del"), renewed && kept == nil:
			err = os.RemoveAll(dir)
		case renewed:
			err = os.Rename(dir, old)
		}
		if err != nil {
			return fmt.Errorf("sweep stores: %w", err)
		}
	}
	return syncDir(parent)
}

// isStoreName tells whether a folder of that name is one of ours.
func isStoreName(name string) bool {
	_, segment := parseSegmentName(name)
	_, err := strconv.ParseUint(name, 10, 64)
	return segment || err == nil
}
