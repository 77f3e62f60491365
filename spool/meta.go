package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

	mu    sync.Mutex
	gen   uint64
	db    *badger.DB
	shape storeShape
	load  metaLoad // what this generation has taken
	base  metaLoad // of that, by the copy that it began with
	disk  atomic.Int64
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
		err := m.adopt(newest)
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
	slices.Sort(gens)
	return gens, nil
}

// adopt begins a generation with the content of an older one. It opens a copy,
// because opening a store changes it.
func (m *metaStore) adopt(gen uint64) error {
	if markerCount(m.path(gen)) > 1 {
		return fmt.Errorf("open meta %d: %w", gen, errSuspect)
	}
	marker := filepath.Join(m.path(gen), markerName)
	if err := os.WriteFile(marker, []byte(strconv.Itoa(markerCount(m.path(gen))+1)), 0o644); err != nil {
		return fmt.Errorf("mark meta: %w", err)
	}
	copied := filepath.Join(m.dir, "opening")
	old, err := openCopy(m.path(gen), copied, storedShape(m.path(gen)), m.faults)
	if err == nil {
		err = m.begin(old)
		_ = old.Close()
	}
	if err != nil {
		_ = os.Remove(marker)
		return err
	}
	return os.RemoveAll(copied)
}

// begin makes the next generation, fills it from old, and switches to it.
func (m *metaStore) begin(old *badger.DB) error {
	next := m.gen + 1
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
		_ = db.Close()
		return fmt.Errorf("begin meta %d: %w", next, err)
	}
	m.db, m.gen, m.shape = db, next, shape
	m.load, m.base = fresh.load, fresh.load
	m.reserve()
	return nil
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
	if m.outgrown() {
		if err := m.switchOver(); err != nil && m.full() {
			return err
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
	_ = old.Close()
	if err := os.RemoveAll(m.path(gen)); err != nil {
		return fmt.Errorf("remove meta %d: %w", gen, err)
	}
	return nil
}

func (m *metaStore) commit(pairs []metaPair) error {
	if len(pairs) == 0 {
		return nil
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
		return fmt.Errorf("write meta: %w", err)
	}
	return nil
}

// sweep removes everything but the present generation.
func (m *metaStore) sweep() error {
	names, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("sweep meta: %w", err)
	}
	for _, d := range names {
		if path := filepath.Join(m.dir, d.Name()); path != m.path(m.gen) {
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
	if err := db.Close(); err != nil {
		return fmt.Errorf("close meta: %w", err)
	}
	return nil
}
