// Package uploader takes records from the spool's streams to their
// destinations: one worker loop with the only retry in the house, and what
// all destinations share. It knows nothing of sensors or ports.
package uploader

import (
	"context"
	"errors"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// The errors that callers tell apart with errors.Is.
var (
	// ErrUnavailable in a verdict's Err means that the destination as a
	// whole cannot be had (no route, no room on its disk), so that no other
	// record would fare better.
	ErrUnavailable = errors.New("destination is not available")
	// ErrUnfinished: Run ended before its feeds were empty, because the
	// destination took nothing for Options.Patience.
	ErrUnfinished = errors.New("not everything was taken")
	// ErrCredentials: the destination does not accept the credentials.
	ErrCredentials = errors.New("credentials are not accepted")
)

// A Feed hands out records in order, the same ones until they are settled. A
// spool stream is one. A feed that has a method Dataset() string is served in
// the order of Rank, and by the hours that the destination keeps for it.
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

// The further sides that a destination may have; the worker asks for them.
type (
	// A Bounded destination says how much it takes in one Send.
	Bounded interface{ BatchLimit() spool.Limit }
	// A Scheduled destination takes a dataset at some times only: OpensIn
	// is how long until then, zero when it takes it now.
	Scheduled interface {
		OpensIn(dataset string) time.Duration
	}
	// A Guarded destination notices when its credentials have changed.
	Guarded interface{ CredentialsChanged() bool }
	// A Metered destination counts the bytes it sent, repeats included.
	Metered interface{ BytesSent() int64 }
	// A Tidy destination has something to put in order when there is
	// nothing to send. It returns when it wants to be called again, zero
	// if it is done; final means that nothing will be sent after this.
	Tidy interface {
		Tidy(ctx context.Context, final bool) (again time.Duration)
	}
)

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

// String names the kind in the house's words.
func (k Kind) String() string {
	switch k {
	case TryLater:
		return "try later"
	case Stored:
		return "stored"
	case AlreadyThere:
		return "already there"
	case Rejected:
		return "rejected"
	case Stop:
		return "stop"
	}
	return "unknown verdict"
}

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

// Everywhere tells whether the verdict speaks of the destination as a whole
// and not of this record or its dataset: no way there, too many requests, or
// closed for a while.
func (v Verdict) Everywhere() bool {
	return v.Kind == Stop || v.RetryAfter > 0 || v.Status == 429 || v.Status == 503 || errors.Is(v.Err, ErrUnavailable)
}

// Rank is a dataset's place when the link is thin: anomalies before testing
// before training before everything else.
func Rank(dataset string) int {
	switch dataset {
	case "anomaly":
		return 0
	case "testing":
		return 1
	case "training":
		return 2
	}
	return 3
}
