package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
)

// checkStore finds what would have Badger panic in a goroutine of its own, end
// the process, or open the store without a part of what it holds (badger v4:
// a table cut short, a table that fails its checksum, tables without a
// manifest). It changes nothing; a fresh folder is no damage.
func checkStore(dir string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check store: %w", err)
	}
	tables := map[uint64]bool{}
	logs, keyLogs := 0, 0
	for _, d := range files {
		name := d.Name()
		ext := filepath.Ext(name)
		ours := ext == ".vlog" || ext == ".mem" || ext == ".sst" || name == "MANIFEST" || name == "KEYREGISTRY" || name == "DISCARD"
		if ours && !d.Type().IsRegular() {
			return fmt.Errorf("check store %s: %w: %s is no file", dir, ErrDamaged, name)
		}
		if ext == ".vlog" || ext == ".mem" {
			if err := checkHeader(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		switch ext {
		case ".vlog":
			logs++
		case ".mem":
			keyLogs++
		case ".sst":
			if id, err := strconv.ParseUint(strings.TrimSuffix(name, ext), 10, 64); err == nil {
				tables[id] = true
			}
		}
	}
	if err := checkRegistry(filepath.Join(dir, "KEYREGISTRY")); err != nil {
		return err
	}
	path := filepath.Join(dir, "MANIFEST")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && len(tables)+logs+keyLogs == 0 {
		return nil
	}
	if err := checkManifest(path, tables, keyLogs > 0); err != nil {
		return err
	}
	for id := range tables {
		if err := checkTable(filepath.Join(dir, fmt.Sprintf("%06d.sst", id))); err != nil {
			return err
		}
	}
	return nil
}

// checkHeader looks at a log's beginning: the number of an encryption key, of
// which there is none, and 12 bytes at random.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check log: %w", err)
	}
	defer f.Close()
	var key [8]byte
	if n, _ := f.ReadAt(key[:], 0); n == len(key) && binary.BigEndian.Uint64(key[:]) != 0 {
		return fmt.Errorf("check log %s: %w: it names a key that cannot be", path, ErrDamaged)
	}
	return nil
}

// checkRegistry looks at the file of encryption keys. Ours has none: 16 bytes
// at random and a fixed text (badger v4, key_registry.go). What Badger finds
// behind them it takes for a length, and allocates that much.
func checkRegistry(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check key registry: %w", err)
	}
	if len(data) != 28 || string(data[16:]) != "Hello Badger" {
		return fmt.Errorf("check %s: %w: it is not as it was written", path, ErrDamaged)
	}
	return nil
}

// checkManifest compares the list of tables with those that are there. The
// table of a Close that was cut short is not listed yet; then its keys are
// still in their log, and it is taken out of tables, for Badger removes it.
func checkManifest(path string, tables map[uint64]bool, keyLog bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check %s: %w: it is gone", path, ErrDamaged)
	}
	if err != nil {
		return fmt.Errorf("check manifest: %w", err)
	}
	defer f.Close()
	listed, _, err := badger.ReplayManifestFile(f, storeMagic, badger.DefaultOptions(""))
	if err != nil {
		return fmt.Errorf("check %s: %w: %v", path, ErrDamaged, err)
	}
	newest := uint64(0)
	for id, table := range listed.Tables {
		if !tables[id] {
			return fmt.Errorf("check %s: %w: table %d is gone", path, ErrDamaged, id)
		}
		if table.Level > 6 || table.KeyID != 0 { // levels are 0 to 6, and nothing is encrypted
			return fmt.Errorf("check %s: %w: table %d cannot be as it says", path, ErrDamaged, id)
		}
		newest = max(newest, id)
	}
	for id := range tables {
		if _, known := listed.Tables[id]; known {
			continue
		}
		if !keyLog || id <= newest {
			return fmt.Errorf("check %s: %w: it does not list table %d", path, ErrDamaged, id)
		}
		delete(tables, id)
	}
	return nil
}

// checkTable compares the checksums of a table: of its index and of each block.
// A table (badger v4, table/builder.go) ends with its index, the index's
// length, a checksum and the checksum's length; a block ends with a checksum
// and its length too. Lengths are u32, big-endian.
func checkTable(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("check table: %w", err)
	}
	bad := func(what string) error { return fmt.Errorf("check table %s: %w: %s", path, ErrDamaged, what) }
	rest, sum, ok := cutSum(data)
	if !ok || len(rest) < 4 {
		return bad("it is cut short")
	}
	length := binary.BigEndian.Uint32(rest[len(rest)-4:])
	rest = rest[:len(rest)-4]
	if uint64(length) > uint64(len(rest)) || length == 0 {
		return bad("its index is cut short")
	}
	index := rest[len(rest)-int(length):]
	if sum != uint64(crc32.Checksum(index, castagnoli)) {
		return bad("its index does not match its checksum")
	}
	blocks := rest[:len(rest)-int(length)]
	table := fb.GetRootAsTableIndex(index, 0)
	if table.OffsetsLength() == 0 {
		return bad("it has no blocks")
	}
	for i := range table.OffsetsLength() {
		var at fb.BlockOffset
		table.Offsets(&at, i)
		from, to := uint64(at.Offset()), uint64(at.Offset())+uint64(at.Len())
		if to > uint64(len(blocks)) {
			return bad("a block lies outside of it")
		}
		block, sum, ok := cutSum(blocks[from:to])
		if !ok || sum != uint64(crc32.Checksum(block, castagnoli)) {
			return bad(fmt.Sprintf("block %d does not match its checksum", i))
		}
	}
	return nil
}

// cutSum takes the checksum and its length off the end. The checksum is a
// protobuf of an algorithm, left out for CRC-32C, and the sum in field 2.
func cutSum(data []byte) (rest []byte, sum uint64, ok bool) {
	if len(data) < 4 {
		return nil, 0, false
	}
	length := binary.BigEndian.Uint32(data[len(data)-4:])
	data = data[:len(data)-4]
	if uint64(length) > uint64(len(data)) {
		return nil, 0, false
	}
	field := data[len(data)-int(length):]
	rest = data[:len(data)-int(length)]
	if len(field) == 0 {
		return rest, 0, true
	}
	sum, n := binary.Uvarint(field[1:])
	return rest, sum, field[0] == 2<<3 && n == len(field)-1
}

// checkLogs compares the checksums of all pairs in the value logs of a store
// that was closed, as far as its tables point into them. Where Badger does not
// find the lengths that it expects it keeps a lock for ever, and Close hangs
// (badger v4, value.go, Read). What is bad at the end of a log and nothing
// points to is of a commit that a power cut ended.
func checkLogs(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.vlog"))
	if err != nil {
		return fmt.Errorf("check logs: %w", err)
	}
	ends, err := pointedTo(dir)
	if err != nil {
		return fmt.Errorf("check logs: %w", err)
	}
	for _, path := range logs {
		if err := checkValueLog(path, ends[filepath.Base(path)]); err != nil {
			return err
		}
	}
	return nil
}

// pointedTo tells how far into its value logs, by name, the keys of a store
// point that nobody can be without: those in its tables, and those in its key
// log but for the last commit, which power may have ended. What lies behind that
// nobody was told of.
func pointedTo(dir string) (ends map[string]int64, err error) {
	ends = map[string]int64{}
	var last map[string]int64 // of the newest commit so far
	var newest uint64
	point := func(ends map[string]int64, p storedPair) {
		if p.flags&pairPointed == 0 || len(p.value) != 12 {
			return
		}
		ne := binary.NativeEndian // number, length and offset (badger v4, structs.go, valuePointer)
		name := fmt.Sprintf("%06d.vlog", ne.Uint32(p.value))
		ends[name] = max(ends[name], int64(ne.Uint32(p.value[4:]))+int64(ne.Uint32(p.value[8:])))
	}
	_, err = scanFiles(dir, func(p storedPair) { point(ends, p) }, ".sst")
	if err != nil {
		return nil, err
	}
	_, err = scanFiles(dir, func(p storedPair) {
		if p.version > newest {
			for name, end := range last {
				ends[name] = max(ends[name], end)
			}
			newest, last = p.version, map[string]int64{}
		}
		point(last, p)
	}, ".mem")
	return ends, err
}

// strayTables are the tables of a store that its manifest does not list,
// because power went while Badger wrote them: their keys are in the key log.
func strayTables(dir string) map[string]bool {
	stray := map[string]bool{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	tables := map[uint64]bool{}
	for _, name := range names {
		if id, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".sst"), 10, 64); err == nil {
			stray[name], tables[id] = true, true
		}
	}
	if checkManifest(filepath.Join(dir, "MANIFEST"), tables, hasKeyLog(dir)) != nil {
		return nil
	}
	for id := range tables { // those that are listed
		delete(stray, filepath.Join(dir, fmt.Sprintf("%06d.sst", id)))
	}
	return stray
}

// errBadLog: a value log of a store without a key log is bad in some place. A
// power cut while the store was opened again may have left it like that.
var errBadLog = errors.New("it is bad")

func checkValueLog(path string, end int64) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check log: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("check log: %w", err)
	}
	l := &logScan{f: f}
	for at := int64(logHeader); at < fi.Size(); {
		_, size, err := l.pair(at)
		if err != nil {
			return fmt.Errorf("check log: %w", err)
		}
		if size == 0 && at >= end {
			return nil
		}
		if size == 0 {
			return fmt.Errorf("check log %s: %w: %w at byte %d", path, ErrDamaged, errBadLog, at)
		}
		at += size
	}
	return nil
}
