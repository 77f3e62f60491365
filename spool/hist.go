package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// The keys of a history store, by their first byte; readers pass over what they
// do not know. Detections have stores of their own.
const (
	histException = 'x' // · length of stream · stream · sequence u64 → exceptionRow
	histOutcomes  = 'o' // · length of stream · stream · first u64 · last u64 → outcomeRows
	histTag       = 't' // · length of stream · stream · 16 bytes of the uid's SHA-256 → Tag
)

// histStores is how many history stores are kept at most; the oldest goes.
const histStores = 8

// errEnough ends a visit before its time.
var errEnough = errors.New("enough")

// A history keeps what became of records in rotated stores hist/<n>/: written
// to the newest one, dropped whole. All methods may be called concurrently.
type history struct {
	dir   string
	shape storeShape
	limit int64
	// most is how many stores there are at most, keysLimit how many keys each
	// takes.
	most, keysLimit int
	faults          *faultLog
	damaged         func(dir string, cause error) error
	// dropped is told the exceptions of a store that goes, by stream.
	dropped func(exceptions map[string]int64)

	mu      sync.Mutex
	numbers []uint64 // of the stores, oldest first
	db      *badger.DB
	torn    bool // a commit failed; a start may not read on behind it
	used    int64
	keys    int
	noted   map[string]*noted // outcomes that are not written yet, by stream
	waiting int
}

func openHistory(dir string, limit int64, faults *faultLog) (*history, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	h := &history{dir: dir, shape: historyShape(limit), limit: limit, most: histStores, keysLimit: keysPerSegment, faults: faults, noted: map[string]*noted{}}
	if err := sweepStores(dir); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	if err := h.list(); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	return h, nil
}

// list finds the stores.
func (h *history) list() error {
	names, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	for _, d := range names {
		if n, err := strconv.ParseUint(d.Name(), 10, 64); err == nil {
			h.numbers = append(h.numbers, n)
		}
	}
	sort.Slice(h.numbers, func(i, j int) bool { return h.numbers[i] < h.numbers[j] })
	return nil
}

func (h *history) path(n uint64) string { return filepath.Join(h.dir, fmt.Sprintf("%08d", n)) }

// put makes the pairs durable, all or none.
func (h *history) put(pairs ...metaPair) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var size int64
	for _, p := range pairs {
		size += int64(len(p.key)+len(p.value)) + 128
	}
	err := h.faults.takesWrites()
	if err == nil {
		err = h.writable(size, len(pairs))
	}
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	before := h.faults.count.Load()
	err = h.db.Update(func(txn *badger.Txn) error {
		for _, p := range pairs {
			if err := txn.Set(p.key, sealValue(p.key, p.value)); err != nil {
				return err
			}
		}
		return nil
	})
	h.used += size
	h.keys += len(pairs)
	if err == nil && h.faults.count.Load() != before {
		err = errors.New("the store reported a fault")
	}
	if err != nil {
		h.torn = true
		return fmt.Errorf("write history: %w", readOnlyError(err))
	}
	return nil
}

// writable makes sure that the newest store is open and takes that much more.
func (h *history) writable(size int64, keys int) error {
	if h.takesHeld(size, keys) {
		return nil
	}
	if h.db == nil && len(h.numbers) > 0 {
		if err := h.reopen(); err == nil && h.takesHeld(size, keys) {
			return nil
		}
	}
	if h.db != nil {
		if err := roomToFlush(h.dir); err != nil {
			return err
		}
		if err := closeStore(h.db); staysOpen(err) {
			return err
		}
		h.db = nil
	}
	if err := h.dropOldest(); err != nil {
		return err
	}
	n := uint64(1)
	if len(h.numbers) > 0 {
		n = h.numbers[len(h.numbers)-1] + 1
	}
	db, err := openStore(h.path(n), h.shape, 0, h.faults)
	if err != nil {
		return err
	}
	h.db, h.used, h.keys, h.torn = db, 0, 0, false
	h.numbers = append(h.numbers, n)
	return nil
}

// reopen goes on with the store of the run before. Each start adds a table to
// it, and without compactors a store of many tables takes no more of them.
func (h *history) reopen() error {
	last := h.numbers[len(h.numbers)-1]
	if filesIn(h.path(last)) >= reopenLimit {
		if err := h.renew(last); err != nil {
			return h.giveUp(last, err)
		}
	}
	db, err := h.openLast(last)
	if err != nil {
		return h.giveUp(last, err)
	}
	h.db, h.used, h.keys = db, 0, 0
	return eachPair(db, nil, func(key, value []byte) error {
		h.used += int64(len(key)+len(value)) + 128
		h.keys++
		return nil
	})
}

// openLast opens a store for writing. What opening it would cut off, or leave
// out, is saved first.
func (h *history) openLast(n uint64) (*badger.DB, error) {
	damaged, err := scanPairs(h.path(n), func(storedPair) {})
	if err != nil {
		return nil, err
	}
	if damaged {
		err = h.salvage(n, errDamagedLog)
	}
	if err != nil {
		return nil, err
	}
	db, err := openStore(h.path(n), h.shape, 0, h.faults)
	if err == nil || isDiskFault(err) {
		return db, err
	}
	if err := h.salvage(n, err); err != nil {
		return nil, err
	}
	return openStore(h.path(n), h.shape, 0, h.faults)
}

// giveUp sets a store aside that does not open.
func (h *history) giveUp(n uint64, cause error) error {
	if isDiskFault(cause) {
		return cause
	}
	h.numbers = slices.DeleteFunc(h.numbers, func(o uint64) bool { return o == n })
	if err := h.damaged(h.path(n), cause); err != nil {
		return err
	}
	return cause
}

// dropOldest removes stores until one more may begin.
func (h *history) dropOldest() error {
	for len(h.numbers) >= h.most {
		n := h.numbers[0]
		gone := map[string]int64{}
		for key := range h.onlyIn(n) {
			gone[key[2:2+int(key[1])]]++
		}
		if err := os.RemoveAll(h.path(n)); err != nil {
			return fmt.Errorf("drop history: %w", err)
		}
		h.numbers = slices.DeleteFunc(h.numbers, func(o uint64) bool { return o == n })
		h.dropped(gone)
	}
	return nil
}

// onlyIn are the keys of the exceptions that go with a store: a later one says
// nothing of them. No store is open; h.mu is held.
func (h *history) onlyIn(oldest uint64) map[string]bool {
	keys := map[string]bool{}
	for _, n := range slices.Clone(h.numbers) {
		if n != oldest && len(keys) == 0 {
			break
		}
		_ = h.lookClosed(n, func(db *badger.DB) error {
			return eachPair(db, []byte{histException}, func(key, value []byte) error {
				var row exceptionRow
				switch {
				case n != oldest:
					delete(keys, string(key))
				case envelopeDec.Unmarshal(value, &row) == nil && row.Outcome.Fate == FateRejected:
					keys[string(key)] = true
				}
				return nil
			})
		})
	}
	return keys
}

// each visits the pairs under prefix from a key on, store by store, oldest
// first, until visit answers errEnough.
func (h *history) each(prefix, from []byte, visit func(key, value []byte) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range slices.Clone(h.numbers) {
		err := h.look(n, func(db *badger.DB) error { return eachPairFrom(db, prefix, from, visit) })
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
	}
	return nil
}

// look opens one store for reading; h.mu is held. One that does not open is
// set aside.
func (h *history) look(n uint64, use func(db *badger.DB) error) error {
	newest := len(h.numbers) > 0 && n == h.numbers[len(h.numbers)-1]
	if newest && h.db == nil {
		if err := h.reopen(); err != nil {
			return nil // set aside, and said so
		}
	}
	if newest {
		return use(h.db)
	}
	return h.lookClosed(n, use)
}

// lookClosed is look for a store that is not open.
func (h *history) lookClosed(n uint64, use func(db *badger.DB) error) error {
	db, err := h.openOld(n)
	if err != nil {
		_ = h.giveUp(n, err)
		return nil
	}
	defer func() { _ = closeStore(db) }()
	return use(db)
}

// openOld opens a store for reading. One that a crash closed must be mended by
// Badger first, which keeps goroutines and mappings of a reading that fails for
// that, and a damaged one is built anew.
func (h *history) openOld(n uint64) (*badger.DB, error) {
	if !hasKeyLog(h.path(n)) {
		db, err := openSealed(h.path(n), h.shape, h.faults)
		if err == nil || isDiskFault(err) {
			return db, err
		}
	}
	return h.openLast(n)
}

// disk is the most that the history takes.
func (h *history) disk() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return treeBytes(h.dir)
}

func (h *history) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.db == nil {
		return nil
	}
	db := h.db
	h.db = nil
	if err := closeStore(db); err != nil {
		return fmt.Errorf("close history: %w", err)
	}
	return nil
}
