package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
)

// reasonLimit bounds what is kept of an answer's text.
const reasonLimit = 4 << 10

// An exceptionRow is an exception as the history keeps it.
type exceptionRow struct {
	Envelope []byte     `cbor:"1,keyasint"`
	Created  int64      `cbor:"2,keyasint"`
	Outcome  outcomeRow `cbor:"3,keyasint"`
}

// An outcomeRow is an outcome as the history keeps it. Last is set where one
// row stands for a stretch of records.
type outcomeRow struct {
	Sequence uint64 `cbor:"1,keyasint"`
	Fate     Fate   `cbor:"2,keyasint"`
	RemoteID string `cbor:"3,keyasint,omitempty"`
	Status   int    `cbor:"4,keyasint,omitempty"`
	Reason   string `cbor:"5,keyasint,omitempty"`
	At       int64  `cbor:"6,keyasint"`
	Last     uint64 `cbor:"7,keyasint,omitempty"`
}

func (o Outcome) row() outcomeRow {
	return outcomeRow{
		Sequence: o.Sequence, Fate: o.Fate, RemoteID: o.RemoteID, Status: o.Status,
		Reason: o.Reason[:min(len(o.Reason), reasonLimit)], At: o.At.UnixNano(), Last: o.Last,
	}
}

func (r outcomeRow) outcome() Outcome {
	return Outcome{
		Sequence: r.Sequence, Fate: r.Fate, RemoteID: r.RemoteID, Status: r.Status, Reason: r.Reason,
		At: time.Unix(0, r.At).UTC(), Last: r.Last,
	}
}

func streamHistoryPrefix(kind byte, stream string) []byte {
	return append(append(make([]byte, 0, 18+len(stream)), kind, byte(len(stream))), stream...)
}

func exceptionKey(stream string, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(streamHistoryPrefix(histException, stream), sequence)
}

// setAside makes the rejected ones among the outcomes durable exceptions;
// st.mu is held.
func (st *Stream) setAside(outcomes []Outcome) error {
	var pairs []metaPair
	var known []uint64 // to be exceptions before, from which the stream was reset
	for _, o := range outcomes {
		if o.Fate != FateRejected {
			continue
		}
		if o.Sequence <= st.rejected {
			known = append(known, st.spool.hist.rejected(st.history, []uint64{o.Sequence})...)
		}
		row := exceptionRow{Outcome: o.row()}
		s, err := st.spool.stored(st.dataset, o.Sequence)
		if err == nil {
			row.Envelope, row.Created = s.envelope, s.created
		} else if !errors.Is(err, ErrDamaged) {
			return err
		}
		data, err := cbor.Marshal(row)
		if err != nil {
			return fmt.Errorf("pack exception: %w", err)
		}
		pairs = append(pairs, metaPair{exceptionKey(st.history, o.Sequence), data})
	}
	// A store takes about one envelope at its limit at a time.
	for len(pairs) > 0 {
		n, size := 0, 0
		for n < len(pairs) && n < 256 && (n == 0 || size+len(pairs[n].value) <= envelopeLimit) {
			size += len(pairs[n].value)
			n++
		}
		if err := st.spool.hist.put(pairs[:n]...); err != nil {
			return err
		}
		for _, p := range pairs[:n] {
			sequence := binary.BigEndian.Uint64(p.key[len(p.key)-8:])
			if !slices.Contains(known, sequence) {
				st.exceptions++
			}
			st.rejected = max(st.rejected, sequence)
		}
		pairs = pairs[n:]
	}
	return nil
}

// Exceptions lists the stream's exceptions from a sequence on, oldest first.
func (st *Stream) Exceptions(ctx context.Context, from uint64, limit int) ([]Exception, error) {
	if st.spool.isClosed() {
		return nil, ErrClosed
	}
	ended, err := st.resolved()
	if err != nil {
		return nil, fmt.Errorf("list exceptions of stream %s: %w", st.name, err)
	}
	var found []Exception
	place := map[uint64]int{} // a later store has the later outcome
	prefix := streamHistoryPrefix(histException, st.history)
	err = st.spool.hist.each(prefix, exceptionKey(st.history, from), func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(key) != len(prefix)+8 || ended[binary.BigEndian.Uint64(key[len(prefix):])] {
			return nil
		}
		i, again := place[binary.BigEndian.Uint64(key[len(prefix):])]
		if !again && len(found) >= limit {
			return nil
		}
		switch e, err := decodeException(st.name, value); {
		case err != nil:
		case again:
			found[i] = e
		default:
			place[e.Outcome.Sequence] = len(found)
			found = append(found, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list exceptions of stream %s: %w", st.name, err)
	}
	for i := range found {
		found[i].Retrying = st.retrying(found[i].Outcome.Sequence)
		r := &found[i].Record
		if s, err := st.spool.stored(st.dataset, found[i].Outcome.Sequence); err == nil && (s.parts.id == "" || st.spool.holdsParts(s.parts)) {
			r.Body = &keptBody{spool: st.spool, inline: s.inline, parts: s.parts, size: r.Size, sum: r.SHA256}
		}
	}
	return found, nil
}

func decodeException(stream string, value []byte) (Exception, error) {
	var row exceptionRow
	if err := envelopeDec.Unmarshal(value, &row); err != nil {
		return Exception{}, fmt.Errorf("%w: exception: %v", ErrDamaged, err)
	}
	e := Exception{Stream: stream, Outcome: row.Outcome.outcome(), Record: Record{Sequence: row.Outcome.Sequence}}
	if len(row.Envelope) > 0 {
		s := stored{sequence: row.Outcome.Sequence, created: row.Created, envelope: row.Envelope}
		r, err := s.record()
		if err != nil {
			return Exception{}, err
		}
		e.Record = r
	}
	return e, nil
}

// stored finds a record in its segment; ErrDamaged if it is not there.
func (s *Spool) stored(dataset string, sequence uint64) (found stored, err error) {
	missing := fmt.Errorf("find record %d: %w: the spool does not have it any more", sequence, ErrDamaged)
	seg, _ := s.table.holding(dataset, sequence, s.table.startOf(sequence))
	if seg == nil {
		return stored{}, missing
	}
	err = s.table.view(seg, func(db *badger.DB) error {
		return eachChunk(db, dataset, sequence, func(_ block, item *badger.Item) (bool, error) {
			recs, err := s.readChunk(item)
			for _, r := range recs {
				if r.sequence == sequence {
					found = r
				}
			}
			return true, err
		})
	})
	if err == nil && found.sequence == 0 {
		err = missing
	}
	return found, err
}
