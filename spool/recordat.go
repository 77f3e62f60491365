package spool

import (
	"context"
	"errors"
	"fmt"
)

// Record finds a record by its sequence, whoever has passed it. It fails with
// ErrUnknownRecord if there is none any more, and with ErrDamaged if its
// envelope cannot be read.
func (s *Spool) Record(ctx context.Context, sequence uint64) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	return s.recordAt(sequence)
}

func (s *Spool) recordAt(sequence uint64) (Record, error) {
	if s.isClosed() {
		return Record{}, ErrClosed
	}
	if r, ok := s.queued(sequence); ok {
		r.Sequence = sequence
		return r, nil
	}
	for _, dataset := range s.table.setsAt(sequence) {
		found, err := s.stored(dataset, sequence)
		if errors.Is(err, ErrDamaged) {
			continue
		}
		if err != nil {
			return Record{}, err
		}
		r, err := found.record()
		if err != nil {
			return Record{}, err
		}
		if found.parts.id != "" && !s.holdsParts(found.parts) {
			break
		}
		r.Body = &keptBody{spool: s, inline: found.inline, parts: found.parts, size: r.Size, sum: r.SHA256}
		return r, nil
	}
	return Record{}, fmt.Errorf("find record %d: %w", sequence, ErrUnknownRecord)
}

// Holds tells, without reading anything, whether a record of that sequence may
// be in the spool.
func (s *Spool) Holds(sequence uint64) bool {
	if _, ok := s.queued(sequence); ok {
		return true
	}
	return len(s.table.setsAt(sequence)) > 0
}
