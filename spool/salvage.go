package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dgraph-io/badger/v4"
)

// A value log of Badger begins with 20 bytes and goes on with pairs, each
// two flag bytes, the lengths of key and value and an expiry as uvarints, key,
// value, and the CRC-32C of all that (badger v4, memtable.go and structs.go).
const (
	logHeader     = 20
	logPairHeader = 2 + 3*binary.MaxVarintLen32 + 4
)

// scanStore finds the blocks in a store's value logs without Badger, in the
// order in which they were written. It tells whether a bad stretch was
// followed by good blocks: opening the store would cut the good ones off. A
// bad end without any is what a crash leaves of a commit nobody acknowledged.
func scanStore(dir string, c *codec, found func(b block, data []byte) error) (damaged bool, err error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.vlog")) // sorted, oldest first
	if err != nil {
		return false, fmt.Errorf("scan store: %w", err)
	}
	for _, path := range logs {
		bad, err := scanLog(path, c, found)
		damaged = damaged || bad
		if err != nil {
			return damaged, fmt.Errorf("scan store %s: %w", dir, err)
		}
	}
	return damaged, nil
}

func scanLog(path string, c *codec, found func(b block, data []byte) error) (damaged bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return scanBlocks(f, c, found)
}

// scanBlocks finds the blocks of one value log. Where it cannot be read, it is
// bad like any other stretch.
func scanBlocks(f io.ReaderAt, c *codec, found func(b block, data []byte) error) (damaged bool, err error) {
	l := &logScan{f: f, codec: c}
	for at := int64(logHeader); ; {
		value, size, err := l.pair(at)
		if err != nil {
			return damaged, err
		}
		if size == 0 {
			if at, value, err = l.search(at); err != nil || value == nil {
				return damaged, err
			}
			damaged = true
			size = int64(len(value)) + crc32.Size
		}
		at += size
		if b, n, err := c.header(value); err == nil && n == len(value) {
			if err := found(b, value); err != nil {
				return damaged, err
			}
		}
	}
}

// logScan reads one value log.
type logScan struct {
	f     io.ReaderAt
	codec *codec
	buf   []byte
}

// sector is what a disk gives or does not give as a whole.
const sector = 4 << 10

// read gives up to n bytes from there. Sectors that cannot be read are zeros.
func (l *logScan) read(at int64, n int) ([]byte, error) {
	if cap(l.buf) < n {
		l.buf = make([]byte, n)
	}
	got, err := l.f.ReadAt(l.buf[:n], at)
	if err == nil || err == io.EOF {
		return l.buf[:got], nil
	}
	if !errors.Is(err, syscall.EIO) {
		return nil, err
	}
	for got = 0; got < n; {
		step := min(n-got, sector-int((at+int64(got))%sector))
		part := l.buf[got : got+step]
		read, err := l.f.ReadAt(part, at+int64(got))
		switch {
		case err == io.EOF:
			return l.buf[:got+read], nil
		case errors.Is(err, syscall.EIO):
			clear(part)
		case err != nil:
			return nil, err
		}
		got += step
	}
	return l.buf[:got], nil
}

// pair reads the key and value that begin there; size 0 if there is no good one.
func (l *logScan) pair(at int64) (value []byte, size int64, err error) {
	head, err := l.read(at, logPairHeader)
	if err != nil || len(head) < logPairHeader {
		return nil, 0, err
	}
	n := 2
	var fields [3]uint64
	for i := range fields {
		v, used := binary.Uvarint(head[n:])
		if used <= 0 {
			return nil, 0, nil
		}
		fields[i] = v
		n += used
	}
	key, length := fields[0], fields[1]
	if key == 0 || key > 1024 || length > maxRaw+1024 {
		return nil, 0, nil
	}
	whole := n + int(key) + int(length) + crc32.Size
	data, err := l.read(at, whole)
	if err != nil || len(data) < whole {
		return nil, 0, err
	}
	body := data[:whole-crc32.Size]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[len(body):]) {
		return nil, 0, nil
	}
	return body[n+int(key):], int64(whole), nil
}

// search finds the next whole block of this spool from there on; nil if there
// is none.
func (l *logScan) search(at int64) (int64, []byte, error) {
	magic := binary.BigEndian.AppendUint32(nil, blockMagic)
	const window = 64 << 10
	for {
		data, err := l.read(at, window)
		if err != nil || len(data) < len(magic) {
			return 0, nil, err
		}
		i := bytes.Index(data, magic)
		if i < 0 {
			at += int64(len(data) - len(magic) + 1)
			continue
		}
		at += int64(i)
		value, err := l.block(at)
		if err != nil || value != nil {
			return at, value, err
		}
		at++
	}
}

// block reads the block that begins there; nil if it is not whole.
func (l *logScan) block(at int64) ([]byte, error) {
	head, err := l.read(at, blockHeader)
	if err != nil || len(head) < blockHeader {
		return nil, err
	}
	stored := binary.BigEndian.Uint32(head[40:])
	if stored > maxRaw {
		return nil, nil
	}
	data, err := l.read(at, blockHeader+int(head[7])+int(stored))
	if err != nil {
		return nil, err
	}
	_, n, err := l.codec.header(data)
	if errors.Is(err, ErrNewer) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	return data[:n], nil
}

// salvage builds a segment's store anew from the blocks in its value logs,
// and keeps the old one in quarantine. Chunks from limit on are another's.
func (s *Spool) salvage(seg *segment, limit uint64, cause error) error {
	fresh := seg.dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("salvage segment: %w", err)
	}
	db, err := openStore(fresh, s.table.shape, 0, s.faults)
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	kept := 0
	damaged, err := scanStore(seg.dir, s.codec, func(b block, data []byte) error {
		if b.kind == kindSeal || b.kind == kindChunk && b.first >= limit {
			return nil
		}
		kept++
		return db.Update(func(txn *badger.Txn) error { return txn.Set(b.key(), bytes.Clone(data)) })
	})
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	// From here on the new store is whole: a start that finds it without the
	// old one goes on with it.
	if kept == 0 && !damaged && errors.Is(cause, errSuspect) {
		err = os.RemoveAll(seg.dir) // the process was stopped while it began the segment
	} else {
		err = s.setAside(seg.dir, cause)
	}
	if err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	if err := os.Rename(fresh, seg.dir); err != nil {
		return fmt.Errorf("salvage segment %s: %w", seg.id.name(), err)
	}
	s.log.Warn("segment was built anew from its blocks", "segment", seg.id.name(), "blocks", kept)
	return syncDir(s.table.dir)
}
