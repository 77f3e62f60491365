package spool

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// ResetToTime moves the cursor to the first record whose CreatedAt is at or
// after the time, or behind the newest record if none is. One segment at most
// is looked into: created_at never goes back, and its rows, the chunks' keys
// and at last one chunk are asked in turn.
func (st *Stream) ResetToTime(ctx context.Context, at time.Time) error {
	sequence, err := st.spool.createdAt(ctx, st.dataset, at.UnixNano())
	if err != nil {
		return fmt.Errorf("reset stream %s to %s: %w", st.name, at.Format(time.RFC3339), err)
	}
	return st.Reset(ctx, sequence)
}

// createdAt is the first sequence from which on every record of the dataset
// was created at or after a time.
func (s *Spool) createdAt(ctx context.Context, dataset string, at int64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	seg := s.table.reaching(at)
	if seg == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.nextSeq, nil
	}
	from := seg.id.First
	err := s.table.view(seg, func(db *badger.DB) error {
		before := block{} // the last chunk that began before the time
		err := eachChunk(db, dataset, 0, func(head block, _ *badger.Item) (bool, error) {
			if head.created >= at {
				return true, nil
			}
			before = head
			return false, nil
		})
		if err != nil || before.name == "" {
			return err
		}
		from = before.last + 1
		b, err := getBlock(db, s.codec, before.key())
		if err != nil {
			return nil // damaged: a reader finds that out where it matters
		}
		recs, err := decodeChunk(&b)
		if i := sort.Search(len(recs), func(i int) bool { return recs[i].created >= at }); err == nil && i < len(recs) {
			from = recs[i].sequence
		}
		return nil
	})
	return from, err
}

// reaching is the first segment with a record that was created at or after a
// time; nil if there is none.
func (t *segmentTable) reaching(at int64) *segment {
	t.mu.RLock()
	defer t.mu.RUnlock()
	created := func(i int) int64 { // of the last record up to there; some segments have none
		for ; i >= 0; i-- {
			if t.segs[i].row.Count > 0 {
				return t.segs[i].row.Created
			}
		}
		return 0
	}
	i := sort.Search(len(t.segs), func(i int) bool { return created(i) >= at })
	if i == len(t.segs) {
		return nil
	}
	return t.segs[i]
}
