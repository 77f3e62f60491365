package spool

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A DetectionQuery picks and orders detections.
type DetectionQuery struct {
	// First and Last bound the ids, both inclusive; a Last of 0 does not.
	First, Last uint64
	// From and To bound the times, both inclusive; a zero one does not.
	From, To time.Time
	// MinScore and MaxScore bound the scores, both inclusive; a MaxScore of
	// 0 does not.
	MinScore, MaxScore float64
	// Texts each have to be one of the detection's texts or tags: what has
	// none of them anywhere is passed over sooner. Which it is Keep says.
	Texts []string
	// Keep decides the rest; nil keeps all.
	Keep func(r *DetectionRow) bool
	// Compare orders them, those that are equal by their ids; nil: by their
	// ids. The rows that it is given have no tags.
	Compare    func(a, b *DetectionRow) int
	Descending bool
	// Offset many are passed over, and Limit many returned.
	Offset, Limit int
}

// A DetectionPage is a part of what a query finds.
type DetectionPage struct {
	// Total is how many detections match, on all pages.
	Total int64
	// Newest is the highest id that there was.
	Newest     uint64
	Detections []Detection
}

// orderedHeld is how many rows are held at a time to put them in an order other
// than that of their ids.
const orderedHeld = 8192

// Detections answers a query about the detections that there are at the moment.
// Memory is bounded whatever matches; ids are visited in order, and texts are
// compared before anything is unpacked.
func (s *Spool) Detections(ctx context.Context, q DetectionQuery) (DetectionPage, error) {
	if s.isClosed() {
		return DetectionPage{}, fmt.Errorf("find detections: %w", ErrClosed)
	}
	v, err := s.detections.view()
	if err != nil {
		return DetectionPage{}, fmt.Errorf("find detections: %w", err)
	}
	defer v.close()
	page := DetectionPage{Newest: v.newest}
	var ids []uint64
	if q.Compare == nil {
		ids, page.Total, err = v.inOrder(ctx, &q)
	} else {
		ids, page.Total, err = v.ordered(ctx, &q)
	}
	if err == nil {
		page.Detections, err = v.unpack(ids)
	}
	if err != nil {
		return DetectionPage{}, fmt.Errorf("find detections: %w", err)
	}
	return page, nil
}

// Detection finds one detection.
func (s *Spool) Detection(ctx context.Context, id uint64) (d Detection, ok bool, err error) {
	page, err := s.Detections(ctx, DetectionQuery{First: id, Last: id, Limit: 1})
	if err != nil || len(page.Detections) == 0 || id == 0 {
		return Detection{}, false, err
	}
	return page.Detections[0], true, nil
}

// inOrder finds a page in the order of the ids.
func (v *detectionView) inOrder(ctx context.Context, q *DetectionQuery) (ids []uint64, total int64, err error) {
	from, to := int64(q.Offset), int64(q.Offset)+int64(q.Limit)
	var some []uint64 // of one chunk
	err = v.eachPlace(ctx, q.Descending, func(store int, p *detectionPlace) error {
		if n, all := q.takesAll(p, v.first); all && (total+int64(n) <= from || total >= to) {
			total += int64(n)
			return nil
		}
		some = some[:0]
		if err := v.rowsOf(store, p, q, func(r *DetectionRow) { some = append(some, r.ID) }); err != nil {
			return err
		}
		if q.Descending {
			slices.Reverse(some)
		}
		for _, id := range some {
			if total >= from && total < to {
				ids = append(ids, id)
			}
			total++
		}
		return nil
	})
	return ids, total, err
}

// ordered finds a page in another order: it holds the first rows, and goes
// through all of them again for a page behind those.
func (v *detectionView) ordered(ctx context.Context, q *DetectionQuery) (ids []uint64, total int64, err error) {
	hold := orderedHeld + q.Limit
	skip := q.Offset
	var floor *DetectionRow // the last row of the round before
	for round := 0; ; round++ {
		top := topRows{less: q.less, floor: floor, hold: hold}
		matching := int64(0)
		err := v.eachPlace(ctx, false, func(store int, p *detectionPlace) error {
			return v.rowsOf(store, p, q, func(r *DetectionRow) {
				matching++
				top.add(r)
			})
		})
		if err != nil {
			return nil, 0, err
		}
		if round == 0 {
			total = matching
		}
		rows := top.sorted()
		if skip < orderedHeld || len(rows) < hold {
			for i := skip; i < min(len(rows), skip+q.Limit); i++ {
				ids = append(ids, rows[i].ID)
			}
			return ids, total, nil
		}
		floor, skip = rows[orderedHeld-1], skip-orderedHeld
	}
}

// less orders two rows as the query asks for.
func (q *DetectionQuery) less(a, b *DetectionRow) bool {
	c := q.Compare(a, b)
	if c == 0 {
		c = 1
		if a.ID < b.ID {
			c = -1
		}
	}
	if q.Descending {
		return c > 0
	}
	return c < 0
}

// topRows holds the first rows in an order.
type topRows struct {
	less  func(a, b *DetectionRow) bool
	floor *DetectionRow // rows up to it do not count
	hold  int
	rows  []*DetectionRow
	full  bool // the last of rows[:hold] is the last one that counts
}

func (t *topRows) add(r *DetectionRow) {
	if t.floor != nil && (r.ID == t.floor.ID || t.less(r, t.floor)) || t.full && t.less(t.rows[t.hold-1], r) {
		return
	}
	t.rows = append(t.rows, r.clone())
	if len(t.rows) >= 2*t.hold {
		t.sort()
	}
}

func (t *topRows) sort() {
	slices.SortFunc(t.rows, func(a, b *DetectionRow) int {
		switch {
		case a.ID == b.ID:
			return 0
		case t.less(a, b):
			return -1
		}
		return 1
	})
	if len(t.rows) >= t.hold {
		clear(t.rows[t.hold:])
		t.rows, t.full = t.rows[:t.hold], true
	}
}

func (t *topRows) sorted() []*DetectionRow {
	t.sort()
	return t.rows
}

// unpack gives the detections of these ids, in their order.
func (v *detectionView) unpack(ids []uint64) ([]Detection, error) {
	wanted := make(map[uint64]int, len(ids))
	for i, id := range ids {
		wanted[id] = i
	}
	found := make([]Detection, len(ids))
	for store, places := range v.stores {
		for i := range places {
			p := &places[i]
			some := func(id uint64) bool {
				_, ok := wanted[id]
				return ok && id >= p.from
			}
			if !slices.ContainsFunc(ids, func(id uint64) bool { return id >= max(p.from, p.head.first) && id <= p.head.last }) {
				continue
			}
			value, ok := v.read(store, p)
			if !ok {
				continue
			}
			all, err := detectionsIn(v.d.codec, value, some)
			if err != nil {
				return nil, err
			}
			for _, d := range all {
				found[wanted[d.ID]] = d
			}
		}
	}
	return slices.DeleteFunc(found, func(d Detection) bool { return d.ID == 0 }), nil
}

// eachPlace visits the chunks that count, the oldest or the newest first.
func (v *detectionView) eachPlace(ctx context.Context, newestFirst bool, visit func(store int, p *detectionPlace) error) error {
	for i := range v.stores {
		store := i
		if newestFirst {
			store = len(v.stores) - 1 - i
		}
		places := v.stores[store]
		for k := range places {
			at := k
			if newestFirst {
				at = len(places) - 1 - k
			}
			p := &places[at]
			if p.value == nil && p.head.first >= v.first {
				continue // it is among those that wait
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(store, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// apart tells whether nothing in the chunk can match.
func (q *DetectionQuery) apart(h *detectionHead) bool {
	return h.last < q.First || q.Last > 0 && h.first > q.Last ||
		!q.From.IsZero() && h.to < nanoseconds(q.From) || !q.To.IsZero() && h.from > nanoseconds(q.To) ||
		h.highest < q.MinScore || q.MaxScore > 0 && h.lowest > q.MaxScore
}

// takesAll tells how many of a chunk match, if that is so of all or none of it.
func (q *DetectionQuery) takesAll(p *detectionPlace, before uint64) (n int, ok bool) {
	h := &p.head
	if q.apart(h) {
		return 0, true
	}
	inside := h.first >= q.First && (q.Last == 0 || h.last <= q.Last) &&
		(q.From.IsZero() || h.from >= nanoseconds(q.From)) && (q.To.IsZero() || h.to <= nanoseconds(q.To)) &&
		h.lowest >= q.MinScore && (q.MaxScore == 0 || h.highest <= q.MaxScore)
	whole := p.from <= h.first && (p.value != nil || h.last < before)
	return h.count, inside && whole && q.Keep == nil && len(q.Texts) == 0
}

// nanoseconds are those since 1970, as far as they can be told.
func nanoseconds(t time.Time) int64 {
	const most = 1<<33 - 1 // seconds
	return time.Unix(min(max(t.Unix(), -most), most), int64(t.Nanosecond())).UnixNano()
}

// rowsOf visits the rows of a chunk that match.
func (v *detectionView) rowsOf(store int, p *detectionPlace, q *DetectionQuery, visit func(r *DetectionRow)) error {
	if q.apart(&p.head) {
		return nil
	}
	value, ok := v.read(store, p)
	if !ok {
		return nil
	}
	rows, err := openRows(v.d.codec, value, v.rows)
	if err != nil {
		return err
	}
	v.rows = rows
	for _, text := range q.Texts {
		if !slices.Contains(rows.texts, text) {
			return nil
		}
	}
	from, to := nanoseconds(q.From), nanoseconds(q.To)
	for rows.next() {
		r := &rows.row
		switch {
		case r.ID < max(p.from, q.First), q.Last > 0 && r.ID > q.Last, p.value == nil && r.ID >= v.first:
		case !q.From.IsZero() && r.at < from, !q.To.IsZero() && r.at > to:
		case r.Score < q.MinScore, q.MaxScore > 0 && r.Score > q.MaxScore:
		case q.Keep != nil && !q.Keep(r):
		default:
			visit(r)
		}
	}
	return rows.err
}
