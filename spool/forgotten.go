package spool

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A seqRange is a closed range of sequences.
type seqRange struct{ from, to uint64 }

// forgottenKept bounds the ranges of one dataset that may come again. Beyond
// it the two oldest become one: more may come again then, never less.
const forgottenKept = 4096

// isForgotten tells whether that record may come again.
func (x *seenIndex) isForgotten(dataset string, sequence uint64) bool {
	ranges := x.forgotten[dataset]
	i, _ := slices.BinarySearchFunc(ranges, sequence, func(r seqRange, seq uint64) int { return cmp.Compare(r.to, seq) })
	return i < len(ranges) && ranges[i].from <= sequence
}

// forget lets records of a dataset come again, and returns what is to be made
// durable for it.
func (x *seenIndex) forget(dataset string, from, to uint64) (pairs []metaPair) {
	ranges := x.forgotten[dataset]
	r := seqRange{from, to}
	// The ranges that the new one touches become part of it.
	first, _ := slices.BinarySearchFunc(ranges, from, func(o seqRange, seq uint64) int { return cmp.Compare(o.to+1, seq) })
	last := first
	for ; last < len(ranges) && ranges[last].from <= to+1; last++ {
		r = seqRange{min(r.from, ranges[last].from), max(r.to, ranges[last].to)}
	}
	swallowed := slices.Clone(ranges[first:last])
	ranges = slices.Replace(ranges, first, last, r)
	if len(ranges) > forgottenKept {
		swallowed = append(swallowed, ranges[0], ranges[1])
		if r == ranges[0] || r == ranges[1] {
			r = seqRange{}
		}
		ranges[1].from = ranges[0].from
		ranges = slices.Delete(ranges, 0, 1)
		pairs = append(pairs, forgottenPair(dataset, ranges[0]))
	}
	if r != (seqRange{}) {
		pairs = append(pairs, forgottenPair(dataset, r))
	}
	x.forgotten[dataset] = ranges
	for _, o := range swallowed {
		key := forgottenPair(dataset, o).key
		if !slices.ContainsFunc(pairs, func(p metaPair) bool { return string(p.key) == string(key) }) {
			pairs = append(pairs, metaPair{key: key})
		}
	}
	return pairs
}

// remind drops the ranges before a sequence, which nothing remembers any more.
func (x *seenIndex) remind(first uint64) (gone []metaPair) {
	for dataset, ranges := range x.forgotten {
		n := 0
		for n < len(ranges) && ranges[n].to < first {
			gone = append(gone, metaPair{key: forgottenPair(dataset, ranges[n]).key})
			n++
		}
		if x.forgotten[dataset] = slices.Delete(ranges, 0, n); n == len(ranges) {
			delete(x.forgotten, dataset)
		}
	}
	return gone
}

func forgottenPair(dataset string, r seqRange) metaPair {
	k := append([]byte{metaForgotten, byte(len(dataset))}, dataset...)
	return metaPair{binary.BigEndian.AppendUint64(k, r.from), binary.BigEndian.AppendUint64(nil, r.to)}
}

// loadForgotten takes back a row that forget made; they come in order.
func (x *seenIndex) loadForgotten(key, value []byte) {
	if len(key) < 10 || len(key) != 10+int(key[1]) || len(value) != 8 {
		return
	}
	dataset := string(key[2 : 2+int(key[1])])
	x.forget(dataset, binary.BigEndian.Uint64(key[2+len(dataset):]), binary.BigEndian.Uint64(value))
}
