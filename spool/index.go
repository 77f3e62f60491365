package spool

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
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

// A seqRange is a closed range of sequences.
type seqRange struct{ from, to uint64 }

const (
	// Runs of fewer than smallRun identities are merged once there are
	// mergeRuns of them in a row, so that an identity is written about twice.
	smallRun  = 4096
	mergeRuns = 16
	// forgottenKept bounds the ranges of one dataset that may come again.
	forgottenKept = 4096
)

// A seenIndex knows the identities of records that are in the spool or were
// delivered: those of unsealed segments in memory, older ones in runs. It
// outlives the records and is bounded by count. Its owner's mutex guards it.
type seenIndex struct {
	dir       string
	epoch     uint64
	limit     int
	log       Logger
	active    map[[16]byte]seenRef
	runs      []*run // by sequence
	forgotten map[string][]seqRange
}

func newSeenIndex(dir string, limit int, log Logger) *seenIndex {
	return &seenIndex{
		dir: dir, limit: limit, log: log, active: map[[16]byte]seenRef{}, forgotten: map[string][]seqRange{},
	}
}

// lookup finds the sequence of a known identity, the newest if there are more.
func (x *seenIndex) lookup(h [16]byte) (uint64, bool) {
	if ref, ok := x.active[h]; ok && !x.isForgotten(ref.dataset, ref.sequence) {
		return ref.sequence, true
	}
	for _, r := range slices.Backward(x.runs) {
		found, err := r.find(h)
		if err != nil {
			x.log.Warn("part of the duplicate index cannot be read; a known sample may be taken again", "error", err)
		}
		for _, ref := range found {
			if !x.isForgotten(ref.dataset, ref.sequence) {
				return ref.sequence, true
			}
		}
	}
	return 0, false
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

// seal moves a sealed segment's identities from memory to a run.
func (x *seenIndex) seal(mu *sync.Mutex, row segmentRow) error {
	if row.Count == 0 {
		return nil
	}
	mu.Lock()
	var refs []identityRef
	for h, ref := range x.active {
		if ref.sequence >= row.ID.First && ref.sequence <= row.Last {
			refs = append(refs, identityRef{h, ref.sequence, ref.dataset})
		}
	}
	mu.Unlock()
	r, err := writeRun(x.dir, x.epoch, row.ID.First, row.Last, refs)
	if err != nil {
		return err
	}
	mu.Lock()
	x.insert(r)
	for _, ref := range refs {
		x.drop(ref.hash, ref.sequence)
	}
	mu.Unlock()
	return x.merge(mu)
}

func (x *seenIndex) insert(r *run) {
	x.runs = slices.DeleteFunc(x.runs, func(o *run) bool { return o.path == r.path })
	x.runs = append(x.runs, r)
	slices.SortFunc(x.runs, func(a, b *run) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
}

// merge makes one run of mergeRuns small ones in a row.
func (x *seenIndex) merge(mu *sync.Mutex) error {
	mu.Lock()
	runs := slices.Clone(x.runs)
	mu.Unlock()
	from := len(runs)
	for from > 0 && runs[from-1].count < smallRun {
		from--
	}
	small := runs[from:]
	if len(small) < mergeRuns {
		return nil
	}
	var refs []identityRef
	for _, r := range small {
		if err := r.each(0, len(r.pages), func(ref identityRef) { refs = append(refs, ref) }); err != nil {
			return err
		}
	}
	one, err := writeRun(x.dir, x.epoch, small[0].first, small[len(small)-1].last, refs)
	if err != nil {
		return err
	}
	mu.Lock()
	x.runs = slices.DeleteFunc(x.runs, func(o *run) bool { return slices.Contains(small, o) })
	x.insert(one)
	mu.Unlock()
	for _, r := range small {
		if err := os.Remove(r.path); err != nil {
			return err
		}
	}
	return nil
}

// load opens the runs that are there. What is damaged, of another version, or
// part of a merged one is removed; what of it can be made again will be.
func (x *seenIndex) load() error {
	paths, err := filepath.Glob(filepath.Join(x.dir, "*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		r, err := openRun(path, x.epoch)
		if err != nil && isDiskFault(err) {
			return err
		}
		if err != nil { // a sector that cannot be read is damage as well
			x.log.Warn("run of the duplicate index is not usable; it is made again where its records live", "error", err)
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		x.insert(r)
	}
	for _, r := range slices.Clone(x.runs) {
		merged := slices.ContainsFunc(x.runs, func(o *run) bool { return o != r && o.covers(r.first, r.last) })
		if merged {
			x.runs = slices.DeleteFunc(x.runs, func(o *run) bool { return o == r })
			if err := os.Remove(r.path); err != nil {
				return err
			}
		}
	}
	return nil
}

// covered tells whether a run has that segment's identities.
func (x *seenIndex) covered(row segmentRow) bool {
	return row.Count == 0 || slices.ContainsFunc(x.runs, func(r *run) bool { return r.covers(row.ID.First, row.Last) })
}

// trim drops the oldest runs beyond the limit; those of records that are in
// the spool, from oldest on, stay. It returns the ranges that need no
// remembering any more.
func (x *seenIndex) trim(oldest uint64) (gone []metaPair) {
	total := 0
	for _, r := range x.runs {
		total += r.count
	}
	for len(x.runs) > 0 && total > x.limit && x.runs[0].last < oldest {
		if err := os.Remove(x.runs[0].path); err != nil {
			x.log.Warn("old run of the duplicate index stays", "error", err)
			return gone
		}
		total -= x.runs[0].count
		x.runs = x.runs[1:]
	}
	first := oldest
	if len(x.runs) > 0 {
		first = min(first, x.runs[0].first)
	}
	for dataset, ranges := range x.forgotten {
		x.forgotten[dataset] = slices.DeleteFunc(ranges, func(r seqRange) bool {
			if r.to < first {
				gone = append(gone, metaPair{key: forgottenPair(dataset, r).key})
			}
			return r.to < first
		})
	}
	return gone
}

// forget lets records of a dataset come again, and returns what is to be made
// durable for it.
func (x *seenIndex) forget(dataset string, from, to uint64) []metaPair {
	r := seqRange{from, to}
	ranges := x.forgotten[dataset]
	if n := len(ranges); n > 0 && ranges[n-1].from <= from && ranges[n-1].to+1 >= from {
		ranges[n-1].to = max(ranges[n-1].to, to)
		r = ranges[n-1]
	} else {
		ranges = append(ranges, r)
	}
	pairs := []metaPair{forgottenPair(dataset, r)}
	if len(ranges) > forgottenKept {
		pairs = append(pairs, metaPair{key: forgottenPair(dataset, ranges[0]).key})
		ranges = slices.Delete(ranges, 0, 1)
	}
	x.forgotten[dataset] = ranges
	return pairs
}

func forgottenPair(dataset string, r seqRange) metaPair {
	k := append([]byte{metaForgotten, byte(len(dataset))}, dataset...)
	return metaPair{binary.BigEndian.AppendUint64(k, r.from), binary.BigEndian.AppendUint64(nil, r.to)}
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
