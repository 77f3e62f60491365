package sampler

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// A Line is one line as it arrived.
type Line struct {
	Text []byte
	// At is when it arrived, on the boot clock.
	At time.Duration
	// First: the first line after opening; its beginning may be missing.
	First bool
	// Broken: it does not follow on the line before, because something
	// between them is lost or the source was away.
	Broken bool
	// Long: this stands for a line that was too long to take.
	Long bool
}

// An Inbox holds the lines that a source's reader has stamped until the
// recorder comes to them: bounded, so that a slow commit costs no memory, and
// counted, so that nothing is lost silently. One goroutine puts, one takes.
type Inbox struct {
	limit   int
	arrived chan struct{}
	stirred atomic.Bool // since the recorder last asked

	mu     sync.Mutex
	lines  []byte // each one: length, time, marks, text
	lost   uint64 // lines that found no room
	broken bool   // something is missing before the next line
	closed bool

	taken []byte // the recorder's side of the two buffers
	rest  []byte // of taken
}

// InboxSize holds 22 s of lines at 115200 baud, or 2.8 s at 921600.
const InboxSize = 256 << 10

const lineHeader = 4 + 8 + 1

const (
	markFirst = 1 << iota
	markBroken
	markLong
)

// NewInbox makes an inbox for that many bytes.
func NewInbox(limit int) *Inbox {
	return &Inbox{limit: limit, arrived: make(chan struct{}, 1)}
}

// Put takes a copy of a line. It never blocks: a line that finds no room is
// lost and counted.
func (b *Inbox) Put(l Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines)+lineHeader+len(l.Text) > b.limit {
		b.lost++
		b.broken = true
		return
	}
	var marks byte
	if l.First {
		marks |= markFirst
	}
	if l.Broken || b.broken {
		marks |= markBroken
		b.broken = false
	}
	if l.Long {
		marks |= markLong
	}
	b.lines = binary.LittleEndian.AppendUint32(b.lines, uint32(len(l.Text)))
	b.lines = binary.LittleEndian.AppendUint64(b.lines, uint64(l.At))
	b.lines = append(append(b.lines, marks), l.Text...)
	b.notify()
}

// Stir says that the reader is alive, though there may be nothing to read. The
// recorder passes it on as a beat of the source, so that one beat speaks for both.
func (b *Inbox) Stir() { b.stirred.Store(true) }

// Close says that no more lines will come.
func (b *Inbox) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.notify()
}

func (b *Inbox) notify() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// Arrived gets a value when there are lines to take, or none will come.
func (b *Inbox) Arrived() <-chan struct{} { return b.arrived }

// Take hands out the next line, which holds until the next Take; ok is false
// when there is none at the moment.
func (b *Inbox) Take() (l Line, ok bool) {
	if len(b.rest) == 0 && !b.swap() {
		return l, false
	}
	n := int(binary.LittleEndian.Uint32(b.rest))
	marks := b.rest[12]
	l = Line{
		Text: b.rest[lineHeader : lineHeader+n], At: time.Duration(binary.LittleEndian.Uint64(b.rest[4:])),
		First: marks&markFirst != 0, Broken: marks&markBroken != 0, Long: marks&markLong != 0,
	}
	b.rest = b.rest[lineHeader+n:]
	return l, true
}

// swap exchanges the emptied buffer for the filled one.
func (b *Inbox) swap() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines, b.taken = b.taken[:0], b.lines
	b.rest = b.taken
	return len(b.rest) > 0
}

// Done tells whether no line is left and none will come.
func (b *Inbox) Done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && len(b.lines) == 0 && len(b.rest) == 0
}

// Lost is how many lines found no room.
func (b *Inbox) Lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost
}
