package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
)

// A log of Badger, of values or of keys, begins with 20 bytes and goes on with
// pairs, each two flag bytes, the lengths of key and value and an expiry as
// uvarints, key, value, and the CRC-32C of all that (badger v4, memtable.go and
// structs.go).
const (
	logHeader     = 20
	logPairHeader = 2 + 3*binary.MaxVarintLen32 + 4
)

// scanStore finds the blocks in a store's value logs without Badger, in the
// order in which they were written, and tells what is wrong with the logs.
func scanStore(dir string, c *codec, found func(b block, data []byte) error) (h harm, err error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.vlog")) // sorted, oldest first
	if err != nil {
		return h, fmt.Errorf("scan store: %w", err)
	}
	closed := !hasKeyLog(dir)
	for i, path := range logs {
		more, err := scanLog(path, c, logKind{closed: closed, later: i > 0}, found)
		h = h.and(more)
		if err != nil {
			return h, fmt.Errorf("scan store %s: %w", dir, err)
		}
	}
	return h, nil
}

// hasKeyLog tells whether a store was not closed: Badger leaves no log of keys
// in one that was.
func hasKeyLog(dir string) bool {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	return err != nil || len(logs) > 0
}

func scanLog(path string, c *codec, kind logKind, found func(b block, data []byte) error) (harm, error) {
	f, err := os.Open(path)
	if err != nil {
		return harm{}, err
	}
	defer f.Close()
	return placeBlocks(f, c, kind, func(b block, data []byte, _ int64) error { return found(b, data) })
}

// placeBlocks finds the blocks of one value log and where they begin. Where it
// cannot be read, it is bad like any other stretch.
func placeBlocks(f io.ReaderAt, c *codec, kind logKind, found func(b block, data []byte, at int64) error) (h harm, err error) {
	l := &logScan{f: f, codec: c, anyNext: kind.later}
	for at := int64(logHeader); ; {
		value, size, err := l.pair(at)
		if err != nil {
			return h, err
		}
		if size == 0 {
			more, err := l.judge(at, kind.closed)
			h = h.and(more)
			if err != nil {
				return h, err
			}
			if at, value, err = l.search(at); err != nil || value == nil {
				return h, err
			}
			l.version, l.anyNext = l.versionOf(at), false
			size = int64(len(value)) + crc32.Size
		}
		at += size
		if b, n, err := c.header(value); err == nil && n == len(value) {
			if err := found(b, value, at-int64(n)-crc32.Size); err != nil {
				return h, err
			}
		}
	}
}

// logScan reads one value log.
type logScan struct {
	f       io.ReaderAt
	codec   *codec
	buf     []byte
	version uint64 // the commit of the last good pair; they are numbered from 1
	anyNext bool   // the log goes on after commits that it does not have
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

// pair reads the value of the pair that begins there; size 0 if there is no
// good one.
func (l *logScan) pair(at int64) (value []byte, size int64, err error) {
	p, size, err := l.whole(at)
	if err != nil || size == 0 {
		return nil, 0, err
	}
	l.version, l.anyNext = p.version, false
	return p.value, size, nil
}

// whole reads the pair that begins there; size 0 if there is no good one.
func (l *logScan) whole(at int64) (p storedPair, size int64, err error) {
	head, err := l.read(at, logPairHeader)
	if err != nil {
		return p, 0, err
	}
	_, whole, _ := parsePair(head)
	if whole == 0 {
		return p, 0, nil
	}
	data, err := l.read(at, max(whole, logPairHeader))
	if err != nil {
		return p, 0, err
	}
	p, whole, ok := parsePair(data)
	if !ok {
		return p, 0, nil
	}
	p.at, p.size = at, whole
	return p, int64(whole), nil
}

// versionOf is the number of the commit that wrote the value which begins there.
func (l *logScan) versionOf(at int64) uint64 {
	var b [8]byte
	if _, err := l.f.ReadAt(b[:], at-int64(len(b))); err != nil {
		return 0
	}
	return pairVersion(b[:])
}

// pairVersion takes the number of its commit from the end of a key: Badger
// puts it there, counted down from the largest. A shorter key has none.
func pairVersion(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return math.MaxUint64 - binary.BigEndian.Uint64(key[len(key)-8:])
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
