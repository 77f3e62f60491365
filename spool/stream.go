package spool

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Stream is a named, persistent cursor over one dataset.
type Stream struct {
	spool   *Spool
	name    string
	dataset string

	mu         sync.Mutex
	pin        bool
	next       uint64 // first sequence that may be unsettled
	window     []span // what was fetched from there on, in order
	chunk      chunkCache
	from       segmentID // where the next record may be, or later
	at         segmentID // the segment that the cursor is in
	passed     setRow    // of it: how much of the dataset lies before the cursor
	totals     Totals
	exceptions int64
	rejected   uint64     // the last sequence that is an exception
	retries    []uint64   // exceptions behind the cursor to be offered again, in order
	history    string     // the stream's name in the history
	aside      []asideRow // at a start, until the segments are known
	gaps       bool       // records that were not fetched are between those of the window
	dirty      bool
	removed    bool // its row is gone and must not come back

	readyMu sync.Mutex // apart from mu, so that the writer never waits for a Fetch
	ready   chan struct{}

	cursor  atomic.Uint64 // next, and pin, for those who cannot take the mutex
	pinning atomic.Bool
	held    atomic.Uint64 // the first of retries, 0 if there are none
	owed    atomic.Uint64 // lost records that totals have yet to count

	outdated atomic.Int64 // exceptions that went and are still counted
}

// A streamRow is a stream as meta keeps it.
type streamRow struct {
	Dataset    string `cbor:"1,keyasint"`
	Next       uint64 `cbor:"2,keyasint"`
	Pin        bool   `cbor:"3,keyasint"`
	Totals     Totals `cbor:"4,keyasint"`
	Exceptions int64  `cbor:"5,keyasint"`
	// At and Passed are where the cursor is and what lies before it there, so
	// that no start has to open that segment to count.
	At     segmentID `cbor:"6,keyasint"`
	Passed setRow    `cbor:"7,keyasint"`
	// Aside are the rejected records behind the cursor. Totals counts them,
	// but nothing else behind it, for that is offered again after a restart.
	Aside []asideRow `cbor:"8,keyasint,omitempty"`
	// Rejected is the last sequence that is an exception.
	Rejected uint64 `cbor:"9,keyasint,omitempty"`
	// History is the stream's name in the history, if an earlier stream of
	// its name left exceptions there.
	History string `cbor:"10,keyasint,omitempty"`
	// Retries are the exceptions behind the cursor that are to be offered again.
	Retries []uint64 `cbor:"11,keyasint,omitempty"`
}

// An asideRow is a rejected record that the cursor has not passed.
type asideRow struct {
	_        struct{} `cbor:",toarray"`
	Sequence uint64
	Bytes    int64
}

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

// An Outcome is what became of one record on a stream, or of a stretch of them.
type Outcome struct {
	Sequence uint64
	// Last is set by Outcomes where it stands for all records of the stream's
	// dataset up to that one.
	Last uint64
	Fate Fate
	// RemoteID is the far side's name for the record, if it gave one.
	RemoteID string
	// Status and Reason explain a rejection (HTTP status; the answer's text).
	Status int
	Reason string
	// At is when the outcome was recorded; set by Settle.
	At time.Time
}

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
	// Retrying: it is to be offered again.
	Retrying bool
}

// StreamInfo describes a stream for status pages and inspection.
type StreamInfo struct {
	Name, Dataset         string
	Next                  uint64 // sequence of the first unsettled record
	Backlog, BacklogBytes int64
	Totals                Totals
	Exceptions            int64
	Pinned                bool // records wait for it
}

// Name is the stream's name, such as studio/training.
func (st *Stream) Name() string { return st.name }

// Dataset is the dataset that the stream reads.
func (st *Stream) Dataset() string { return st.dataset }

// Ready returns a channel that is closed when the stream may have records to
// fetch: take it before Fetch, wait on it after an empty one.
func (st *Stream) Ready() <-chan struct{} {
	st.readyMu.Lock()
	defer st.readyMu.Unlock()
	return st.ready
}

// announce wakes those who wait for records.
func (st *Stream) announce() {
	st.readyMu.Lock()
	defer st.readyMu.Unlock()
	close(st.ready)
	st.ready = make(chan struct{})
}
