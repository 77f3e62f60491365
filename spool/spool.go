package spool

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
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
type Spool struct {
	conf   Config
	lim    limits
	log    Logger
	lock   *os.File
	codec  *codec
	faults *faultLog
	meta   *metaStore
	hist   *history
	table  *segmentTable

	quarantine  string
	quarantined atomic.Int64
	lost        atomic.Uint64
	damaged     atomic.Uint64
	sideUse     atomic.Int64 // disk use beside the segments
	segmentLeft atomic.Int64 // bytes that the active segment still takes
	recordsLeft atomic.Int64 // and records, at least

	// update commits to a segment; tests have it fail.
	update  func(db *badger.DB, write func(txn *badger.Txn) error) error
	wake    chan struct{}
	stopped chan struct{} // closed when the writer has ended
	active  *segment      // the writer's own

	vanished []segmentRow // segments that went before this start could open anything

	mu          sync.Mutex
	queue       *group        // what comes in
	flight      *group        // what the writer is at
	room        chan struct{} // closed when the writer takes the queue
	nextSeq     uint64        // next to be given
	writtenSeq  uint64        // last that is in a segment
	durable     uint64        // last that was acknowledged
	index       *seenIndex
	streams     map[string]*Stream
	boots       map[[16]byte]bootRow
	holds       map[string]segmentID // bodies being staged, and their first segment
	duplicates  uint64
	abandoned   uint64 // taken, but never written
	commits     uint64
	written     int64
	offered     uint64
	created     int64 // created_at of the last record
	stampBoot   [16]byte
	stampSince  time.Duration
	stampedAt   time.Time
	choresAt    time.Time
	roomAt      time.Time // when a group in flight looks for room again
	noRoom      error     // why the last Append was refused for room
	freed       bool
	full        bool
	failed      error
	failedUntil time.Time
	closing     bool

	offerMu sync.Mutex // orders dating boots and offering records undated
	factMu  sync.Mutex
	facts   map[string]*factSource
}

// Close commits what is pending, saves cursors and releases the folder.
func (s *Spool) Close() error {
	s.mu.Lock()
	already := s.closing
	s.closing = true
	s.mu.Unlock()
	s.nudge()
	<-s.stopped
	if already {
		return nil
	}
	return s.shut()
}

func (s *Spool) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
