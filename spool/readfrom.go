package spool

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// ReadFrom returns records of a dataset from a sequence on, in order, within
// the limit; none when there are no more. It needs no stream and moves none.
// What is damaged is passed over: the streams count it. Records that are not
// committed yet are not among them.
func (s *Spool) ReadFrom(ctx context.Context, dataset string, from uint64, limit Limit) ([]Record, error) {
	if s.isClosed() {
		return nil, ErrClosed
	}
	b := &batch{limit: limit}
	seg, _ := s.table.holding(dataset, from, s.table.startOf(from))
	for ; seg != nil; seg = s.table.after(seg, dataset) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		full, err := s.readSegment(seg, dataset, from, b)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, fmt.Errorf("read dataset %s: %w", dataset, err)
		}
		if full {
			break
		}
	}
	return b.recs, nil
}

// readSegment adds a segment's records to the batch until it is full.
func (s *Spool) readSegment(seg *segment, dataset string, from uint64, b *batch) (full bool, err error) {
	first, last := s.table.bounds(seg)
	err = s.table.view(seg, func(db *badger.DB) error {
		return eachChunk(db, dataset, from, func(head block, item *badger.Item) (bool, error) {
			if head.first < first {
				return false, nil
			}
			if head.first > last {
				return true, nil
			}
			recs, err := s.readChunk(item)
			if err != nil {
				return false, nil
			}
			full = s.addTo(b, recs, from, last)
			return full, nil
		})
	})
	return full, err
}

// addTo adds those of a chunk's records to the batch that lie within the
// bounds; it tells when the batch is full.
func (s *Spool) addTo(b *batch, recs []stored, from, last uint64) (full bool) {
	for i := range recs {
		r := &recs[i]
		if r.sequence < from || r.sequence > last {
			continue
		}
		rec, err := r.record()
		if err != nil || r.parts.id != "" && !s.holdsAll(r.parts) {
			continue
		}
		if b.full(rec.Size) {
			return true
		}
		rec.Body = &keptBody{spool: s, inline: r.inline, parts: r.parts, size: rec.Size, sum: rec.SHA256}
		b.recs = append(b.recs, rec)
		b.bytes += rec.Size
	}
	return b.full(0)
}

// Envelope finds the envelope of a record while the spool has it; its Body is
// nil.
func (s *Spool) Envelope(sequence uint64) (Record, bool) {
	if s.isClosed() {
		return Record{}, false
	}
	r, ok := s.envelopeOf(sequence)
	r.Sequence, r.Body = sequence, nil
	return r, ok
}
