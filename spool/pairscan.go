package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"sort"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// The bits of a pair's first flag byte (badger v4, value.go).
const (
	pairDeleted = 1 << 0 // the key is deleted
	pairPointed = 1 << 1 // the value is in a value log
	pairUnused  = 0x30
)

// A storedPair is a key and value as a store's files have them. Badger puts a
// version behind the key.
type storedPair struct {
	flags   byte
	key     []byte
	version uint64
	value   []byte
	at      int64 // where it begins in a log, and what it takes of that
	size    int
}

// parsePair reads the pair at the beginning of data. size is what it takes; 0
// if no pair can begin there. ok: it is whole and matches its checksum.
func parsePair(data []byte) (p storedPair, size int, ok bool) {
	if len(data) < logPairHeader || data[0]&pairUnused != 0 {
		return p, 0, false
	}
	n := 2
	var fields [3]uint64
	for i := range fields {
		v, used := binary.Uvarint(data[n:min(len(data), n+binary.MaxVarintLen64)])
		if used <= 0 {
			return p, 0, false
		}
		fields[i] = v
		n += used
	}
	key, length := fields[0], fields[1]
	if key <= 8 || key > 1024 || length > maxRaw+1024 {
		return p, 0, false
	}
	size = n + int(key) + int(length) + crc32.Size
	if size > len(data) {
		return p, size, false
	}
	body := data[:size-crc32.Size]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[len(body):]) {
		return p, size, false
	}
	p = splitKey(body[n : n+int(key)])
	p.flags, p.value = data[0], body[n+int(key):]
	return p, size, true
}

func splitKey(key []byte) storedPair {
	at := len(key) - 8
	return storedPair{key: key[:at], version: math.MaxUint64 - binary.BigEndian.Uint64(key[at:])}
}

// scanPairs finds the pairs of a store without Badger: in its tables, the log
// of its keys and its value logs. It tells whether any of that is damaged:
// opening the store would leave out, or cut off, what comes after.
func scanPairs(dir string, found func(p storedPair)) (damaged bool, err error) {
	damaged, err = scanFiles(dir, found, ".sst", ".mem", ".vlog")
	if err != nil {
		return damaged, fmt.Errorf("scan pairs of %s: %w", dir, err)
	}
	return damaged, nil
}

func scanFiles(dir string, found func(p storedPair), kinds ...string) (damaged bool, err error) {
	for _, kind := range kinds {
		files, err := filepath.Glob(filepath.Join(dir, "*"+kind))
		if err != nil {
			return damaged, err
		}
		var stray map[string]bool
		if kind == ".sst" {
			stray = strayTables(dir)
		}
		for _, path := range files {
			if stray[path] {
				continue
			}
			bad, err := scanFile(path, found)
			damaged = damaged || bad
			if err != nil {
				return damaged, err
			}
		}
	}
	return damaged, nil
}

func scanFile(path string, found func(p storedPair)) (damaged bool, err error) {
	if filepath.Ext(path) != ".sst" {
		return scanLogPairs(path, !hasKeyLog(filepath.Dir(path)), found)
	}
	if err := checkTable(path); err != nil {
		if isDiskFault(err) {
			return false, err
		}
		return true, nil
	}
	return false, tablePairs(path, found)
}

// scanLogPairs finds the pairs of one log. Only a bad stretch that good pairs
// follow is damage: a bad end is what a crash leaves, and so is a commit of which
// only some pages reached the disk. In a value log that is what no key of an
// earlier one points to; in a key log, which has all commits, the next one.
func scanLogPairs(path string, closed bool, found func(p storedPair)) (damaged bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.IsDir() {
		return fi.IsDir(), err
	}
	data, err := (&logScan{f: f}).read(0, int(min(fi.Size(), math.MaxInt32/2)))
	if err != nil {
		return false, err
	}
	var version uint64
	end := int64(-1) // of what keys point to, once it is needed
	for at := logHeader; at < len(data); {
		p, size, ok := parsePair(data[at:])
		if !ok {
			skipped, torn := nextPair(data[at:], version+1)
			if skipped < 0 || torn && !closed {
				return damaged, nil
			}
			if end < 0 && filepath.Ext(path) == ".vlog" {
				ends, err := pointedTo(filepath.Dir(path))
				if err != nil {
					return damaged, err
				}
				end = ends[filepath.Base(path)]
			}
			if end >= 0 && int64(at) >= end {
				return damaged, nil
			}
			damaged = true
			at += skipped
			continue
		}
		version, p.at, p.size = p.version, int64(at), size
		found(p)
		at += size
	}
	return damaged, nil
}

// nextPair is how far the next whole pair is; -1 if there is none. Ours have
// no second flag and never expire. torn: it and all behind it are of one commit.
func nextPair(data []byte, commit uint64) (first int, torn bool) {
	first = -1
	for i := 1; i+logPairHeader <= len(data); i++ {
		if data[i+1] != 0 || data[i+2] == 0 || data[i]&pairUnused != 0 {
			continue
		}
		p, size, ok := parsePair(data[i:])
		if !ok {
			continue
		}
		if first < 0 {
			first = i
		}
		if p.version != commit {
			return first, false
		}
		i += size - 1
	}
	return first, true
}

// tablePairs reads a table whose checksums were compared.
func tablePairs(path string, found func(p storedPair)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: read table %s: %v", ErrDamaged, path, p)
		}
	}()
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	t, err := table.OpenInMemoryTable(data, 0, &table.Options{})
	if err != nil {
		return fmt.Errorf("%w: read table %s: %w", ErrDamaged, path, err)
	}
	it := t.NewIterator(0)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if len(it.Key()) <= 8 {
			continue
		}
		p := splitKey(bytes.Clone(it.Key()))
		v := it.Value()
		p.flags, p.value = v.Meta, bytes.Clone(v.Value)
		found(p)
	}
	return nil
}

// wholePairs is what a store of facts holds in its newest versions, sorted by
// key: every value that matches its checksum.
func wholePairs(dir string) (pairs []metaPair, damaged bool, err error) {
	newest := map[string]storedPair{}
	damaged, err = scanPairs(dir, func(p storedPair) {
		value, verr := unsealValue(p.key, p.value)
		switch have, known := newest[string(p.key)]; {
		case bytes.HasPrefix(p.key, []byte("!badger!")): // the end of a transaction
		case known && have.version >= p.version:
		case p.flags&pairDeleted != 0:
			newest[string(p.key)] = storedPair{flags: pairDeleted, version: p.version}
		case p.flags&pairPointed == 0 && verr == nil:
			newest[string(p.key)] = storedPair{version: p.version, value: bytes.Clone(value)}
		}
	})
	for key, p := range newest {
		if p.flags&pairDeleted == 0 {
			pairs = append(pairs, metaPair{[]byte(key), p.value})
		}
	}
	sort.Slice(pairs, func(i, j int) bool { return bytes.Compare(pairs[i].key, pairs[j].key) < 0 })
	return pairs, damaged, err
}

// eachOf visits the pairs whose keys begin with prefix.
func eachOf(pairs []metaPair, prefix []byte, visit func(key, value []byte) error) error {
	for _, p := range pairs {
		if !bytes.HasPrefix(p.key, prefix) {
			continue
		}
		if err := visit(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// buildStore makes a store of facts anew from pairs.
func buildStore(dir string, pairs []metaPair, shape storeShape, faults *faultLog) (*badger.DB, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("build store: %w", err)
	}
	db, err := openStore(dir, shape, 0, faults)
	if err != nil {
		return nil, err
	}
	err = copyPairs(db, func(visit func(key, value []byte) error) error { return eachOf(pairs, nil, visit) })
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("build store %s: %w", dir, err)
	}
	return db, nil
}
