package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
)

const (
	// outcomesKept is how many outcomes wait in memory until the writer comes
	// round to them, and how many go into one value. They are history, not
	// state, so a crash may take them.
	outcomesKept = 1024
	// outcomesHeld is how many wait at most: who settles more of them before
	// the writer comes round writes them itself.
	outcomesHeld = 8 * outcomesKept
	// outcomesEvery is how often they are written at most.
	outcomesEvery = time.Minute
)

// noted are the outcomes of one stream that are not written yet.
type noted struct {
	rows  []outcomeRow
	since time.Time
}

// note keeps outcomes for the next write. It tells whether that is due at once.
func (h *history) note(stream string, outcomes []Outcome) (due bool) {
	if len(outcomes) == 0 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.noted[stream]
	if n == nil {
		n = &noted{since: time.Now()}
		h.noted[stream] = n
	}
	for _, o := range outcomes {
		row := o.row()
		if o.Fate == FateRejected {
			row.Reason = "" // the exception has it
		}
		if k := len(n.rows) - 1; k >= 0 && n.rows[k].takes(row) {
			n.rows[k].Last = max(row.Sequence, row.Last)
			continue
		}
		n.rows = append(n.rows, row)
		h.waiting++
	}
	return h.waiting >= outcomesHeld
}

// takes tells whether a row can stand for the next record's outcome as well.
func (r *outcomeRow) takes(next outcomeRow) bool {
	return next.Sequence == max(r.Sequence, r.Last)+1 && next.Fate == r.Fate && r.Fate != FateRejected &&
		r.RemoteID == "" && next.RemoteID == "" && next.At-r.At < int64(time.Second)
}

// due tells whether noted outcomes are to be written.
func (h *history) due() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.noted {
		if h.waiting >= outcomesKept || time.Since(n.since) >= outcomesEvery {
			return true
		}
	}
	return false
}

// flush writes the noted outcomes, some of one stream in one value.
func (h *history) flush() error {
	h.mu.Lock()
	taken := h.noted
	h.noted, h.waiting = map[string]*noted{}, 0
	h.mu.Unlock()
	for stream, n := range taken {
		var pairs []metaPair
		for rows := range slices.Chunk(n.rows, outcomesKept) {
			data, err := cbor.Marshal(rows)
			if err != nil {
				return fmt.Errorf("pack outcomes: %w", err)
			}
			key := streamHistoryPrefix(histOutcomes, stream)
			key = binary.BigEndian.AppendUint64(key, rows[0].Sequence)
			last := rows[len(rows)-1]
			key = binary.BigEndian.AppendUint64(key, max(last.Sequence, last.Last))
			pairs = append(pairs, metaPair{key, data})
		}
		if err := h.put(pairs...); err != nil {
			return err
		}
	}
	return nil
}

// unused is a stream's name as nothing in the history has it: an earlier
// stream of that name may have left exceptions or tags, which are not the new
// one's.
func (h *history) unused(stream string) string {
	name := stream
	for n := 1; ; n++ {
		found := false
		for _, kind := range []byte{histException, histTag} {
			err := h.each(streamHistoryPrefix(kind, name), nil, func(_, _ []byte) error { found = true; return errEnough })
			if err != nil {
				return name
			}
		}
		if !found {
			return name
		}
		name = fmt.Sprintf("%s\x00%d", stream, n)
	}
}

// rejected picks the sequences that are exceptions of the stream: their newest
// row says so.
func (h *history) rejected(stream string, sequences []uint64) (found []uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fates := map[uint64]Fate{}
	for _, n := range slices.Backward(slices.Clone(h.numbers)) {
		err := h.look(n, func(db *badger.DB) error {
			return db.View(func(txn *badger.Txn) error {
				for _, sequence := range sequences {
					if fates[sequence] == 0 {
						fates[sequence] = fateIn(txn, exceptionKey(stream, sequence))
					}
				}
				return nil
			})
		})
		if err != nil {
			return nil // then nothing of it may come again
		}
	}
	for _, sequence := range sequences {
		if fates[sequence] == FateRejected && !slices.Contains(found, sequence) {
			found = append(found, sequence)
		}
	}
	return found
}

// fateIn is the fate in an exception's row, 0 if there is none; one that cannot
// be read is a rejection.
func fateIn(txn *badger.Txn, key []byte) Fate {
	row, err := exceptionIn(txn, key)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return 0
	case err != nil:
		return FateRejected
	}
	return row.Outcome.Fate
}

func exceptionIn(txn *badger.Txn, key []byte) (row exceptionRow, err error) {
	item, err := txn.Get(key)
	if err != nil {
		return row, err
	}
	err = item.Value(func(sealed []byte) error {
		value, err := unsealValue(key, sealed)
		if err == nil {
			err = envelopeDec.Unmarshal(value, &row)
		}
		return err
	})
	return row, err
}
