package spool

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Settle records what became of fetched records, in any order, and moves the
// cursor behind the longest run of settled ones. The cursor is durable
// at most 5 s later and at Close; records past it may be fetched again after
// a crash. Rejected records become exceptions, durable before it returns.
// Outcomes of records that are settled already change nothing.
func (st *Stream) Settle(ctx context.Context, outcomes ...Outcome) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if st.spool.isClosed() {
		return ErrClosed
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	now := time.Now()
	fresh := make([]Outcome, 0, len(outcomes))
	for _, o := range outcomes {
		i, ok := st.find(o.Sequence)
		if st.waits(o.Sequence) && o.Sequence < st.next || ok && !st.window[i].done {
			o.At = now
			fresh = append(fresh, o)
		}
	}
	if err := st.setAside(fresh); err != nil {
		return fmt.Errorf("settle on stream %s: %w", st.name, err)
	}
	if err := st.resolve(fresh); err != nil {
		return fmt.Errorf("settle on stream %s: %w", st.name, err)
	}
	for _, o := range fresh {
		st.settleOne(o)
	}
	if err := st.settleRetries(fresh); err != nil {
		return fmt.Errorf("settle on stream %s: %w", st.name, err)
	}
	st.advance()
	if st.spool.hist.note(st.history, fresh) {
		if err := st.spool.hist.flush(); err != nil {
			st.spool.log.Warn("outcomes are missing in the history", "stream", st.name, "error", err)
		}
	}
	if err := st.noteRejected(fresh); err != nil {
		return fmt.Errorf("settle on stream %s: %w", st.name, err)
	}
	return nil
}

// noteRejected makes it durable that records were rejected, so that they are
// not offered again even if the cursor is not behind them yet, and lets come
// again what no destination took or may take; st.mu is held.
func (st *Stream) noteRejected(outcomes []Outcome) error {
	if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Fate == FateRejected }) || st.removed {
		return nil
	}
	var pairs []metaPair
	for _, sequence := range st.rejectedByAll(outcomes) {
		st.spool.mu.Lock()
		pairs = append(pairs, st.spool.index.forget(st.dataset, sequence, sequence)...)
		st.spool.mu.Unlock()
	}
	if err := st.spool.putCounted(append(pairs, st.pair())...); err != nil {
		return err
	}
	st.dirty = false
	return nil
}

// rejectedByAll picks the rejected records that no destination took or still
// may, so that the sample may come again, mended or labelled otherwise.
func (st *Stream) rejectedByAll(outcomes []Outcome) []uint64 {
	var sequences []uint64
	for _, o := range outcomes {
		if o.Fate == FateRejected {
			sequences = append(sequences, o.Sequence)
		}
	}
	for _, o := range st.spool.streamList() {
		if o == st || o.dataset != st.dataset || !o.pinning.Load() || len(sequences) == 0 {
			continue
		}
		sequences = st.spool.hist.rejected(o.history, sequences)
	}
	return sequences
}

func (st *Stream) settleOne(o Outcome) {
	i, ok := st.find(o.Sequence)
	if !ok || st.window[i].done {
		return
	}
	sp := &st.window[i]
	switch o.Fate {
	case FateStored:
		st.totals.Stored++
		st.totals.BytesStored += uint64(sp.bytes)
	case FateAlreadyThere:
		st.totals.AlreadyThere++
	case FateRejected:
		st.totals.Rejected++
	case FateLost:
		st.lose(*sp, fmt.Errorf("%w: as its reader says", ErrDamaged))
		return
	}
	sp.done, sp.fate = true, o.Fate
}
