package spool

import (
	"encoding/binary"
	"sync"
)

// hash16 is the part of an identity that the index keeps.
func hash16(identity [32]byte) (h [16]byte) {
	copy(h[:], identity[:])
	return h
}

// A seenRef is where the record of a hash is.
type seenRef struct {
	sequence uint64
	dataset  string
}

// A seenIndex knows the identities of records that are in the spool or were
// delivered. Its owner's mutex guards it.
type seenIndex struct {
	dir       string
	active    map[[16]byte]seenRef
	forgotten map[string][]seqRange
}

// A seqRange is a closed range of sequences.
type seqRange struct{ from, to uint64 }

func newSeenIndex(dir string) *seenIndex {
	return &seenIndex{dir: dir, active: map[[16]byte]seenRef{}, forgotten: map[string][]seqRange{}}
}

func (x *seenIndex) lookup(h [16]byte) (uint64, bool) {
	ref, ok := x.active[h]
	if !ok || x.isForgotten(ref.dataset, ref.sequence) {
		return 0, false
	}
	return ref.sequence, true
}

func (x *seenIndex) add(h [16]byte, sequence uint64, dataset string) {
	x.active[h] = seenRef{sequence, dataset}
}

func (x *seenIndex) drop(h [16]byte, sequence uint64) {
	if x.active[h].sequence == sequence {
		delete(x.active, h)
	}
}

func (x *seenIndex) isForgotten(dataset string, sequence uint64) bool {
	for _, r := range x.forgotten[dataset] {
		if sequence >= r.from && sequence <= r.to {
			return true
		}
	}
	return false
}

func (x *seenIndex) seal(mu *sync.Mutex, id segmentID, row segmentRow) error { return nil }

// forget lets records of a dataset come again, and returns what is to be made
// durable for it.
func (x *seenIndex) forget(dataset string, from, to uint64) metaPair {
	ranges := x.forgotten[dataset]
	if n := len(ranges); n > 0 && ranges[n-1].to+1 >= from && ranges[n-1].from <= from {
		ranges[n-1].to = max(ranges[n-1].to, to)
		from, to = ranges[n-1].from, ranges[n-1].to
	} else {
		ranges = append(ranges, seqRange{from, to})
	}
	x.forgotten[dataset] = ranges
	return forgottenPair(dataset, from, to)
}

func forgottenPair(dataset string, from, to uint64) metaPair {
	k := append(append([]byte{metaForgotten, byte(len(dataset))}, dataset...), binary.BigEndian.AppendUint64(nil, from)...)
	return metaPair{k, binary.BigEndian.AppendUint64(nil, to)}
}

// loadForgotten takes back a row that forget made.
func (x *seenIndex) loadForgotten(key, value []byte) {
	if len(key) < 10 || len(key) != 10+int(key[1]) || len(value) != 8 {
		return
	}
	dataset := string(key[2 : 2+int(key[1])])
	r := seqRange{binary.BigEndian.Uint64(key[2+len(dataset):]), binary.BigEndian.Uint64(value)}
	x.forgotten[dataset] = append(x.forgotten[dataset], r)
}
