package spool

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

const (
	// outcomesKept is how many outcomes wait in memory at most. They are
	// history, not state, so a crash may take them.
	outcomesKept = 1024
	// outcomesEvery is how often they are written at most.
	outcomesEvery = time.Minute
)

// noted are the outcomes of one stream that are not written yet.
type noted struct {
	rows  []outcomeRow
	since time.Time
}

// note keeps outcomes for the next write.
func (h *history) note(stream string, outcomes []Outcome) {
	if len(outcomes) == 0 {
		return
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
		n.rows = append(n.rows, row)
	}
	h.waiting += len(outcomes)
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
		for rows := range slices.Chunk(n.rows, outcomesKept) {
			data, err := cbor.Marshal(rows)
			if err != nil {
				return fmt.Errorf("pack outcomes: %w", err)
			}
			key := streamHistoryPrefix(histOutcomes, stream)
			key = binary.BigEndian.AppendUint64(key, rows[0].Sequence)
			key = binary.BigEndian.AppendUint64(key, rows[len(rows)-1].Sequence)
			if err := h.put(metaPair{key, data}); err != nil {
				return err
			}
		}
	}
	return nil
}

// rejected picks the sequences that are exceptions of the stream.
func (h *history) rejected(stream string, sequences []uint64) []uint64 {
	prefix := streamHistoryPrefix(histException, stream)
	var found []uint64
	err := h.each(prefix, func(key, _ []byte) error {
		if len(key) != len(prefix)+8 {
			return nil
		}
		if sequence := binary.BigEndian.Uint64(key[len(prefix):]); slices.Contains(sequences, sequence) {
			found = append(found, sequence)
		}
		return nil
	})
	if err != nil {
		return nil // then nothing of it may come again
	}
	return found
}
