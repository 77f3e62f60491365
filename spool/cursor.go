package spool

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
)

// pair is the stream as meta keeps it; st.mu is held.
func (st *Stream) pair() metaPair {
	st.takeOwed()
	data, err := cbor.Marshal(streamRow{
		Dataset: st.dataset, Next: st.next, Pin: st.pin, Totals: st.totals, Exceptions: st.exceptions,
	})
	if err != nil {
		panic(fmt.Sprintf("encode stream row: %v", err)) // plain numbers and names always encode
	}
	return metaPair{streamKey(st.name), data}
}

// takeOwed counts what was found while the mutex was somebody's; st.mu is held.
func (st *Stream) takeOwed() {
	st.totals.Lost += st.owed.Swap(0)
	st.exceptions = max(0, st.exceptions-st.outdated.Swap(0))
}

// unsaved tells whether the stream's row in meta is behind; st.mu is held.
func (st *Stream) unsaved() bool {
	return st.dirty || st.owed.Load() != 0 || st.outdated.Load() != 0
}

// moveTo sets the cursor; st.mu is held.
func (st *Stream) moveTo(next uint64) {
	st.next = next
	st.cursor.Store(next)
}

// save makes the cursor durable; st.mu is held.
func (st *Stream) save() error {
	if err := st.spool.meta.put(st.pair()); err != nil {
		return err
	}
	st.dirty = false
	return nil
}

// locate finds the segment that the cursor is in, and how much of the dataset
// it holds before the cursor; st.mu is held.
func (st *Stream) locate() error {
	st.at, st.passed = segmentID{}, setRow{}
	holding := st.spool.table.holding(st.dataset, st.next)
	if len(holding) == 0 {
		return nil
	}
	seg := holding[0]
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
	t := st.spool.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, s := range t.segs {
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
	st.window, st.chunk = nil, chunkCache{}
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
