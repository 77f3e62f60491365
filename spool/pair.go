package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4"
)

// A metaPair is a key with its value; a nil value deletes the key.
type metaPair struct{ key, value []byte }

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
	return eachPairFrom(db, prefix, prefix, visit)
}

// eachPairFrom visits copies of the pairs under prefix from a key on.
func eachPairFrom(db *badger.DB, prefix, from []byte, visit func(key, value []byte) error) error {
	return db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		o.Prefix = prefix
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
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
