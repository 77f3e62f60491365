package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// harm is what is wrong with value logs.
type harm struct {
	// damaged: something that was acknowledged is not as it was written.
	damaged bool
	// torn: whole blocks come after what a crash left of the last commit.
	// Nobody acknowledged them; opening the store would cut them off.
	torn bool
	// lost are chunks of the last commit that are damaged. Their keys do not
	// tell, for those of a commit that was torn name chunks that never were.
	lost []block
}

func (h harm) and(o harm) harm {
	return harm{h.damaged || o.damaged, h.torn || o.torn, append(h.lost, o.lost...)}
}

// logKind is what must be known of a value log to judge a bad stretch in it.
type logKind struct {
	closed bool // its store was closed in order: no commit in it is torn
	later  bool // the store has older logs, so its commits begin at any number
}

// judge tells what the bad stretch that begins there is. If good blocks of an
// other commit than the last follow, it is damage. If none do, or only some of
// the last commit, a crash may have left it, of a commit nobody acknowledged:
// its pages reach the disk in any order. But then some of it never came.
func (l *logScan) judge(at int64, closed bool) (h harm, err error) {
	follows, torn, err := l.torn(at)
	if err != nil {
		return h, err
	}
	if closed || !torn {
		return harm{damaged: follows}, nil
	}
	key, changed, err := l.changed(at)
	if err != nil || !changed {
		return harm{torn: follows}, err
	}
	h.damaged = true
	if head, err := parseChunkKey(key); err == nil {
		h.lost = []block{head}
	}
	return h, nil
}

// torn tells whether good blocks follow from there on, and whether all of them
// are of the last commit, which is that of the last good pair or the next.
func (l *logScan) torn(at int64) (follows, torn bool, err error) {
	for commit := uint64(0); ; follows = true {
		next, value, err := l.search(at)
		if err != nil || value == nil {
			return follows, true, err
		}
		version := l.versionOf(next)
		if !follows {
			commit = version
		}
		if version != commit || !l.anyNext && version != l.version && version != l.version+1 {
			return true, false, nil
		}
		at = next + int64(len(value))
	}
}

// cardSector is the least that a disk writes as a whole.
const cardSector = 512

// changed tells whether all of the bad pair that begins there was written once,
// so that its commit was, and the pair was changed since. What a cut keeps from
// the disk stays as it was, zeros, by whole sectors; what a kill keeps from
// being copied is the end. A value with a sector of zeros passes for torn.
func (l *logScan) changed(at int64) (key []byte, yes bool, err error) {
	head, err := l.read(at, logPairHeader)
	if err != nil {
		return nil, false, err
	}
	_, size, _ := parsePair(head)
	data, err := l.read(at, size)
	if err != nil || size == 0 || len(data) < size {
		return nil, false, err
	}
	for from := 0; from < size; {
		to := min(size, from+cardSector-int((at+int64(from))%cardSector))
		if isZero(data[from:to]) {
			return nil, false, nil
		}
		from = to
	}
	if isZero(data[size-crc32.Size:]) {
		return nil, false, nil
	}
	return bytes.Clone(pairKey(data)), true, nil
}

func isZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}

// pairKey is the key of a pair whose lengths parsePair has read.
func pairKey(data []byte) []byte {
	n, length := 2, uint64(0)
	for i := range 3 {
		v, used := binary.Uvarint(data[n:])
		if i == 0 {
			length = v
		}
		n += used
	}
	return splitKey(data[n : n+int(length)]).key
}
