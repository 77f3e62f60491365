// Package spool keeps records safe between now and later: a crash-safe log of
// records, a duplicate index, named streams over it, and what became of each
// record. It knows nothing of sensors or of networks, and it alone knows
// Badger.
package spool

import (
	"context"
	"errors"
	"io"
)

// The errors that callers tell apart with errors.Is.
var (
	// ErrFull: the cap or the floor of free space is reached and the spool
	// is told to refuse. Nothing was taken; try again when there is room.
	ErrFull = errors.New("spool is full")
	// ErrLocked: another agent holds the spool.
	ErrLocked = errors.New("spool is held by another agent")
	// ErrReadOnly: the file system does not take writes.
	ErrReadOnly = errors.New("spool is read-only")
	// ErrVolatile: the folder is on a file system that forgets (tmpfs, the
	// upper layer of an overlay).
	ErrVolatile = errors.New("spool would not survive a reboot")
	// ErrNewer: a newer version wrote this spool.
	ErrNewer = errors.New("spool was written by a newer version")
	// ErrDamaged: bytes on disk do not agree with their checksum.
	ErrDamaged = errors.New("spool is damaged")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
	// ErrTooLarge: a body or record is larger than the spool takes.
	ErrTooLarge = errors.New("record is too large")
	// ErrUnknownStream: no stream has this name.
	ErrUnknownStream = errors.New("no such stream")
)

// A Spool is an open spool folder. All methods may be called concurrently.
type Spool struct{}

// Open opens or creates the spool at c.Path and starts its writer. Close it
// when every source and worker has stopped.
func Open(c Config) (*Spool, error) { return nil, errors.New("spool: under construction") }

// Append gives records their order and drops those that are already known.
// It returns before they are durable: Receipt.Wait says when they are. Who
// does not wait has its records committed by bytes or age (Config.Commit).
// It blocks only while the writer is behind, and fails with ErrFull (policy
// refuse), ErrReadOnly, ErrTooLarge or ErrClosed, taking nothing.
func (s *Spool) Append(ctx context.Context, recs ...Record) (Receipt, error) {
	return Receipt{}, ErrClosed
}

// Stage reads r to its end and returns its bytes as a Body for Append: small
// ones stay in memory, larger ones are stored at once in parts, so that no
// body is ever whole in memory. Parts that no record claims go with their
// segment. More than limit bytes fail with ErrTooLarge.
func (s *Spool) Stage(ctx context.Context, r io.Reader, limit int64) (Body, error) {
	return nil, ErrClosed
}

// Seen tells whether a record of this identity is in the spool or was
// delivered, and its sequence. It never says so wrongly.
func (s *Spool) Seen(identity [32]byte) (sequence uint64, ok bool) { return 0, false }

// Remember keeps small facts of a source over restarts, such as which
// versions of which files it has dealt with. Keys are 16-byte hashes made by
// the source. They become durable with the next commit.
func (s *Spool) Remember(source string, key [16]byte) error { return ErrClosed }

// Remembered tells whether Remember(source, key) was called and not forgotten.
func (s *Spool) Remembered(source string, key [16]byte) bool { return false }

// Retain forgets every key of source for which keep says false.
func (s *Spool) Retain(source string, keep func(key [16]byte) bool) error { return ErrClosed }

// Setting and SetSetting keep a few small values of the agent over restarts
// (device name, a source's label); SetSetting returns when durable.
func (s *Spool) Setting(name string) (value []byte, ok bool) { return nil, false }
func (s *Spool) SetSetting(name string, value []byte) error  { return ErrClosed }

// Close commits what is pending and releases the folder.
func (s *Spool) Close() error { return nil }
