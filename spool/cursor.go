package spool

import (
	"context"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
)

// pair is the stream as meta keeps it; st.mu is held.
func (st *Stream) pair() metaPair {
	st.takeOwed()
	row := streamRow{
		Dataset: st.dataset, Next: st.next, Pin: st.pin, Totals: st.totals, Exceptions: st.exceptions,
		At: st.at, Passed: st.passed, Rejected: st.rejected, Retries: st.retries,
	}
	if st.history != st.name {
		row.History = st.history
	}
	for _, sp := range st.window {
		row.leaveOut(sp)
	}
	row.Aside = append(row.Aside, st.aside...) // a recovery may save it before they are in the window
	data, err := cbor.Marshal(row)
	if err != nil {
		panic(fmt.Sprintf("encode stream row: %v", err)) // plain numbers and names always encode
	}
	return metaPair{streamKey(st.name), data}
}

// leaveOut takes a record that the cursor has not passed out of the totals,
// or notes that it was rejected.
func (r *streamRow) leaveOut(sp span) {
	switch {
	case !sp.done:
	case sp.fate == FateStored:
		r.Totals.Stored--
		r.Totals.BytesStored -= uint64(sp.bytes)
	case sp.fate == FateAlreadyThere:
		r.Totals.AlreadyThere--
	case sp.fate == FateLost:
		r.Totals.Lost -= uint64(sp.lost)
	case sp.fate == FateRejected:
		r.Aside = append(r.Aside, asideRow{Sequence: sp.first, Bytes: sp.bytes})
	}
}

// setAgain brings back what was rejected behind the cursor.
func (st *Stream) setAgain() {
	for _, a := range st.aside {
		seg, _ := st.spool.table.holding(st.dataset, a.Sequence, st.spool.table.startOf(a.Sequence))
		if seg == nil || a.Sequence < st.next {
			continue
		}
		st.note(span{first: a.Sequence, last: a.Sequence, count: 1, bytes: a.Bytes, segment: seg.id, done: true, fate: FateRejected})
		st.gaps = true
	}
	st.aside = nil
}

// takeOwed counts what was found while the mutex was somebody's; st.mu is held.
func (st *Stream) takeOwed() {
	st.totals.Lost += st.owed.Swap(0)
	st.exceptions = max(0, st.exceptions-st.outdated.Swap(0))
}

// unsaved tells whether the stream's row in meta is behind; st.mu is held.
func (st *Stream) unsaved() bool {
	return !st.removed && (st.dirty || st.owed.Load() != 0 || st.outdated.Load() != 0)
}

// moveTo sets the cursor; st.mu is held.
func (st *Stream) moveTo(next uint64) {
	st.next = next
	st.cursor.Store(next)
}

// save makes the cursor durable; st.mu is held.
func (st *Stream) save() error {
	if st.removed {
		return fmt.Errorf("save stream %s: %w", st.name, ErrUnknownStream)
	}
	if err := st.spool.putCounted(st.pair()); err != nil {
		return err
	}
	st.dirty = false
	return nil
}

// resume takes up the place that the stream's row told, if the cursor is
// still in that segment; st.mu is held.
func (st *Stream) resume() error {
	seg, from := st.spool.table.holding(st.dataset, st.next, st.spool.table.startOf(st.next))
	if seg == nil || seg.id != st.at {
		return st.locate()
	}
	st.from = from
	return nil
}

// place makes sure that it is known how much lies before the cursor in its
// segment. That segment may have begun, or got records from before the cursor,
// after the cursor was set; st.mu is held.
func (st *Stream) place() error {
	t := st.spool.table
	var seg *segment
	if seg, st.from = t.holding(st.dataset, st.next, st.from); seg == nil || seg.id == st.at {
		return nil
	}
	t.mu.RLock()
	first := seg.row.Sets[st.dataset].First
	t.mu.RUnlock()
	if first >= st.next {
		return nil
	}
	return st.locate()
}

// locate finds the segment that the cursor is in, and how much of the dataset
// it holds before the cursor; st.mu is held.
func (st *Stream) locate() error {
	st.at, st.passed = segmentID{}, setRow{}
	var seg *segment
	if seg, st.from = st.spool.table.holding(st.dataset, st.next, st.spool.table.startOf(st.next)); seg == nil {
		return nil
	}
	st.at = seg.id
	if st.spool.table.row(seg).Sets[st.dataset].First >= st.next {
		return nil
	}
	return st.spool.table.view(seg, func(db *badger.DB) error {
		return eachChunk(db, st.dataset, 0, func(head block, item *badger.Item) (bool, error) {
			switch {
			case head.first >= st.next:
				return true, nil
			case head.last < st.next:
				st.passed.Count += int64(head.count)
				st.passed.Bytes += head.bytes
				return false, nil
			}
			recs, err := st.spool.readChunk(item)
			if err != nil {
				st.passed.Count += int64(min(uint64(head.count), st.next-head.first))
				return true, nil
			}
			for i := range recs {
				if recs[i].sequence >= st.next {
					break
				}
				if r, err := recs[i].record(); err == nil {
					st.passed.Bytes += r.Size
				}
				st.passed.Count++
			}
			return true, nil
		})
	})
}

// Backlog is the number of records of the dataset that are not yet settled,
// and their bytes.
func (st *Stream) Backlog() (records, bytes int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.backlog()
}

func (st *Stream) backlog() (records, bytes int64) {
	_ = st.place() // a segment that cannot be read counts whole, until it is lost
	t := st.spool.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	from, _ := t.index(st.from)
	for _, s := range t.segs[from:] {
		set, ok := s.row.Sets[st.dataset]
		if !ok || set.Last < st.next {
			continue
		}
		records += set.Count
		bytes += set.Bytes
		if s.id == st.at {
			records -= st.passed.Count
			bytes -= st.passed.Bytes
		}
	}
	behind, _ := slices.BinarySearch(st.retries, st.next)
	records += int64(behind)
	for _, sp := range st.window {
		if sp.done {
			records -= sp.count
			bytes -= sp.bytes
		}
	}
	return max(records, 0), max(bytes, 0)
}

// Sync makes the cursor durable now.
func (st *Stream) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.unsaved() {
		return nil
	}
	return st.save()
}

// Reset moves the cursor to the first record at or after sequence.
func (st *Stream) Reset(ctx context.Context, sequence uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st.mu.Lock()
	st.spool.mu.Lock()
	st.moveTo(max(1, min(sequence, st.spool.nextSeq)))
	st.spool.mu.Unlock()
	st.window, st.chunk, st.gaps = nil, chunkCache{}, false
	err := st.locate()
	if serr := st.save(); err == nil {
		err = serr
	}
	st.mu.Unlock()
	st.announce()
	if err != nil {
		return fmt.Errorf("reset stream %s: %w", st.name, err)
	}
	return nil
}
