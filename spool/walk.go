package spool

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// Walk visits all readable records of a spool that no agent holds, in order,
// and changes nothing. Bodies stay readable until Walk returns; damaged
// records are passed over. It ends with visit's first error, or ErrLocked.
func Walk(ctx context.Context, path string, visit func(Record) error) error {
	s, closer, err := view(path)
	if err != nil {
		return err
	}
	defer closer()
	for _, seg := range s.table.list() {
		err := s.walkSegment(ctx, seg, func(r *stored) error {
			rec, err := r.record()
			if err != nil || r.parts.id != "" && !s.holdsAll(r.parts) {
				return nil
			}
			rec.Body = &keptBody{spool: s, inline: r.inline, parts: r.parts, size: rec.Size, sum: rec.SHA256}
			return visit(rec)
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// walkSegment visits a segment's records by sequence, whatever their dataset,
// and tells damaged of the chunks that cannot be read. The chunks of one
// commit overlap, so records wait until no later chunk can precede them.
func (s *Spool) walkSegment(ctx context.Context, seg *segment, visit func(r *stored) error, damaged func(head block, cause error)) error {
	heads, err := s.chunkHeads(seg)
	if err != nil {
		return nil // a segment that does not open has no readable records
	}
	_, last := s.table.bounds(seg)
	var waiting []stored
	emit := func(before uint64) error {
		slices.SortFunc(waiting, func(a, b stored) int { return cmp.Compare(a.sequence, b.sequence) })
		n := 0
		for n < len(waiting) && waiting[n].sequence < before {
			if err := visit(&waiting[n]); err != nil {
				return err
			}
			n++
		}
		waiting = slices.Delete(waiting, 0, n)
		return nil
	}
	for _, head := range heads {
		if err := ctx.Err(); err != nil {
			return err
		}
		if head.first > last {
			continue
		}
		if err := emit(head.first); err != nil {
			return err
		}
		recs, err := s.chunkOf(seg, head)
		if err != nil {
			if damaged != nil {
				damaged(head, err)
			}
			continue
		}
		waiting = append(waiting, recs...)
	}
	return emit(last + 1)
}

// chunkHeads lists what chunks a segment's keys name, by first sequence.
func (s *Spool) chunkHeads(seg *segment) ([]block, error) {
	var heads []block
	err := s.table.view(seg, func(db *badger.DB) error {
		return db.View(func(txn *badger.Txn) error {
			o := badger.DefaultIteratorOptions
			o.PrefetchValues = false
			o.Prefix = []byte{prefixChunk}
			it := txn.NewIterator(o)
			defer it.Close()
			for it.Rewind(); it.Valid(); it.Next() {
				if head, err := parseChunkKey(bytes.Clone(it.Item().Key())); err == nil {
					heads = append(heads, head)
				}
			}
			return nil
		})
	})
	slices.SortFunc(heads, func(a, b block) int { return cmp.Compare(a.first, b.first) })
	return heads, err
}

// chunkOf reads the chunk that a key names.
func (s *Spool) chunkOf(seg *segment, head block) (recs []stored, err error) {
	err = s.table.view(seg, func(db *badger.DB) error {
		b, err := getBlock(db, s.codec, head.key())
		if err == nil {
			recs, err = decodeChunk(&b)
		}
		return err
	})
	return recs, err
}
