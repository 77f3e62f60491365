package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// retryLimit is how many exceptions of a stream wait to be offered again at
// most.
const retryLimit = 1024

// Retry offers exceptions of the stream again: Fetch gives them, the oldest
// first, and Settle ends them as it does any record. What is taken then is no
// exception any more. Retry is durable before it returns, all or nothing, and
// the segments of the records stay meanwhile as if the stream had not passed
// them. It fails with ErrNoException for a sequence that is none,
// ErrUnknownRecord for one whose record has left the spool, and ErrManyRetries.
func (st *Stream) Retry(ctx context.Context, sequences ...uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if st.spool.isClosed() {
		return ErrClosed
	}
	err := st.retry(sequences)
	if err != nil {
		return fmt.Errorf("retry on stream %s: %w", st.name, err)
	}
	st.announce()
	return nil
}

func (st *Stream) retry(sequences []uint64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	rejected := st.spool.hist.rejected(st.history, sequences)
	for _, sequence := range sequences {
		if !slices.Contains(rejected, sequence) {
			return fmt.Errorf("%w: sequence %d", ErrNoException, sequence)
		}
		if _, err := st.again(sequence); errors.Is(err, ErrDamaged) {
			return fmt.Errorf("%w: that of exception %d has left the spool, there is nothing to send", ErrUnknownRecord, sequence)
		} else if err != nil {
			return err
		}
	}
	before, window := slices.Clone(st.retries), slices.Clone(st.window)
	for _, sequence := range sequences {
		if i, ahead := st.find(sequence); ahead { // the cursor has not passed it: it comes in its turn
			st.window[i].done = false
		}
		if at, waits := slices.BinarySearch(st.retries, sequence); !waits {
			st.retries = slices.Insert(st.retries, at, sequence)
		}
	}
	err := error(nil)
	if len(st.retries) > retryLimit {
		err = fmt.Errorf("%w: %d at most", ErrManyRetries, retryLimit)
	} else {
		err = st.save()
	}
	if err != nil {
		st.retries, st.window = before, window
	}
	st.hold()
	return err
}

// hold keeps retention from what is offered again; st.mu is held.
func (st *Stream) hold() {
	st.held.Store(0)
	if len(st.retries) > 0 {
		st.held.Store(st.retries[0])
	}
}

// oldest is the first sequence that the stream still needs.
func (st *Stream) oldest() uint64 {
	if held := st.held.Load(); held != 0 {
		return min(held, st.cursor.Load())
	}
	return st.cursor.Load()
}

// again reads a record that is to be offered again; ErrDamaged if it has gone.
func (st *Stream) again(sequence uint64) (Record, error) {
	s, err := st.spool.stored(st.dataset, sequence)
	if err != nil {
		return Record{}, err
	}
	if s.parts.id != "" && !st.spool.holdsParts(s.parts) {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, errPartsGone)
	}
	r, err := s.record()
	r.Body = &keptBody{spool: st.spool, inline: s.inline, parts: s.parts, size: r.Size, sum: r.SHA256}
	return r, err
}

// offerAgain begins a batch with what is to be retried and lies behind the
// cursor. What has left the spool
// meanwhile stays an exception and waits no more; st.mu is held.
func (st *Stream) offerAgain(b *batch) error {
	behind, _ := slices.BinarySearch(st.retries, st.next)
	for _, sequence := range slices.Clone(st.retries[:behind]) {
		r, err := st.again(sequence)
		switch {
		case errors.Is(err, ErrDamaged):
			st.spool.log.Warn("exception cannot be retried: its record has left the spool", "stream", st.name, "sequence", sequence)
			st.endRetry(sequence)
		case err != nil:
			return err
		case b.full(r.Size):
			return nil
		default:
			b.recs = append(b.recs, r)
			b.bytes += r.Size
		}
	}
	return nil
}

// endRetry takes a sequence off the retries; st.mu is held.
func (st *Stream) endRetry(sequence uint64) {
	if at, waits := slices.BinarySearch(st.retries, sequence); waits {
		st.retries = slices.Delete(st.retries, at, at+1)
		st.hold()
		st.dirty = true
	}
}

// resolve writes down that retried exceptions came to another end. The history only
// adds, so the new end takes the place of the rejection. st.mu is held.
func (st *Stream) resolve(outcomes []Outcome) error {
	var pairs []metaPair
	var taken []uint64
	for _, o := range outcomes {
		if st.waits(o.Sequence) && (o.Fate == FateStored || o.Fate == FateAlreadyThere) {
			taken = append(taken, o.Sequence)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	taken = st.spool.hist.rejected(st.history, taken)
	for _, o := range outcomes {
		if !slices.Contains(taken, o.Sequence) {
			continue
		}
		data, err := cbor.Marshal(exceptionRow{Outcome: o.row()})
		if err != nil {
			return fmt.Errorf("pack outcome: %w", err)
		}
		pairs = append(pairs, metaPair{exceptionKey(st.history, o.Sequence), data})
	}
	for part := range slices.Chunk(pairs, 256) {
		if err := st.spool.hist.put(part...); err != nil {
			return err
		}
	}
	return nil // they are counted when the retry ends, or a crash would count twice
}

// waits tells whether an exception is to be retried; st.mu is held.
func (st *Stream) waits(sequence uint64) bool {
	_, found := slices.BinarySearch(st.retries, sequence)
	return found
}

// resolved are the exceptions of the stream that came to another end.
func (st *Stream) resolved() (map[uint64]bool, error) {
	ended := map[uint64]bool{}
	err := st.spool.hist.each(streamHistoryPrefix(histException, st.history), nil, func(_, value []byte) error {
		var row exceptionRow
		if envelopeDec.Unmarshal(value, &row) != nil {
			return nil
		}
		delete(ended, row.Outcome.Sequence) // a later store knows better
		if row.Outcome.Fate != FateRejected {
			ended[row.Outcome.Sequence] = true
		}
		return nil
	})
	return ended, err
}

// retrying tells whether an exception is to be offered again.
func (st *Stream) retrying(sequence uint64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.waits(sequence)
}

func (t *Totals) add(f Fate) {
	switch f {
	case FateStored:
		t.Stored++
	case FateAlreadyThere:
		t.AlreadyThere++
	case FateRejected:
		t.Rejected++
	case FateLost:
		t.Lost++
	}
}

// settleRetries ends the retries among the outcomes, durably; st.mu is held.
func (st *Stream) settleRetries(outcomes []Outcome) error {
	before := len(st.retries)
	for _, o := range outcomes {
		if !st.waits(o.Sequence) {
			continue
		}
		if o.Fate == FateStored || o.Fate == FateAlreadyThere {
			st.exceptions--
		}
		if o.Sequence < st.next { // what is ahead of the cursor was counted with its span
			st.totals.add(o.Fate)
		}
		st.endRetry(o.Sequence)
	}
	if len(st.retries) == before || st.removed {
		return nil
	}
	return st.save()
}
