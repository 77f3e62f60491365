package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// The keys of a history store, by their first byte. Detections will come
// under 'd'; readers pass over what they do not know.
const (
	histException = 'x' // · length of stream · stream · sequence u64 → exceptionRow
	histOutcomes  = 'o' // · length of stream · stream · first u64 · last u64 → outcomeRows
)

// histStores is how many history stores are kept at most; the oldest goes.
const histStores = 8

// A history keeps what became of records in rotated stores hist/<n>/: written
// to the newest one, dropped whole. All methods may be called concurrently.
type history struct {
	dir     string
	shape   storeShape
	limit   int64
	faults  *faultLog
	damaged func(dir string, cause error) error
	// dropped is told the exceptions of a store that goes, by stream.
	dropped func(exceptions map[string]int64)
	// view, if set, opens stores without changing them; nothing is written.
	view func(dir string, shape storeShape) (*badger.DB, error)

	mu      sync.Mutex
	numbers []uint64 // of the stores, oldest first
	db      *badger.DB
	used    int64
	keys    int
	noted   map[string]*noted // outcomes that are not written yet, by stream
	waiting int
}

func openHistory(dir string, limit int64, faults *faultLog) (*history, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	h := &history{dir: dir, shape: segmentShape(limit), limit: limit, faults: faults, noted: map[string]*noted{}}
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
	slices.Sort(h.numbers)
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
	if err := h.writable(size, len(pairs)); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	before := h.faults.count.Load()
	err := h.db.Update(func(txn *badger.Txn) error {
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
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// writable makes sure that the newest store is open and takes that much more.
func (h *history) writable(size int64, keys int) error {
	if h.db != nil && h.used+size <= h.limit && h.keys+keys <= keysPerSegment {
		return nil
	}
	if h.db == nil && len(h.numbers) > 0 {
		if err := h.reopen(); err == nil && h.used+size <= h.limit && h.keys+keys <= keysPerSegment {
			return nil
		}
	}
	if h.db != nil {
		_ = h.db.Close()
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
	h.db, h.used, h.keys = db, 0, 0
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
	db, err := openStore(h.path(last), h.shape, 1, h.faults)
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
	for len(h.numbers) >= histStores {
		n := h.numbers[0]
		gone := map[string]int64{}
		_ = h.read(n, []byte{histException}, func(key, _ []byte) error {
			gone[string(key[2:2+int(key[1])])]++
			return nil
		})
		if err := os.RemoveAll(h.path(n)); err != nil {
			return fmt.Errorf("drop history: %w", err)
		}
		h.numbers = h.numbers[1:]
		h.dropped(gone)
	}
	return nil
}

// each visits the pairs under prefix, store by store, oldest first.
func (h *history) each(prefix []byte, visit func(key, value []byte) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range slices.Clone(h.numbers) {
		if err := h.read(n, prefix, visit); err != nil {
			return fmt.Errorf("read history: %w", err)
		}
	}
	return nil
}

// read visits the pairs of one store; h.mu is held.
func (h *history) read(n uint64, prefix []byte, visit func(key, value []byte) error) error {
	if h.view != nil {
		db, err := h.view(h.path(n), h.shape)
		if err != nil {
			return err
		}
		defer db.Close()
		return eachPair(db, prefix, visit)
	}
	if h.db == nil && n == h.numbers[len(h.numbers)-1] {
		if err := h.reopen(); err != nil {
			return nil // set aside, and said so
		}
	}
	if h.db != nil && n == h.numbers[len(h.numbers)-1] {
		return eachPair(h.db, prefix, visit)
	}
	db, err := h.openOld(n)
	if err != nil {
		_ = h.giveUp(n, err)
		return nil
	}
	defer db.Close()
	return eachPair(db, prefix, visit)
}

// openOld opens a store for reading. One that a crash closed must be mended
// by Badger first.
func (h *history) openOld(n uint64) (*badger.DB, error) {
	db, err := openSealed(h.path(n), h.shape, h.faults)
	if err != nil {
		db, err = openMarked(h.path(n), h.shape, 1, false, h.faults)
	}
	return db, err
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
	if err := db.Close(); err != nil {
		return fmt.Errorf("close history: %w", err)
	}
	return nil
}
