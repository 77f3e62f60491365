package streams

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/edgespool/edgespool/spool"
)

const (
	// maxSize bounds size and max_filtered of a request.
	maxSize = 1024
	// batchBytes is about how many bytes of comments an answer has; there may
	// be fewer comments in it than were asked for.
	batchBytes = 4 << 20
	// maxScanned is how many records of sources that are not the dataset's
	// are passed over in one request.
	maxScanned = 16384
)

// A batch is what a fetch finds.
type batch struct {
	found    []found
	filtered int
	// last is the last record that was looked at: the batch's position.
	last position
	// end: there was nothing further.
	end bool
}

// found is a comment with its position.
type found struct {
	*comment
	at position
}

// A batchLimit is what a request asks for: so many comments, of which those
// that are filtered out count from maxFiltered on.
type batchLimit struct{ size, maxFiltered int }

// fill looks at the comments that are to be seen once more, if there are any,
// and else at those from the stream's position on: a batch with both would have
// no one place behind it. It moves nothing.
func (a *API) fill(ctx context.Context, st *stream, limit batchLimit) (*batch, error) {
	b := &filling{api: a, stream: st, limit: limit}
	b.last = position{createdMS: st.BeganMS, sequence: st.position() - 1}
	if err := b.takeAgain(ctx); err != nil {
		return nil, err
	}
	if len(b.found) > 0 {
		a.used(st, func(u *usage) { u.fetched = time.Now() })
		return &b.batch, nil
	}
	b.end = true
	if err := a.eachRecord(ctx, st, b.take); err != nil {
		return nil, err
	}
	if b.err != nil {
		return nil, b.err
	}
	a.used(st, func(u *usage) { u.fetched = time.Now() })
	if st.filter == nil && (len(b.found) > 0 || b.end) {
		b.filtered = 0 // what is not of the dataset is told only where a client would stop for nothing
	}
	return &b.batch, nil
}

// A filling is a batch under way.
type filling struct {
	batch
	api     *API
	stream  *stream
	limit   batchLimit
	foreign int
	bytes   int64
	err     error
}

// counted is how much of the size is used up.
func (f *filling) counted() int {
	return len(f.found) + max(0, f.filtered-f.limit.maxFiltered)
}

// take looks at a record; false if the batch is full without it.
func (f *filling) take(r *spool.Record) bool {
	if f.counted() >= f.limit.size || f.bytes >= batchBytes || f.foreign >= maxScanned {
		f.end = false
		return false
	}
	at := position{createdMS: r.CreatedAt.UnixMilli(), sequence: r.Sequence}
	c, err := f.api.comment(r)
	if err != nil && !errors.Is(err, spool.ErrDamaged) { // it may be read another time, and must not be passed over
		f.err = err
		return false
	}
	if err != nil {
		f.foreign++
		f.last = at
		return true
	}
	switch sources := f.stream.covers.sources; {
	case sources != nil && !sources[c.sourceID]:
		if f.foreign++; f.foreign >= maxScanned {
			f.filtered++
		}
	case f.stream.filter.matches(c):
		f.found = append(f.found, found{c, at})
		f.bytes += commentBytes + bodyBytes(r)
	default:
		f.filtered++
	}
	f.last = at
	return true
}

// commentBytes is about what a sample's comment takes.
const commentBytes = 1 << 10

func bodyBytes(r *spool.Record) int64 {
	if r.ContentType == commentType {
		return r.Size
	}
	return 0
}

// eachRecord shows the records of all the datasets that a stream covers in
// their order, from its position on, until visit answers false.
func (a *API) eachRecord(ctx context.Context, st *stream, visit func(r *spool.Record) bool) error {
	// What comes meanwhile might show in one dataset and not yet in another,
	// which was read before.
	newest := a.spool.LastSequence()
	if len(st.cursors) == 1 {
		c := st.cursors[0]
		return c.Scan(ctx, c.Next(), func(r *spool.Record) bool { return r.Sequence <= newest && visit(r) })
	}
	var readers []*reader
	for _, c := range st.cursors {
		readers = append(readers, &reader{stream: c, from: c.Next(), newest: newest})
	}
	for {
		var first *reader
		for _, rd := range readers {
			if err := rd.fill(ctx); err != nil {
				return err
			}
			if rd.sequence() < math.MaxUint64 && (first == nil || rd.sequence() < first.sequence()) {
				first = rd
			}
		}
		if first == nil || !visit(&first.ahead[0]) {
			return nil
		}
		first.ahead = first.ahead[1:]
	}
}

// A reader reads one dataset some records ahead, so that several can be merged.
type reader struct {
	stream *spool.Stream
	from   uint64
	newest uint64
	ahead  []spool.Record
	ended  bool
}

const (
	aheadRecords = 256
	aheadBytes   = 1 << 20
)

// fill reads ahead where nothing is.
func (rd *reader) fill(ctx context.Context) error {
	if len(rd.ahead) > 0 || rd.ended {
		return nil
	}
	var bytes int64
	rd.ended = true
	return rd.stream.Scan(ctx, rd.from, func(r *spool.Record) bool {
		if r.Sequence > rd.newest {
			return false
		}
		if len(rd.ahead) >= aheadRecords || bytes >= aheadBytes {
			rd.ended = false
			return false
		}
		rd.ahead = append(rd.ahead, *r)
		rd.from = r.Sequence + 1
		bytes += min(r.Size, maxHeadBody)
		return true
	})
}

// sequence is that of the next record; the last there is if there is none.
func (rd *reader) sequence() uint64 {
	if len(rd.ahead) == 0 {
		return math.MaxUint64
	}
	return rd.ahead[0].Sequence
}
