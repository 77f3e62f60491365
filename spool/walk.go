package spool

import (
	"context"
	"slices"
	"sort"
)

// Walk visits all readable records of a spool that no agent holds, in order,
// and changes nothing. Bodies stay readable until Walk returns; damaged
// records are passed over. It ends with visit's first error, or ErrLocked.
func Walk(ctx context.Context, path string, visit func(Record) error) error {
	v, err := openView(path, false)
	if err != nil {
		return err
	}
	defer v.close()
	for _, st := range v.stores {
		err := v.walkStore(ctx, st, func(r *stored) error {
			rec, err := v.record(r)
			if err != nil {
				return nil
			}
			return visit(rec)
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// record unpacks a record and gives it its body.
func (v *view) record(r *stored) (Record, error) {
	rec, err := r.record()
	if err != nil {
		return Record{}, err
	}
	body := &keptBody{inline: r.inline, parts: r.parts, size: rec.Size, sum: rec.SHA256, part: v.part}
	if r.parts.id != "" && !v.holds(r.parts) {
		return Record{}, errPartsGone
	}
	rec.Body = body
	return rec, nil
}

// walkStore visits a segment's records by sequence, whatever their dataset,
// and tells damaged of the chunks that cannot be read. The chunks of one
// commit overlap, so records wait until no later chunk can precede them.
func (v *view) walkStore(ctx context.Context, st *viewedStore, visit func(r *stored) error, damaged func(head block, cause error)) error {
	var waiting []stored
	emit := func(before uint64) error {
		sort.Slice(waiting, func(i, j int) bool { return waiting[i].sequence < waiting[j].sequence })
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
	for _, place := range st.chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := emit(place.head.first); err != nil {
			return err
		}
		b, err := v.read(place)
		var recs []stored
		if err == nil {
			recs, err = decodeChunk(&b)
		}
		if err != nil {
			if damaged != nil {
				damaged(place.head, err)
			}
			continue
		}
		waiting = append(waiting, recs...)
	}
	return emit(st.row.Last + 1)
}
