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
	// ErrNoException: no exception of the stream has this sequence (any more).
	ErrNoException = errors.New("no such exception")
	// ErrManyRetries: too many exceptions of the stream wait to be offered again.
	ErrManyRetries = errors.New("too many exceptions wait to be retried")
	// ErrUnknownRecord: no record of this sequence is in the spool any more.
	ErrUnknownRecord = errors.New("no such record")
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
	wear   *wearMeter

	detections  *detections
	quarantine  string
	quarantined atomic.Int64
	beats       atomic.Uint64 // of the writer
	lost        atomic.Uint64
	damaged     atomic.Uint64
	sideUse     atomic.Int64 // disk use of history and index
	asideUse    atomic.Int64 // and of the quarantine
	thinning    atomic.Int64 // what a segment that is being thinned out takes anew
	segmentLeft atomic.Int64 // bytes that the active segment still takes
	recordsLeft atomic.Int64 // and records, at least

	// update writes to a segment and syncLog makes that durable; tests have
	// them fail.
	update    func(db *badger.DB, write func(txn *badger.Txn) error) error
	syncLog   func(log *syncedLog) error
	wake      chan struct{}
	stopped   chan struct{} // closed when the writer has ended
	hung      chan struct{} // closed once the disk does not answer
	active    *segment      // the writer's own
	vainUntil time.Time     // as are: see inVain
	dropping  bool          // as is: undelivered records go to make room

	hurt     []block            // chunks that this start could not salvage
	vanished []segmentRow       // segments that went before this start could open anything
	lent     bool               // the ballast was given up for opening, and nobody else took it
	unsure   map[segmentID]bool // a crash came while they were thinned out
	// thinStep is told of each step of thinning; tests crash there.
	thinStep func(step string)

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
	own         ownTime
	choresAt    time.Time
	compareAt   time.Time // when a segment may be opened again for a repeat
	roomAt      time.Time // when a group in flight looks for room again
	noRoom      error     // why records are refused for want of room
	freed       bool
	full        bool
	failed      error
	failedUntil time.Time
	closing     bool
	stuck       int // steps of the writer that do not come back
	hangOnce    sync.Once

	offerMu sync.Mutex // orders dating boots, offering records undated and saving counters
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
	var err error
	s.watched("close spool", func() { err = s.shut() })
	return err
}

func (s *Spool) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}
