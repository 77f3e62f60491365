// Package uploader takes records from the spool's streams to their
// destinations: one worker loop with the only retry in the house, and what
// all destinations share. It knows nothing of sensors or ports.
package uploader

import (
	"context"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// A Feed hands out records in order, the same ones until they are settled. A
// spool stream is one.
type Feed interface {
	// Fetch returns the next unsettled records, none if there are none.
	Fetch(ctx context.Context, limit spool.Limit) ([]spool.Record, error)
	// Settle records what became of fetched records and moves on.
	Settle(ctx context.Context, outcomes ...spool.Outcome) error
	// Ready is closed when there may be something to fetch.
	Ready() <-chan struct{}
}

// A Destination is where records go.
type Destination interface {
	// Send delivers the batch and returns one verdict for each record, in
	// order. It must be safe to repeat, starts nothing once ctx is
	// cancelled, and never waits or tries again by itself: what it does not
	// know is TryLater, which never drops data.
	Send(ctx context.Context, batch []spool.Record) []Verdict
}

// A Kind is what a destination says of a record.
type Kind uint8

const (
	// TryLater: no answer, an answer that means nothing, or one that asks
	// for patience. The zero value, so that an unset verdict drops nothing.
	TryLater Kind = iota
	// Stored: the far side has it now.
	Stored
	// AlreadyThere: the far side had it before.
	AlreadyThere
	// Rejected: the far side will never take it. If the whole request was
	// refused for reasons that may be another record's, set Verdict.Batch.
	Rejected
	// Stop: the credentials are not accepted; nothing is consumed.
	Stop
)

// A Verdict is what a destination says of one record.
type Verdict struct {
	Kind Kind
	// RemoteID is the far side's name for the record.
	RemoteID string
	// Status is the HTTP status, 0 without an answer.
	Status int
	// Err says why, in words an operator can use.
	Err error
	// RetryAfter is how long the far side asked to wait, 0 if it did not.
	RetryAfter time.Duration
	// Batch: the request as a whole was refused, so that the worker must
	// split it to find the record that is at fault.
	Batch bool
}
