package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// A span is a record that was fetched and not passed yet, or a stretch of
// records that were found damaged.
type span struct {
	first, last uint64
	count       int64
	bytes       int64
	segment     segmentID
	done        bool
	fate        Fate  // if done
	lost        int64 // of count, if they are FateLost
}

// errPartsGone: the segments with parts of a body went to make room.
var errPartsGone = errors.New("parts of its body went to make room")

// A chunkCache is the chunk that a stream read last, because small batches
// come from the same one again and again.
type chunkCache struct {
	segment segmentID
	last    uint64
	recs    []stored
}

// A batch is what a Fetch gathers.
type batch struct {
	limit Limit
	recs  []Record
	bytes int64
}

func (b *batch) full(next int64) bool {
	return len(b.recs) > 0 && (len(b.recs) >= b.limit.Records || b.bytes+next > b.limit.Bytes)
}

// Fetch returns the next records in order, the same ones until they are
// settled; none when there is nothing new. Damaged records are counted as
// lost and passed over. It does not block for new records: see Ready.
func (st *Stream) Fetch(ctx context.Context, limit Limit) ([]Record, error) {
	if st.spool.isClosed() {
		return nil, ErrClosed
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.place(); err != nil && !errors.Is(err, ErrDamaged) {
		return nil, fmt.Errorf("fetch from stream %s: %w", st.name, err)
	}
	var recs []Record
	for again := true; again; {
		var full bool
		var err error
		b := &batch{limit: limit}
		if err = st.offerAgain(b); err == nil {
			recs, full, err = st.collect(ctx, b)
		}
		if err != nil {
			return nil, fmt.Errorf("fetch from stream %s: %w", st.name, err)
		}
		// A small batch may end before what was rejected ahead of it.
		st.gaps = st.gaps && full && recs[len(recs)-1].Sequence < st.window[len(st.window)-1].last
		again = st.loseGone(recs)
	}
	st.advance()
	if err := st.spool.offer(recs); err != nil {
		return nil, fmt.Errorf("fetch from stream %s: %w", st.name, err)
	}
	return recs, nil
}

// collect adds to a batch from one segment after the other. It tells whether
// the batch is full, so that there may be more.
func (st *Stream) collect(ctx context.Context, b *batch) (recs []Record, full bool, err error) {
	var seg *segment
	seg, st.from = st.spool.table.holding(st.dataset, st.next, st.from)
	for ; seg != nil; seg = st.spool.table.after(seg, st.dataset) {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		full, err = st.gather(seg, b)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, false, err
		}
		if err != nil {
			st.loseSegment(seg, err)
		}
		if full {
			break
		}
	}
	return b.recs, full, nil
}

// gather adds a segment's records to the batch until it is full.
func (st *Stream) gather(seg *segment, b *batch) (full bool, err error) {
	first, last := st.spool.table.bounds(seg)
	err = st.spool.table.view(seg, func(db *badger.DB) error {
		return eachChunk(db, st.dataset, st.next, func(head block, item *badger.Item) (bool, error) {
			if head.first < first {
				return false, nil
			}
			if head.first > last || b.full(0) {
				full = b.full(0)
				return true, nil
			}
			recs, err := st.readChunk(seg, head, item)
			if err != nil {
				if st.loseChunk(seg.id, head, err) {
					st.spool.keepHarmed(seg, head, item)
				}
				return false, nil
			}
			full = st.take(seg.id, recs, last, b)
			return full, nil
		})
	})
	return full, err
}

func (st *Stream) readChunk(seg *segment, head block, item *badger.Item) ([]stored, error) {
	if st.chunk.segment == seg.id && st.chunk.last == head.last && st.chunk.recs != nil {
		return st.chunk.recs, nil
	}
	if st.lostBefore(head.last) {
		return nil, ErrDamaged
	}
	recs, err := st.spool.readChunk(item)
	if err != nil {
		if b, rerr := st.spool.rescue(seg, item.KeyCopy(nil)); rerr == nil {
			recs, err = decodeChunk(&b)
		}
	}
	if err == nil {
		st.chunk = chunkCache{segment: seg.id, last: head.last, recs: recs}
	}
	return recs, err
}

// lostBefore tells whether a damaged stretch that ends there is in the window.
func (st *Stream) lostBefore(last uint64) bool {
	i, ok := st.find(last)
	return ok && st.window[i].done && st.window[i].first != last
}

// take adds a chunk's records to the batch; it tells when the batch is full.
func (st *Stream) take(id segmentID, recs []stored, last uint64, b *batch) (full bool) {
	for i := range recs {
		s := &recs[i]
		if s.sequence < st.next || s.sequence > last {
			continue
		}
		if at, ok := st.find(s.sequence); ok && st.window[at].done {
			continue
		}
		r, err := s.record()
		if err == nil && s.parts.id != "" && !st.spool.holdsAll(s.parts) {
			err = errPartsGone
		}
		if err != nil {
			st.lose(span{first: s.sequence, last: s.sequence, count: 1, bytes: r.Size, segment: id}, err)
			continue
		}
		if b.full(r.Size) {
			return true
		}
		if b.recs == nil {
			b.recs = make([]Record, 0, max(min(b.limit.Records, len(recs)-i), 1))
		}
		r.Body = &keptBody{spool: st.spool, inline: s.inline, parts: s.parts, size: r.Size, sum: r.SHA256}
		b.recs = append(b.recs, r)
		b.bytes += r.Size
		st.note(span{first: s.sequence, last: s.sequence, count: 1, bytes: r.Size, segment: id})
	}
	return false
}

// loseGone loses the records of a batch whose bodies went while the segments
// with them stayed, for what is kept longer. It tells whether there were any.
func (st *Stream) loseGone(recs []Record) (lost bool) {
	for i := range recs {
		body := recs[i].Body.(*keptBody)
		if body.parts.id == "" || st.spool.holdsParts(body.parts) {
			continue
		}
		if at, ok := st.find(recs[i].Sequence); ok {
			st.lose(st.window[at], errPartsGone)
			lost = true
		}
	}
	return lost
}

// find looks for the span that ends at the sequence.
func (st *Stream) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(st.window, sequence, func(sp span, seq uint64) int {
		switch {
		case sp.last < seq:
			return -1
		case sp.first > seq:
			return 1
		}
		return 0
	})
}

// note adds a span behind those of the window, unless it is there.
func (st *Stream) note(sp span) {
	if i, ok := st.find(sp.last); !ok {
		st.window = slices.Insert(st.window, i, sp)
	}
}

// loseChunk passes over a damaged chunk. It tells whether nobody met it before.
func (st *Stream) loseChunk(id segmentID, head block, cause error) bool {
	sp := span{first: max(head.first, st.next), last: head.last, count: int64(head.count), bytes: head.bytes, segment: id}
	if head.first < st.next {
		sp.count = min(sp.count, int64(head.last-st.next+1))
	}
	return st.lose(sp, cause)
}

// loseSegment passes over what a segment that cannot be read has left.
func (st *Stream) loseSegment(seg *segment, cause error) {
	set := st.spool.table.row(seg).Sets[st.dataset]
	sp := span{first: max(set.First, st.next), last: set.Last, count: set.Count, bytes: set.Bytes, segment: seg.id}
	if seg.id == st.at {
		sp.count -= st.passed.Count
		sp.bytes -= st.passed.Bytes
	}
	st.lose(sp, cause)
}

// lose counts a stretch of records as lost, once. It takes the place of what
// was fetched of the stretch and is not settled. It tells whether nobody met
// the damage before.
func (st *Stream) lose(sp span, cause error) bool {
	from, _ := st.find(sp.first)
	to := from
	lost := sp.count
	for ; to < len(st.window) && st.window[to].first <= sp.last; to++ {
		if w := st.window[to]; w.done {
			lost -= w.count
		}
	}
	if lost <= 0 {
		return false
	}
	sp.done, sp.fate, sp.lost = true, FateLost, lost
	st.window = slices.Replace(st.window, from, to, sp)
	st.totals.Lost += uint64(lost)
	st.dirty = true
	sp.count = lost
	st.noteLost(sp.first, sp.last, cause.Error())
	if errors.Is(cause, errPartsGone) {
		st.noteGone(sp)
		return false
	}
	return st.spool.noteDamage(st.dataset, sp, cause)
}

// advance moves the cursor behind the settled spans at the window's front.
func (st *Stream) advance() {
	if st.gaps {
		return
	}
	n := 0
	for n < len(st.window) && st.window[n].done {
		sp := st.window[n]
		if sp.segment != st.at {
			st.at, st.passed = sp.segment, setRow{}
		}
		st.passed.Count += sp.count
		st.passed.Bytes += sp.bytes
		st.moveTo(sp.last + 1)
		n++
	}
	if n == 0 {
		return
	}
	st.window = slices.Delete(st.window, 0, n)
	if st.chunk.last < st.next {
		st.chunk = chunkCache{}
	}
	st.dirty = true
	st.spool.choresSoon()
}
