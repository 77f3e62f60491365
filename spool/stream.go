package spool

import (
	"context"
	"time"
)

// A Stream is a named, persistent cursor over one dataset.
type Stream struct{}

// StreamOptions say how a stream treats the spool's retention.
type StreamOptions struct {
	// Pin keeps records in the spool until the stream has passed them, up to
	// the cap. Destinations pin; API streams pin only under "refuse".
	Pin bool
	// FromNow starts a new stream behind the newest record instead of at the
	// oldest one.
	FromNow bool
}

// A Limit bounds a batch. A batch has at least one record if there is any.
type Limit struct {
	Records int
	Bytes   int64
}

// A Fate is the end of a record on a stream.
type Fate uint8

const (
	// FateStored: the far side has it now.
	FateStored Fate = 1
	// FateAlreadyThere: the far side had it before.
	FateAlreadyThere Fate = 2
	// FateRejected: the far side will never take it; it is an exception.
	FateRejected Fate = 3
	// FateLost: it left the spool, or was damaged, before it was passed.
	FateLost Fate = 4
)

// An Outcome is what became of one record on a stream.
type Outcome struct {
	Sequence uint64
	Fate     Fate
	// RemoteID is the far side's name for the record, if it gave one.
	RemoteID string
	// Status and Reason explain a rejection (HTTP status; the answer's text).
	Status int
	Reason string
	// At is when the outcome was recorded; set by Settle.
	At time.Time
}

// Stream opens the stream of this name, creating it if there is none.
func (s *Spool) Stream(name, dataset string, o StreamOptions) (*Stream, error) { return nil, ErrClosed }

// Name is the stream's name, such as studio/training.
func (st *Stream) Name() string { return "" }

// Dataset is the dataset that the stream reads.
func (st *Stream) Dataset() string { return "" }

// Fetch returns the next records in order, the same ones until they are
// settled; none when there is nothing new. Damaged records are counted as
// lost and passed over. It does not block for new records: see Ready.
func (st *Stream) Fetch(ctx context.Context, limit Limit) ([]Record, error) { return nil, ErrClosed }

// Settle records what became of fetched records, in any order, and moves the
// cursor behind the longest run of settled ones. The cursor is durable
// at most 5 s later and at Close; records past it may be fetched again after
// a crash. Rejected records become exceptions, durable before it returns.
func (st *Stream) Settle(ctx context.Context, outcomes ...Outcome) error { return ErrClosed }

// Ready returns a channel that is closed when the stream may have records to
// fetch: take it before Fetch, wait on it after an empty one.
func (st *Stream) Ready() <-chan struct{} { return nil }

// Backlog is the number of records of the dataset that are not yet settled,
// and their bytes.
func (st *Stream) Backlog() (records, bytes int64) { return 0, 0 }

// Sync makes the cursor durable now.
func (st *Stream) Sync(ctx context.Context) error { return ErrClosed }

// Reset moves the cursor to the first record at or after sequence.
func (st *Stream) Reset(ctx context.Context, sequence uint64) error { return ErrClosed }

// Totals counts the stream's outcomes since it was created.
func (st *Stream) Totals() Totals { return Totals{} }

// Totals count outcomes by fate.
type Totals struct {
	Stored, AlreadyThere, Rejected, Lost uint64
	// BytesStored counts the body bytes of stored records.
	BytesStored uint64
}

// An Exception is a record set aside on a stream, with its reason. The
// record's own bytes stay readable while its segment lives.
type Exception struct {
	Stream  string
	Record  Record // envelope; Body is nil if the bytes are gone
	Outcome Outcome
}

// Exceptions lists the stream's exceptions from a sequence on, oldest first.
func (st *Stream) Exceptions(ctx context.Context, from uint64, limit int) ([]Exception, error) {
	return nil, ErrClosed
}

// Streams lists the open and stored streams by name.
func (s *Spool) Streams() []StreamInfo { return nil }

// StreamInfo describes a stream for status pages and inspection.
type StreamInfo struct {
	Name, Dataset         string
	Next                  uint64 // sequence of the first unsettled record
	Backlog, BacklogBytes int64
	Totals                Totals
	Exceptions            int64
}
