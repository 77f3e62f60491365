// Package sampler turns what arrives into labelled samples: it holds what all
// sources share (readings, windows, labels, times) and the two interfaces
// between a source and the spool. It knows nothing of where records go.
package sampler

import (
	"context"
	"io"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// A Source is where samples come from.
type Source interface {
	// Run takes samples and hands them to the sink until ctx ends, then
	// returns nil. Reopening its device or folder is its own business; it
	// returns an error only when trying again is senseless.
	Run(ctx context.Context, sink Sink) error
}

// A Sink takes records for keeping; the spool is one.
type Sink interface {
	// Append gives records their order and skips known ones; the receipt
	// says when they survive a power cut.
	Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error)
	// Stage takes a body of any size without holding it in memory.
	Stage(ctx context.Context, r io.Reader, limit int64) (spool.Body, error)
	// Seen tells whether a record of this identity is known already.
	Seen(identity [32]byte) (sequence uint64, ok bool)
}

// A Memory keeps a source's small facts over restarts; the spool is one.
// Keys are hashes that the source makes.
type Memory interface {
	Remember(source string, key [16]byte) error
	Remembered(source string, key [16]byte) bool
	Retain(source string, keep func(key [16]byte) bool) error
}

// MaxBody is the length in bytes of the largest sample body taken, which is
// the largest that Edge Impulse takes.
const MaxBody = acquisition.MaxDocument

// A Device says which device the samples are of.
type Device struct {
	// Name is globally unique, by default the MAC address.
	Name string
	// Type is the kind of device, such as RASPBERRY_PI.
	Type string
}
