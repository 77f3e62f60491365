package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// renew builds a history store anew, so that its many tables become one.
func (h *history) renew(n uint64) error {
	dir := h.path(n)
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("renew history: %w", err)
	}
	old, err := h.openOld(n)
	if err != nil {
		return err
	}
	db, err := openStore(fresh, h.shape, 0, h.faults)
	if err == nil {
		err = copyPairs(db, old)
		if cerr := db.Close(); err == nil {
			err = cerr
		}
	}
	_ = old.Close()
	if err == nil {
		err = syncDir(fresh)
	}
	if err != nil {
		return fmt.Errorf("renew history: %w", err)
	}
	if err := os.Rename(dir, dir+".del"); err != nil {
		return fmt.Errorf("renew history: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return fmt.Errorf("renew history: %w", err)
	}
	if err := syncDir(h.dir); err != nil {
		return err
	}
	return os.RemoveAll(dir + ".del")
}

// copyPairs writes the pairs of a store to another one, some at a time.
func copyPairs(to, from *badger.DB) error {
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
	err := eachPair(from, nil, func(key, value []byte) error {
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

// sweepStores ends deletions and renewals that a crash cut short, before
// anything is opened. A new store without the old one is whole.
func sweepStores(parent string) error {
	names, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("sweep stores: %w", err)
	}
	for _, d := range names {
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
