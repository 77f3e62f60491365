package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// The keys of meta, by their first byte.
const (
	metaSegment   = 'g' // · segment name → segmentRow
	metaStream    = 'c' // · stream name → streamRow
	metaBoot      = 'b' // · boot id → bootRow
	metaSetting   = 'v' // · name → value
	metaFact      = 'k' // · length of source · source · number u64 → 1 or 0 and 16-byte keys
	metaForgotten = 'f' // · length of dataset · dataset · from u64 → to u64
	metaCounters  = 'e' // → counterRow
	metaWear      = 'w' // → wearRow
	metaSeen      = 'i' // → u64, before which no identity is remembered

	metaDetections = 'd' // → u64, before which the ids of detections may have been given
)

const readyName = "READY"

// A metaStore holds the spool's small facts in meta/<generation>/. A generation
// is written by one process only and never flushed or compacted: when as much
// as it began with came anew, what still counts is copied to the next
// generation, which becomes valid by one rename. All methods may be called
// concurrently.
type metaStore struct {
	dir    string
	faults *faultLog

	mu  sync.Mutex
	gen uint64
	// unsure: a start may take the next generation for the newest, though this
	// one is still written; nothing is until there is a newer one.
	unsure bool
	// torn: a commit failed, so that its bytes may be missing on the disk, and a
	// start would not read on behind them.
	torn  bool
	db    *badger.DB
	shape storeShape
	load  metaLoad     // what this generation has taken
	base  metaLoad     // of that, by the copy that it began with
	disk  atomic.Int64 // that this generation and the next one take
	next  atomic.Int64 // of that, by the next one
	old   []*badger.DB // of generations before, which are still to be closed
	// facts writes the remembered keys to the next generation, in place of
	// their rows here.
	facts func(put func(key, value []byte) error) error
}

// openMeta opens the newest whole generation by copying it to the next one.
// damaged is told of a generation that cannot be read; it is to set it aside.
func openMeta(dir string, faults *faultLog, damaged func(dir string, cause error) error) (*metaStore, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open meta: %w", err)
	}
	m := &metaStore{dir: dir, faults: faults}
	gens, err := generations(dir)
	if err != nil {
		return nil, err
	}
	for len(gens) > 0 {
		newest := gens[len(gens)-1]
		gens = gens[:len(gens)-1]
		m.gen = max(m.gen, newest)
		err := m.adopt(newest, damaged)
		if err == nil {
			break
		}
		if isDiskFault(err) {
			return nil, err
		}
		if err := damaged(m.path(newest), err); err != nil {
			return nil, err
		}
	}
	if m.db == nil {
		if err := m.begin(nil); err != nil {
			return nil, err
		}
	}
	return m, m.sweep()
}

func (m *metaStore) path(gen uint64) string { return filepath.Join(m.dir, fmt.Sprintf("%08d", gen)) }

// generations lists the whole generations, oldest first.
func generations(dir string) ([]uint64, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list meta: %w", err)
	}
	var gens []uint64
	for _, d := range names {
		gen, err := strconv.ParseUint(d.Name(), 10, 64)
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, d.Name(), readyName)); err == nil {
			gens = append(gens, gen)
		}
	}
	sort.Slice(gens, func(i, j int) bool { return gens[i] < gens[j] })
	return gens, nil
}

// adopt begins a generation with the content of an older one. It opens a copy,
// because opening a store changes it.
func (m *metaStore) adopt(gen uint64, damaged func(dir string, cause error) error) error {
	dir := m.path(gen)
	suspect := markerCount(dir) > 0
	if err := mark(dir, 0); err != nil {
		return fmt.Errorf("mark meta: %w", err)
	}
	old, cause, err := m.openOld(dir, suspect)
	if err == nil {
		err = m.begin(old)
		m.closeOld(old)
	}
	if err != nil {
		_ = unmark(dir)
		return err
	}
	if cause != nil {
		return damaged(dir, cause)
	}
	return nil
}

// openOld opens a copy of a generation, or what can be read of one that is
// damaged: then cause says why. At a suspect one an earlier start died or was
// stopped, so Badger does not get to see it again.
func (m *metaStore) openOld(dir string, suspect bool) (old *badger.DB, cause, err error) {
	copied := filepath.Join(m.dir, "opening")
	pairs, bad, err := wholePairs(dir)
	switch {
	case err != nil:
		return nil, nil, err
	case bad:
		cause = errDamagedLog
	case !suspect:
		old, err := openCopy(dir, copied, storedShape(dir), m.faults)
		if err == nil || isDiskFault(err) {
			return old, nil, err
		}
		cause = err
	}
	var load metaLoad
	for _, p := range pairs {
		load.add(p)
	}
	old, err = buildStore(copied, pairs, metaShape(load), m.faults)
	return old, cause, err
}

// begin makes the next generation, fills it from old, and switches to it.
func (m *metaStore) begin(old *badger.DB) error {
	next := m.gen + 1
	for m.lingers(m.path(next)) {
		next++
	}
	dir := m.path(next)
	err := os.RemoveAll(dir)
	if err != nil {
		return fmt.Errorf("begin meta %d: %w", next, err)
	}
	var begins metaLoad
	if old != nil {
		if begins, err = m.measure(old); err != nil {
			return err
		}
	}
	shape := metaShape(begins)
	db, err := openStore(dir, shape, 0, m.faults)
	if err != nil {
		return err
	}
	fresh := &metaStore{dir: m.dir, faults: m.faults, db: db, gen: next, facts: m.facts}
	if old != nil {
		err = fresh.fill(old)
	}
	if err == nil {
		err = writeDurably(filepath.Join(dir, readyName), []byte("edgespool meta 1\n"))
	}
	if err == nil {
		err = syncDir(m.dir)
	}
	if err != nil {
		m.unsure = !m.revoke(next)
		m.closeOld(db)
		return fmt.Errorf("begin meta %d: %w", next, err)
	}
	m.unsure, m.torn = false, false
	m.db, m.gen, m.shape = db, next, shape
	m.load, m.base = fresh.load, fresh.load
	m.reserve()
	return nil
}

// revoke makes sure that no start takes a generation for whole whose beginning
// failed: it may have been durable all the same.
func (m *metaStore) revoke(gen uint64) bool {
	err := os.Remove(filepath.Join(m.path(gen), readyName))
	if errors.Is(err, fs.ErrNotExist) {
		return true // it never had the name that counts
	}
	return err == nil && syncDir(m.path(gen)) == nil
}

// fill copies what still counts from an older generation.
func (m *metaStore) fill(old *badger.DB) error {
	var batch []metaPair
	size := 0
	put := func(key, value []byte) error {
		batch = append(batch, metaPair{key, value})
		if size += len(key) + len(value); size < 32<<10 && len(batch) < 256 {
			return nil
		}
		err := m.commit(batch)
		batch, size = batch[:0], 0
		return err
	}
	err := eachPair(old, nil, func(key, value []byte) error {
		if key[0] == metaFact && m.facts != nil {
			return nil
		}
		return put(key, value)
	})
	if err == nil && m.facts != nil {
		err = m.facts(put)
	}
	if err != nil {
		return err
	}
	return m.commit(batch)
}

// put makes the pairs durable, all or none.
func (m *metaStore) put(pairs ...metaPair) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return ErrClosed
	}
	if err := m.faults.takesWrites(); err != nil { // else a switch would fail otherwise
		return fmt.Errorf("write meta: %w", err)
	}
	if m.outgrown() || m.unsure || m.torn {
		if err := m.switchOver(); err != nil && (m.full() || m.unsure || m.torn) {
			return readOnlyError(err)
		}
	}
	return m.commit(pairs)
}

// switchOver goes to the next generation; m.mu is held.
func (m *metaStore) switchOver() error {
	old, gen := m.db, m.gen
	if err := m.begin(old); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(m.path(gen), readyName)); err != nil {
		return fmt.Errorf("remove meta %d: %w", gen, err)
	}
	m.closeOld(old)
	return nil
}

// closeOld closes and removes a generation that is not needed any more, and
// those that could not be closed before; see closeStore. Their folders stay
// until then: Badger would try for ever to write its table to one that is gone.
func (m *metaStore) closeOld(old *badger.DB) {
	m.old = append(m.old, old)
	if roomToFlush(m.dir) != nil {
		return
	}
	m.old = slices.DeleteFunc(m.old, func(db *badger.DB) bool {
		if staysOpen(closeStore(db)) {
			return false
		}
		_ = os.RemoveAll(db.Opts().Dir) // else the next start does; see sweep
		return true
	})
}

// lingers tells whether a folder is that of a generation still to be closed.
func (m *metaStore) lingers(path string) bool {
	return slices.ContainsFunc(m.old, func(db *badger.DB) bool { return db.Opts().Dir == path })
}

func (m *metaStore) commit(pairs []metaPair) error {
	if len(pairs) == 0 {
		return nil
	}
	if err := m.faults.takesWrites(); err != nil {
		return fmt.Errorf("write meta: %w", err)
	}
	before := m.faults.count.Load()
	err := m.db.Update(func(txn *badger.Txn) error {
		for _, p := range pairs {
			if p.value == nil {
				if err := txn.Delete(p.key); err != nil {
					return err
				}
			} else if err := txn.Set(p.key, sealValue(p.key, p.value)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range pairs {
		m.load.add(p)
	}
	m.reserve()
	if err == nil && m.faults.count.Load() != before {
		err = errors.New("the store reported a fault")
	}
	if err != nil {
		m.torn = true
		return fmt.Errorf("write meta: %w", readOnlyError(err))
	}
	return nil
}

// sweep removes all generations but the present one, and what is left of an
// opening.
func (m *metaStore) sweep() error {
	names, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("sweep meta: %w", err)
	}
	for _, d := range names {
		ours := d.Name() == "opening" || isStoreName(d.Name())
		if path := filepath.Join(m.dir, d.Name()); ours && path != m.path(m.gen) && !m.lingers(path) {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("sweep meta: %w", err)
			}
		}
	}
	return nil
}

func (m *metaStore) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return nil
	}
	db := m.db
	m.db = nil
	if err := closeStore(db); err != nil {
		return fmt.Errorf("close meta: %w", err)
	}
	return nil
}
