package uploader

import (
	"context"
	"fmt"
	"time"

	"github.com/edgespool/edgespool/spool"
)

const (
	// suspectAfter tries of the first record alone, the next record is
	// tried: if that one is taken, the first one is what is at fault.
	suspectAfter = 3
	// certainAfter so many failures in a row of one lane, more than it takes
	// to find a single bad record, it is the destination.
	certainAfter = 7
	// maxHeld records of a lane are held back at a time; with more it is
	// rather the destination than the records.
	maxHeld = 8
	// A held record is given up, as an exception, once it was tried so often
	// while so many others were taken. Holding it for ever would pin the
	// spool and let a growing tail of settled records hang on one.
	giveUpTries  = 12
	giveUpPassed = 1000
)

// A lane is one feed on its way to the destination.
type lane struct {
	feed    Feed
	dataset string
	to      string // the destination's name, for the log
	log     spool.Logger
	batch   spool.Limit
	size    int // records in the next batch: cut by failure, doubled by success

	failures  int // in a row, of this lane
	notBefore time.Time
	excused   bool // tried before its time because another lane succeeded

	alone     int    // failed tries of the first record by itself
	first     uint64 // that record
	firstSize int64
	stepOver  bool // try the record behind it
	stepped   bool // the batch under way is that record
	held      map[uint64]*heldRecord

	// What next found when it returned nothing.
	empty bool
	ready <-chan struct{}
	wake  time.Time
}

// A heldRecord is tried by itself while others pass it.
type heldRecord struct {
	since     time.Time
	tries     int
	notBefore time.Time
	size      int64
	passed    int // records settled meanwhile
	logged    bool
}

func newLane(f Feed, o Options) *lane {
	l := &lane{feed: f, to: o.Name, log: o.Log, batch: o.Batch, size: o.Batch.Records, held: make(map[uint64]*heldRecord)}
	if d, ok := f.(interface{ Dataset() string }); ok {
		l.dataset = d.Dataset()
	}
	return l
}

// next returns what to send now. When that is nothing, the lane is empty and
// its ready channel tells when to look again, or wake does.
func (l *lane) next(ctx context.Context, now time.Time, opensIn time.Duration) ([]spool.Record, error) {
	l.empty, l.stepped, l.wake = false, false, l.notBefore
	if now.Before(l.notBefore) {
		return nil, nil
	}
	l.ready = l.feed.Ready()
	recs, err := l.feed.Fetch(ctx, l.limit())
	if err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		clear(l.held)
		l.empty = true
		return nil, nil
	}
	if opensIn > 0 { // looked at every minute, since the clock may be set
		l.wake = now.Add(min(opensIn, time.Minute))
		return nil, nil
	}
	return l.choose(recs, now), nil
}

// choose takes a held record whose time has come, or else the others.
func (l *lane) choose(recs []spool.Record, now time.Time) []spool.Record {
	l.forgetBefore(recs[0].Sequence)
	l.wake = now.Add(lookEvery)
	fresh := make([]spool.Record, 0, len(recs))
	for i := range recs {
		h := l.held[recs[i].Sequence]
		if h == nil {
			fresh = append(fresh, recs[i])
		} else if !now.Before(h.notBefore) {
			return recs[i : i+1]
		}
	}
	if l.stepOver && len(fresh) > 1 {
		l.stepped = true
		return fresh[1:2]
	}
	return fresh[:min(len(fresh), l.size)]
}

// limit makes room for the records that are fetched but not sent.
func (l *lane) limit() spool.Limit {
	limit := spool.Limit{Records: l.size + len(l.held), Bytes: l.batch.Bytes}
	for _, h := range l.held {
		limit.Bytes += h.size
	}
	if l.stepOver {
		limit.Records++
		limit.Bytes *= 2
	}
	return limit
}

// forgetBefore drops held records that have left the feed.
func (l *lane) forgetBefore(first uint64) {
	for sequence := range l.held {
		if sequence < first {
			delete(l.held, sequence)
		}
	}
}

func (l *lane) isHeld(batch []spool.Record) bool {
	return len(batch) == 1 && l.held[batch[0].Sequence] != nil
}

// passed counts records settled while others were held.
func (l *lane) passed(n int) {
	for _, h := range l.held {
		h.passed += n
	}
}

// took notes that a batch came to its end.
func (l *lane) took(batch []spool.Record) {
	if l.isHeld(batch) {
		if l.held[batch[0].Sequence].logged {
			l.log.Info("record that was held back has come to its end",
				"destination", l.to, "dataset", l.dataset, "sequence", batch[0].Sequence)
		}
		delete(l.held, batch[0].Sequence)
		return
	}
	if l.stepped { // tried again at once: an outage may just have ended
		l.held[l.first] = &heldRecord{since: time.Now(), tries: l.alone, size: l.firstSize}
	}
	l.failures, l.notBefore, l.excused = 0, time.Time{}, false
	l.alone, l.stepOver = 0, false
	l.size = min(l.batch.Records, l.size*2)
}

// failed notes that records were left over, and says when to try again.
func (l *lane) failed(batch []spool.Record, settled int, now time.Time) time.Duration {
	l.failures++
	if settled > 0 {
		l.failures = 1
	}
	l.size = max(1, len(batch)/2)
	if l.failures > 1 {
		l.size = 1
	}
	switch {
	case len(batch) > 1:
		l.alone = 0
	case l.stepped: // the one behind fares no better: it is not the record
		l.alone, l.stepOver = 0, false
	default:
		l.alone++
		l.first, l.firstSize = batch[0].Sequence, batch[0].Size
		l.stepOver = l.alone >= suspectAfter && len(l.held) < maxHeld
	}
	pause := wait(l.failures, 0)
	l.notBefore = now.Add(pause)
	return pause
}

// failedAgain puts a held record off once more.
func (l *lane) failedAgain(rec spool.Record, now time.Time) {
	h := l.held[rec.Sequence]
	if !h.logged {
		h.logged = true
		l.log.Warn("record is not answered for while others are taken: held back and tried again by itself",
			"destination", l.to, "dataset", l.dataset, "sequence", rec.Sequence)
	}
	h.tries++
	h.notBefore = now.Add(wait(h.tries, 0))
}

// doomed turns "try later" about a held record into a rejection once there is
// no doubt left that it is the record and not the destination.
func (l *lane) doomed(batch []spool.Record, v Verdict) Verdict {
	if !l.isHeld(batch) || v.Everywhere() {
		return v
	}
	h := l.held[batch[0].Sequence]
	if h.tries < giveUpTries || h.passed < giveUpPassed {
		return v
	}
	v.Kind = Rejected
	v.Err = fmt.Errorf("no usable answer in %d tries while %d other records were taken; the last: %w", h.tries+1, h.passed, v.Err)
	return v
}
