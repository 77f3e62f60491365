package spool

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Outcomes lists what became of records, by sequence and then by time, at most
// q.Limit of them and the others of the last one's sequence. Those of the last minute before a crash
// may be missing, and the oldest go with the history. A rejection has its
// reason as long as the record is an exception.
func (st *Stream) Outcomes(ctx context.Context, q OutcomeQuery) ([]Outcome, error) {
	if st.spool.isClosed() {
		return nil, ErrClosed
	}
	rows := st.spool.hist.waitingOf(st.history)
	rows = slices.DeleteFunc(rows, func(r outcomeRow) bool { return !q.wants(r) })
	err := st.spool.hist.each(streamHistoryPrefix(histOutcomes, st.history), nil, func(_, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var some []outcomeRow
		if envelopeDec.Unmarshal(value, &some) != nil {
			return nil // one fact less
		}
		for _, r := range some {
			if q.wants(r) {
				rows = append(rows, r)
			}
		}
		if len(rows) > q.Limit+outcomesHeld {
			rows = firstOutcomes(rows, q.Limit)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list outcomes of stream %s: %w", st.name, err)
	}
	rows = firstOutcomes(rows, q.Limit)
	found := make([]Outcome, 0, len(rows))
	for _, r := range rows {
		found = append(found, r.outcome())
	}
	return found, st.explain(ctx, found)
}

// An OutcomeQuery says which outcomes of a stream are asked for: those of the
// record Of or of a stretch with it, or else those that begin behind After.
type OutcomeQuery struct {
	After, Of uint64
	Limit     int
}

func (q OutcomeQuery) wants(r outcomeRow) bool {
	if q.Of > 0 {
		return r.Sequence <= q.Of && q.Of <= max(r.Sequence, r.Last)
	}
	return r.Sequence > q.After
}

// noteLost notes that what a stretch has of the dataset, and has no other end,
// was lost.
func (st *Stream) noteLost(first, last uint64, why string) {
	o := Outcome{Sequence: first, Last: last, Fate: FateLost, Reason: why, At: time.Now()}
	if first == last {
		o.Last = 0
	}
	st.spool.hist.note(st.history, []Outcome{o})
}

// firstOutcomes are the first rows by sequence, and of one by time.
func firstOutcomes(rows []outcomeRow, limit int) []outcomeRow {
	sort.Slice(rows, func(i, j int) bool {
		a, b := &rows[i], &rows[j]
		return a.Sequence < b.Sequence || a.Sequence == b.Sequence && a.At < b.At
	})
	n := min(len(rows), limit)
	for n > 0 && n < len(rows) && rows[n].Sequence == rows[n-1].Sequence { // or a next page would miss them
		n++
	}
	return rows[:n]
}

// waitingOf are the outcomes of a stream that are not written yet.
func (h *history) waitingOf(stream string) []outcomeRow {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.noted[stream]; n != nil {
		return slices.Clone(n.rows)
	}
	return nil
}

// explain gives rejections the reasons that their exceptions have.
func (st *Stream) explain(ctx context.Context, found []Outcome) error {
	if !slices.ContainsFunc(found, func(o Outcome) bool { return o.Fate == FateRejected }) {
		return nil
	}
	reasons := map[uint64]string{}
	for _, o := range found {
		reasons[o.Sequence] = ""
	}
	err := st.spool.hist.each(streamHistoryPrefix(histException, st.history), nil, func(_, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var row exceptionRow
		if envelopeDec.Unmarshal(value, &row) != nil || row.Outcome.Fate != FateRejected {
			return nil
		}
		if _, asked := reasons[row.Outcome.Sequence]; asked {
			reasons[row.Outcome.Sequence] = row.Outcome.Reason
		}
		return nil
	})
	for i := range found {
		if found[i].Fate == FateRejected {
			found[i].Reason = reasons[found[i].Sequence]
		}
	}
	if err != nil {
		return fmt.Errorf("list outcomes of stream %s: %w", st.name, err)
	}
	return nil
}
