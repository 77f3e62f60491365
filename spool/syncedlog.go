package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A syncedLog is the spool's own descriptor of the log that a segment's store
// writes its values to. Badger writes through a mapping and would sync that
// and the log of its keys in each commit, and hide a failed sync of the first.
// The spool syncs the values only, once, and takes the answer for what it is:
// keys that a power cut takes are found again among the values; see mend.
type syncedLog struct {
	file *os.File
	size int64 // as Badger made it; it changes when Badger goes on to another log
	end  int64 // of what was written
	firm int64 // up to there the disk has every page, if only as zeros
}

// A page that comes to the disk for the first time costs the file system a
// commit of its journal, with a flush of its own. So small commits write pages
// of zeros ahead of them now and then: that doubles the bytes of their payload,
// which is less than the journal takes, and nearly halves their flushes. A
// larger commit has its own pages made right before it, in one go: that takes a
// fraction of what the faults of a mapping take one by one, and the disk gets
// them in one piece.
const (
	smallCommit = 12 << 10
	aheadBytes  = 128 << 10
	pageBytes   = 4 << 10
)

var zeros [64 << 10]byte

// loggedBytes is what a value log takes for a pair: flags, three lengths, the
// key with its version, the value and a checksum (badger v4, structs.go, header,
// and memtable.go, encodeEntry).
func loggedBytes(key, value int) int64 {
	var lengths [3 * binary.MaxVarintLen64]byte
	head := binary.AppendUvarint(lengths[:0], uint64(key+8))
	head = binary.AppendUvarint(head, uint64(value))
	return int64(2 + len(head) + 1 + key + 8 + value + 4)
}

// openSyncedLog opens the newest value log of a store that is open for writing.
func openSyncedLog(dir string) (*syncedLog, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.vlog")) // sorted, the last is the newest
	if err != nil || len(logs) == 0 {
		return nil, fmt.Errorf("open value log of %s: there is none", dir)
	}
	f, err := os.OpenFile(logs[len(logs)-1], os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open value log: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open value log: %w", err)
	}
	l := &syncedLog{file: f, size: fi.Size()}
	if l.end, err = logEnd(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("open value log: %w", err)
	}
	return l, nil
}

// logEnd is where the next pair of a value log goes.
func logEnd(f *os.File) (int64, error) {
	scan, at := &logScan{f: f}, int64(logHeader)
	for {
		_, size, err := scan.pair(at)
		if err != nil || size == 0 {
			return at, err
		}
		at += size
	}
}

// errLogMoved cannot come while segments keep to their limits (segmentShape):
// Badger wrote to a log that this is not.
var errLogMoved = errors.New("the store has gone on to another value log")

// errNotTheEnd cannot come either, while Badger writes as loggedBytes counts.
var errNotTheEnd = errors.New("the value log does not end where it should")

// expect makes the whole pages that a large commit of that many bytes is about
// to fill.
func (l *syncedLog) expect(bytes int64) error {
	from, to := max(pageEnd(l.end), l.firm), (l.end+bytes)/pageBytes*pageBytes
	if bytes <= smallCommit || from >= to || to > l.size/2 { // the rest is not allocated
		return nil
	}
	var next [4]byte // a pair has a length there
	if _, err := l.file.ReadAt(next[:], l.end); err != nil {
		return fmt.Errorf("look at the end of the value log: %w", err)
	}
	if next != ([4]byte{}) {
		return fmt.Errorf("prepare value log: %w", errNotTheEnd)
	}
	return l.fill(from, to, len(zeros))
}

// wrote notes that a commit wrote that much, and sees to the pages ahead of the
// next ones if they are small as well.
func (l *syncedLog) wrote(bytes int64) error {
	l.end += bytes
	if bytes > smallCommit || l.end+bytes <= l.firm {
		return nil
	}
	at := pageEnd(l.end)
	to := min(at+aheadBytes, l.size/2)
	// Page by page: what is written in one go becomes one folio, which is
	// written whole for each byte that changes in it.
	if err := l.fill(max(at, l.firm), to, pageBytes); err != nil {
		return err
	}
	l.firm = max(l.firm, to)
	return nil
}

// fill writes zeros, some at a time.
func (l *syncedLog) fill(from, to int64, piece int) error {
	for at := from; at < to; at += int64(piece) {
		if _, err := l.file.WriteAt(zeros[:min(int64(piece), to-at)], at); err != nil {
			return fmt.Errorf("write ahead: %w", err)
		}
	}
	return nil
}

func pageEnd(at int64) int64 { return (at + pageBytes - 1) / pageBytes * pageBytes }

// sync makes everything that was written to the log survive a power cut. The
// kernel tells of a page that it could not write once to each descriptor, so
// an error of its own writing back between two commits is not missed either.
func (l *syncedLog) sync() error {
	for {
		err := unix.Fdatasync(int(l.file.Fd()))
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return fmt.Errorf("sync %s: %w", l.file.Name(), err)
		}
	}
	fi, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("sync value log: %w", err)
	}
	if fi.Size() != l.size {
		return fmt.Errorf("sync %s: %w", l.file.Name(), errLogMoved)
	}
	return nil
}

func (l *syncedLog) close() {
	if l != nil {
		_ = l.file.Close()
	}
}
