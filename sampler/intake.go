package sampler

import (
	"errors"
	"time"
)

// An Intake cuts lines or frames out of what a source reads and puts them into
// its inbox with the time of their arrival. Each opening of a device has an
// Intake of its own.
type Intake struct {
	// Lines is how many were handed on.
	Lines uint64

	in       *Inbox
	progress *Progress
	next     func(b []byte) (line, rest []byte, long, ok bool)
	counts   *frameCounts // nil for lines
	before   frameCounts
	begun    bool // the first one has been handed on
}

// NewIntake makes an intake for what c describes, which must be valid.
func NewIntake(c ReadingConfig, in *Inbox, p *Progress) *Intake {
	i := &Intake{in: in, progress: p}
	switch {
	case c.Format == FormatFrames:
		s := c.Frame.splitter()
		i.next, i.counts = s.Next, &s.frameCounts
	case c.framed():
		s := c.packetSplitter()
		i.next, i.counts = s.Next, &s.frameCounts
	default:
		i.next = new(Splitter).Next
	}
	return i
}

// Take takes bytes that arrived at a time of the boot clock. It changes them.
func (i *Intake) Take(b []byte, at time.Duration) {
	for {
		line, rest, long, ok := i.next(b)
		broken := i.counts != nil && i.counts.bad != i.before.bad
		if i.counts != nil && i.before != *i.counts {
			i.count()
		}
		if !ok {
			if broken {
				i.in.Put(Line{At: at, Broken: true})
			}
			return
		}
		if len(line) > 0 || long || !i.begun {
			i.in.Put(Line{Text: line, At: at, First: !i.begun, Long: long, Broken: broken})
			i.Lines++
		}
		i.begun, b = true, rest
	}
}

var errCheck = errors.New("frame's check value is wrong")

// count shows what was not handed on.
func (i *Intake) count() {
	bad := i.counts.bad - i.before.bad
	i.progress.Update(func(p *Snapshot) {
		setDetail(p, "skipped_bytes", p.Detail["skipped_bytes"]+i.counts.skipped-i.before.skipped)
		setDetail(p, "bad_checks", p.Detail["bad_checks"]+bad)
		if p.Rejected += bad; bad > 0 {
			p.LastBad = errCheck.Error()
		}
	})
	i.before = *i.counts
}
