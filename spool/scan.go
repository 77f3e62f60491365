package spool

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// Scan shows the dataset's records from a sequence on, in order, until visit
// answers false. Unlike Fetch it moves no cursor, settles nothing and dates
// nothing, so that any number of readers may scan one stream. What it costs
// goes by the records shown, wherever they are in the spool. A record's Body
// may be read in visit and later. Damaged records are passed over and counted
// as lost. visit must not call the stream.
func (st *Stream) Scan(ctx context.Context, from uint64, visit func(r *Record) bool) error {
	if err := st.spool.scan(ctx, st.dataset, from, visit, st.loseScanned); err != nil {
		return fmt.Errorf("scan stream %s: %w", st.name, err)
	}
	return nil
}

// Scan shows a dataset's records as Stream.Scan does, whoever streams it.
func (s *Spool) Scan(ctx context.Context, dataset string, from uint64, visit func(r *Record) bool) error {
	err := s.scan(ctx, dataset, from, visit, func(*segment, []block, error) {})
	if err != nil {
		return fmt.Errorf("scan dataset %s: %w", dataset, err)
	}
	return nil
}

// scan shows records; lose is told what of a segment could not be read.
func (s *Spool) scan(ctx context.Context, dataset string, from uint64, visit func(r *Record) bool, lose func(*segment, []block, error)) error {
	if s.isClosed() {
		return ErrClosed
	}
	c := &scanning{spool: s, dataset: dataset, from: from, visit: visit, ahead: scanFirst}
	seg, _ := s.table.holding(dataset, from, s.table.startOf(from))
	for ; seg != nil && !c.enough; seg = s.table.after(seg, dataset) {
		harmed, err := c.segment(ctx, seg)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return err
		}
		lose(seg, harmed, err)
	}
	return nil
}

// A scanning is one Scan under way.
type scanning struct {
	spool   *Spool
	dataset string
	from    uint64
	visit   func(r *Record) bool
	enough  bool // visit wants no more
	ahead   int  // records to read before they are shown
}

// The first records are shown soon, for a reader may want few; then more are
// read at a time, but no more than so many, or about so many bytes of bodies.
const (
	scanFirst = 16
	scanMost  = 256
	scanBytes = 1 << 20
)

// segment shows a segment's records, and returns the chunks that cannot be
// read. The segment is let go before its records are shown: to read a large
// body it is taken again, and whoever waits to close it in between would wait
// for ever.
func (c *scanning) segment(ctx context.Context, seg *segment) (harmed []block, err error) {
	for more := true; more && !c.enough; {
		var recs []stored
		if recs, more, err = c.gather(ctx, seg, &harmed); err != nil {
			return harmed, err
		}
		c.show(recs)
		c.ahead = min(2*c.ahead, scanMost)
	}
	return harmed, nil
}

// gather reads chunks from c.from on until there is enough to show, and moves
// c.from behind them. It tells whether the segment may have more.
func (c *scanning) gather(ctx context.Context, seg *segment, harmed *[]block) (recs []stored, more bool, err error) {
	first, last := c.spool.table.bounds(seg)
	from, bytes := c.from, int64(0)
	err = c.spool.table.view(seg, func(db *badger.DB) error {
		return eachChunk(db, c.dataset, from, func(head block, item *badger.Item) (stop bool, err error) {
			if err := ctx.Err(); err != nil {
				return true, err
			}
			if head.first < first || head.first > last {
				return head.first > last, nil
			}
			if more = len(recs) >= c.ahead || bytes >= scanBytes; more {
				return true, nil
			}
			c.from = min(head.last, last) + 1
			chunk, err := c.spool.readOrRescue(seg, item)
			if err != nil {
				*harmed = append(*harmed, head)
				return false, nil
			}
			for _, s := range chunk {
				if s.sequence >= from && s.sequence <= last {
					recs = append(recs, s)
					bytes += int64(len(s.inline))
				}
			}
			return false, nil
		})
	})
	return recs, more, err
}

// show shows records until visit wants no more.
func (c *scanning) show(recs []stored) {
	for i := range recs {
		s := &recs[i]
		r, err := s.record()
		if err != nil {
			continue // a whole chunk with a bad envelope was written so
		}
		r.Body = &keptBody{spool: c.spool, inline: s.inline, parts: s.parts, size: r.Size, sum: r.SHA256}
		if c.enough = !c.visit(&r); c.enough {
			return
		}
	}
}

// readOrRescue reads a chunk, from the value log itself where Badger cannot.
func (s *Spool) readOrRescue(seg *segment, item *badger.Item) ([]stored, error) {
	recs, err := s.readChunk(item)
	if err != nil {
		if b, rerr := s.rescue(seg, item.KeyCopy(nil)); rerr == nil {
			return decodeChunk(&b)
		}
	}
	return recs, err
}

// loseScanned counts what a scan could not read, as Fetch does.
func (st *Stream) loseScanned(seg *segment, harmed []block, cause error) {
	if len(harmed) == 0 && cause == nil {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if cause != nil {
		if set, ok := st.spool.table.row(seg).Sets[st.dataset]; ok && set.Last >= st.next {
			st.loseSegment(seg, cause)
		}
		return
	}
	for _, head := range harmed {
		if head.last < st.next || !st.loseChunk(seg.id, head, fmt.Errorf("%w: a chunk cannot be read", ErrDamaged)) {
			continue
		}
		_ = st.spool.table.view(seg, func(db *badger.DB) error {
			return eachChunk(db, st.dataset, head.last, func(_ block, item *badger.Item) (bool, error) {
				st.spool.keepHarmed(seg, head, item)
				return true, nil
			})
		})
	}
}

// Next is the stream's position: the sequence from which on nothing is
// settled.
func (st *Stream) Next() uint64 { return st.cursor.Load() }

// Move sets the cursors of streams to a sequence, forwards or backwards, all or
// none, and returns once that is durable. One beyond the newest record is taken
// for behind it.
func (s *Spool) Move(ctx context.Context, sequence uint64, streams ...*Stream) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ordered := slices.Clone(streams)
	slices.SortFunc(ordered, func(a, b *Stream) int { return strings.Compare(a.name, b.name) })
	pairs := make([]metaPair, 0, len(ordered))
	for _, st := range ordered {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.removed {
			return fmt.Errorf("move stream %s: %w", st.name, ErrUnknownStream)
		}
	}
	for _, st := range ordered {
		st.takeOwed()
		s.mu.Lock()
		st.moveTo(max(1, min(sequence, s.nextSeq)))
		s.mu.Unlock()
		st.window, st.chunk, st.gaps = nil, chunkCache{}, false
		st.dirty = true
		_ = st.locate() // what cannot be read counts whole until it is lost
		pairs = append(pairs, st.pair())
	}
	if err := s.putCounted(pairs...); err != nil {
		return fmt.Errorf("move streams: %w", err)
	}
	for _, st := range ordered {
		st.dirty = false
	}
	return nil
}

// LastSequence is the newest sequence that readers can see, of any dataset: all
// there is up to it can be read, and is durable.
func (s *Spool) LastSequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writtenSeq
}

// LogID marks this spool's order: a sequence of another spool, or of one that
// was here before, means nothing in it.
func (s *Spool) LogID() uint64 { return s.codec.epoch }

// Find finds the record that an ID names, if the spool has it.
func (s *Spool) Find(id string) (Record, bool) {
	var identity [32]byte
	if n, err := hex.Decode(identity[:], []byte(id[:min(len(id), 2*len(identity))])); err != nil || n != hashSize || len(id) != 2*hashSize {
		return Record{}, false
	}
	sequence, ok := s.Seen(identity)
	if !ok {
		return Record{}, false
	}
	r, err := s.recordAt(sequence)
	return r, err == nil && r.ID() == id
}
