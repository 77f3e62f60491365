package spool

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// hashSize is how many bytes of an identity the index keeps. With 2,000,000
// remembered, one unknown identity in 4e22 passes for a known one.
const hashSize = 12

// shortHash is the part of an identity that the index keeps.
func shortHash(identity [32]byte) (h [hashSize]byte) {
	copy(h[:], identity[:])
	return h
}

// A seenRef is where the record of a hash is.
type seenRef struct {
	sequence uint64
	dataset  string
}

const (
	// Runs of less than limit/runsKept identities are merged once there are
	// mergeRuns of them in a row, so that a full index has hardly more runs
	// than runsKept, and an identity is written once mostly, and seldom more
	// than twice.
	runsKept  = 256
	mergeRuns = 16
	// runDisk is about what an identity takes on the disk in short segments.
	runDisk = 25
)

// A seenIndex knows the identities of records that are in the spool or were
// delivered: those of unsealed segments in memory, older ones in runs. It
// outlives the records, and it is bounded: beyond limit the oldest run goes,
// whether its records are still there or not. Its owner's mutex guards it.
type seenIndex struct {
	dir   string
	epoch uint64
	limit int
	small int // runs of fewer identities are merged
	log   Logger
	// holds tells whether a sealed segment with records lies between two
	// sequences; a run that is missing there must not be hidden by merging
	// those around it.
	holds   func(from, to uint64) bool
	damaged func(path string, cause error) error // sets a run aside

	active    map[[hashSize]byte]seenRef
	runs      []*run // by sequence
	floor     uint64 // what is before it was forgotten for want of room
	forgotten map[string][]seqRange
	page      []byte
}

func newSeenIndex(dir string, limit int, log Logger) *seenIndex {
	return &seenIndex{
		dir: dir, limit: limit, small: limit / runsKept, log: log,
		holds:  func(uint64, uint64) bool { return false },
		active: map[[hashSize]byte]seenRef{}, forgotten: map[string][]seqRange{}, page: make([]byte, runPage),
	}
}

// seenLimit is how many identities an index remembers that has at most a
// sixteenth of the cap.
func seenLimit(remembered int, maxBytes int64) int {
	return int(min(int64(remembered), max(maxBytes/16/runDisk, 8<<10)))
}

// lookup finds the sequence of a known identity, the newest if there are more.
func (x *seenIndex) lookup(h [hashSize]byte) (uint64, bool) {
	if ref, ok := x.active[h]; ok && !x.isForgotten(ref.dataset, ref.sequence) {
		return ref.sequence, true
	}
	for _, r := range slices.Backward(x.runs) {
		found, err := r.find(h, x.page)
		if err != nil && !r.bad.Swap(true) {
			x.log.Warn("part of the duplicate index cannot be read; it is made anew, and a known sample may be taken again", "error", err)
		}
		for _, ref := range slices.Backward(found) {
			if !x.isForgotten(ref.dataset, ref.sequence) {
				return ref.sequence, true
			}
		}
	}
	return 0, false
}

func (x *seenIndex) add(h [hashSize]byte, sequence uint64, dataset string) {
	x.active[h] = seenRef{sequence, dataset}
}

func (x *seenIndex) drop(h [hashSize]byte, sequence uint64) {
	if x.active[h].sequence == sequence {
		delete(x.active, h)
	}
}

// letGo forgets the identities of a segment that are in memory.
func (x *seenIndex) letGo(row segmentRow) {
	for h, ref := range x.active {
		if ref.sequence >= row.ID.First && ref.sequence <= row.Last {
			delete(x.active, h)
		}
	}
}

// seal moves a sealed segment's identities from memory to a run.
func (x *seenIndex) seal(mu *sync.Mutex, row segmentRow) error {
	mu.Lock()
	var refs []identityRef
	for h, ref := range x.active {
		if ref.sequence >= row.ID.First && ref.sequence <= row.Last {
			refs = append(refs, identityRef{h, ref.sequence, ref.dataset})
		}
	}
	mu.Unlock()
	if len(refs) == 0 {
		return nil
	}
	r, err := writeRun(x.dir, x.epoch, seqRange{row.ID.First, row.Last}, refs)
	if err != nil {
		return err
	}
	mu.Lock()
	x.insert(r)
	for _, ref := range refs {
		x.drop(ref.hash, ref.sequence)
	}
	mu.Unlock()
	if err := x.merge(mu); err != nil {
		return err
	}
	mu.Lock()
	loose := x.looseRuns()
	mu.Unlock()
	if len(loose) < looseKept {
		return nil
	}
	return x.settle(mu, loose...)
}

// insert puts a run in its place, which another one may have had, or one of
// what its segment held before a crash.
func (x *seenIndex) insert(r *run) {
	x.runs = slices.DeleteFunc(x.runs, func(o *run) bool { return r.covers(o.first, o.last) })
	x.place(r)
}

func (x *seenIndex) place(r *run) {
	i, _ := slices.BinarySearchFunc(x.runs, r.first, compareRun)
	x.runs = slices.Insert(x.runs, i, r)
}

func compareRun(r *run, first uint64) int {
	switch {
	case r.first < first:
		return -1
	case r.first > first:
		return 1
	}
	return 0
}

// load opens the runs that are there. What is damaged, of another version, or
// part of a merged one is removed; what of it can be made again will be.
func (x *seenIndex) load(mu *sync.Mutex) error {
	names, err := os.ReadDir(x.dir)
	if err != nil {
		return err
	}
	for _, d := range names {
		path := filepath.Join(x.dir, d.Name())
		if strings.HasSuffix(path, runDraft) { // a crash left it
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		if !strings.HasSuffix(path, runEnd) { // somebody else's
			continue
		}
		r, err := openRun(path, x.epoch)
		if err == nil && r.loose() {
			err = r.check()
		}
		if err != nil && isDiskFault(err) {
			return err
		}
		if err != nil { // a sector that cannot be read is damage as well
			x.log.Warn("run of the duplicate index is not usable; it is made again where its records live", "error", err)
			drop := x.damaged
			if strings.HasSuffix(path, looseRun) { // a power cut does that
				drop = func(path string, _ error) error { return os.Remove(path) }
			}
			if err := drop(path, err); err != nil {
				return err
			}
			continue
		}
		x.place(r)
	}
	return x.dropMerged(mu)
}

// dropMerged removes runs that are part of a larger one.
func (x *seenIndex) dropMerged(mu *sync.Mutex) error {
	var kept, parts, loose []*run
	for _, r := range x.runs { // by their beginning, so a larger one is next to its parts
		n := len(kept) - 1
		switch {
		case n >= 0 && kept[n].covers(r.first, r.last):
			parts = append(parts, r)
		case n >= 0 && r.covers(kept[n].first, kept[n].last):
			parts, kept[n] = append(parts, kept[n]), r
		default:
			kept = append(kept, r)
		}
	}
	x.runs = kept
	if len(parts) == 0 {
		return nil
	}
	for _, r := range kept {
		if r.loose() {
			loose = append(loose, r)
		}
	}
	if err := x.settle(mu, loose...); err != nil {
		return err
	}
	for _, r := range parts {
		if err := os.Remove(r.path); err != nil {
			return err
		}
	}
	return nil
}

// covered tells whether the index needs nothing more of that segment.
func (x *seenIndex) covered(row segmentRow) bool {
	if row.Count == 0 || row.Last < x.floor {
		return true
	}
	i, same := slices.BinarySearchFunc(x.runs, row.ID.First, compareRun)
	if !same {
		i--
	}
	return i >= 0 && x.runs[i].covers(row.ID.First, row.Last)
}

// trim drops the oldest runs beyond the limit. oldest is the first sequence in
// the spool. It returns what is to be made durable for it.
func (x *seenIndex) trim(oldest uint64) (pairs []metaPair) {
	total := 0
	for _, r := range x.runs {
		total += r.count
	}
	floor := x.floor
	for len(x.runs) > 1 && total > x.limit {
		if err := os.Remove(x.runs[0].path); err != nil {
			x.log.Warn("old run of the duplicate index stays", "error", err)
			break
		}
		total -= x.runs[0].count
		x.floor = x.runs[0].last + 1
		x.runs = slices.Delete(x.runs, 0, 1)
	}
	if x.floor != floor {
		pairs = append(pairs, floorPair(x.floor))
	}
	first := oldest
	if len(x.runs) > 0 {
		first = min(first, x.runs[0].first)
	}
	return append(pairs, x.remind(max(first, x.floor))...)
}

// disk is what the runs take, and one that is being merged.
func (x *seenIndex) disk() int64 {
	var total int64
	for _, r := range x.runs {
		total += r.disk()
	}
	return total + mergeRuns*int64(x.small)*runDisk
}
