package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// A metaPair is a key with its value; a nil value deletes the key.
type metaPair struct{ key, value []byte }

// full tells whether the generation can take nothing more. Until then one that
// is outgrown goes on where there is no room for the next: what is written to
// it may be the deletion that makes room.
func (m *metaStore) full() bool {
	return m.load.keys > m.shape.memTable-memTableBytes/4 || m.load.values > m.shape.log-metaLog/4
}

// A metaLoad is what pairs take in a generation's two logs.
type metaLoad struct {
	keys   int64 // of the memtable, at most
	values int64 // of the value log
}

func (l *metaLoad) add(p metaPair) {
	l.keys += int64(len(p.key)) + 160
	if len(p.value) > metaInline {
		l.values += int64(len(p.key)+len(p.value)) + 40
	} else {
		l.keys += int64(len(p.value))
	}
}

// metaShape is that of a generation which begins with so much: it has room
// for as much again, and for the smallest one's content.
func metaShape(begins metaLoad) storeShape {
	return storeShape{memTable: memTableBytes + 2*begins.keys, log: metaLog + 2*begins.values, inline: metaInline}
}

// outgrown tells whether it is time for the next generation. The memtable and
// the value log have half of their smallest size left then.
func (m *metaStore) outgrown() bool {
	return m.load.keys-m.base.keys > max(m.base.keys, memTableBytes/2) ||
		m.load.values-m.base.values > max(m.base.values, metaLog/2) || m.full()
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

// measure finds what the next generation will begin with, at most.
func (m *metaStore) measure(old *badger.DB) (begins metaLoad, err error) {
	err = eachPair(old, nil, func(key, value []byte) error {
		begins.add(metaPair{key, value})
		return nil
	})
	return begins, err
}

// reserve notes what this generation takes of the disk, and the next one may.
func (m *metaStore) reserve() { m.disk.Store(m.shape.disk() + metaShape(m.load).disk()) }

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

// get reads one value.
func (m *metaStore) get(key []byte) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var value []byte
	if m.db == nil {
		return nil, false
	}
	err := m.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		if value, err = item.ValueCopy(nil); err == nil {
			value, err = unsealValue(key, value)
		}
		return err
	})
	return value, err == nil
}

// each visits the pairs whose keys begin with prefix, in order.
func (m *metaStore) each(prefix []byte, visit func(key, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == nil {
		return ErrClosed
	}
	return eachPair(m.db, prefix, visit)
}

// eachPair visits copies of the pairs of a store in order.
func eachPair(db *badger.DB, prefix []byte, visit func(key, value []byte) error) error {
	return db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Prefix = prefix
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			value, err := it.Item().ValueCopy(nil)
			if err == nil {
				value, err = unsealValue(key, value)
			}
			if errors.Is(err, ErrDamaged) {
				continue // one fact less; the others are good
			}
			if err != nil {
				return fmt.Errorf("read store: %w", err)
			}
			if err := visit(key, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// sealValue puts the CRC-32C of key and value before a value, because Badger
// reads a damaged value as an empty one.
func sealValue(key, value []byte) []byte {
	sum := crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(value)), sum), value...)
}

func unsealValue(key, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, fmt.Errorf("%w: no value", ErrDamaged)
	}
	value := sealed[4:]
	if crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value) != binary.BigEndian.Uint32(sealed) {
		return nil, fmt.Errorf("%w: value does not match its checksum", ErrDamaged)
	}
	return value, nil
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
