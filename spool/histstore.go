package spool

import (
	"os"
	"slices"
)

// takes tells whether the newest store is open and takes that much more.
func (h *history) takes(size int64, keys int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.takesHeld(size, keys)
}

func (h *history) takesHeld(size int64, keys int) bool {
	return h.db != nil && !h.torn && h.used+size <= h.limit && h.keys+keys <= h.keysLimit
}

// makeWritable makes sure that the newest store takes that much more.
func (h *history) makeWritable(size int64, keys int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.faults.takesWrites(); err != nil {
		return err
	}
	return h.writable(size, keys)
}

// resume opens the newest store for writing if there is one, and names it.
func (h *history) resume() (n uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.numbers) == 0 {
		return 0, nil
	}
	n = h.numbers[len(h.numbers)-1]
	if h.db == nil {
		err = h.reopen()
	}
	return n, err
}

// crowded tells whether the newest store has many values that are small.
func (h *history) crowded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	const many, small = 64, 4 << 10
	return h.db != nil && h.keys >= many && h.used/int64(h.keys) < small
}

// all names the stores, oldest first, and the one that is being written; 0 if
// none is.
func (h *history) all() (numbers []uint64, open uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.db != nil {
		open = h.numbers[len(h.numbers)-1]
	}
	return slices.Clone(h.numbers), open
}

// mend builds a store anew from the pairs that are whole, and sets the old one
// aside.
func (h *history) mend(n uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.salvage(n, errDamagedLog)
	if err == nil || isDiskFault(err) {
		return err
	}
	_ = h.giveUp(n, err)
	return nil
}

// rebuild puts a store of these pairs in the place of the newest one, which it
// closes first. broken tells, once each has come to its end, whether the old one
// is to be set aside.
func (h *history) rebuild(n uint64, each func(visit func(key, value []byte) error) error, broken func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.db != nil {
		if err := roomToFlush(h.dir); err != nil {
			return err
		}
		if err := closeStore(h.db); staysOpen(err) {
			return err
		}
		h.db = nil
	}
	gone := h.path(n) + ".del"
	err := h.replace(n, each, func() error {
		if cause := broken(); cause != nil {
			return h.damaged(h.path(n), cause)
		}
		return os.Rename(h.path(n), gone)
	})
	if err != nil {
		return err
	}
	return os.RemoveAll(gone)
}
