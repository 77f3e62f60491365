package uploader

import (
	"context"
	"fmt"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// maxReason bounds what is kept of a far side's explanation.
const maxReason = 1 << 10

// A result sums up what became of a batch.
type result struct {
	settled int
	later   int     // records without an end, left in the feed
	blame   Verdict // the most telling reason for that
}

// add joins the result of a part of the batch.
func (r *result) add(part result) {
	r.settled += part.settled
	if part.later > 0 {
		r.later += part.later
		r.accuse(part.blame)
	}
}

// accuse keeps the verdict that decides what to do: refused credentials
// before what concerns the whole destination before the rest.
func (r *result) accuse(v Verdict) {
	weight := func(v Verdict) int {
		switch {
		case v.Kind == Stop:
			return 3
		case v.Everywhere():
			return 2
		case v.Err != nil:
			return 1
		}
		return 0
	}
	asked := max(r.blame.RetryAfter, v.RetryAfter)
	if weight(v) > weight(r.blame) {
		r.blame = v
	}
	r.blame.RetryAfter = asked
}

// hopeless tells whether there is no sense in sending more just now.
func (r *result) hopeless() bool { return r.later > 0 && r.blame.Everywhere() }

// deliver sends a batch and settles what came to an end. Records that were
// refused together are sent again in halves until the one at fault stands
// alone. No part is begun once ctx has ended; sending outlives ctx a little.
func (w *Worker) deliver(ctx, sending context.Context, l *lane, batch []spool.Record) result {
	verdicts := w.o.Destination.Send(sending, batch)
	w.progress.beats.Add(1)
	var r result
	outcomes := make([]spool.Outcome, 0, len(batch))
	var refused []spool.Record
	for i := range batch {
		var v Verdict
		if i < len(verdicts) {
			v = verdicts[i]
		}
		if v.Kind == TryLater {
			v = l.doomed(batch, v)
		}
		switch {
		case v.Kind == Rejected && v.Batch && len(batch) > 1:
			refused = append(refused, batch[i])
		case v.Kind == Stored || v.Kind == AlreadyThere || v.Kind == Rejected:
			outcomes = append(outcomes, outcome(batch[i].Sequence, v))
		default:
			r.later++
			r.accuse(v)
		}
	}
	r.add(w.settle(sending, l, outcomes))
	half := (len(refused) + 1) / 2
	for _, part := range [][]spool.Record{refused[:half], refused[half:]} {
		switch {
		case len(part) == 0:
		case ctx.Err() != nil || r.hopeless():
			r.later += len(part)
		default:
			r.add(w.deliver(ctx, sending, l, part))
		}
	}
	return r
}

// settle tells the feed what became of records, and counts it. What was
// answered is noted even if that was the last thing before the stop.
func (w *Worker) settle(sending context.Context, l *lane, outcomes []spool.Outcome) result {
	if len(outcomes) == 0 {
		return result{}
	}
	ctx, release := grace(sending, w.o.Grace)
	defer release()
	if err := l.feed.Settle(ctx, outcomes...); err != nil {
		return result{later: len(outcomes), blame: Verdict{Err: fmt.Errorf("%w: settle records: %w", ErrUnavailable, err)}}
	}
	l.passed(len(outcomes))
	w.progress.update(func(s *Snapshot) {
		for _, o := range outcomes {
			switch o.Fate {
			case spool.FateStored:
				s.Stored++
				s.LastStored = time.Now()
			case spool.FateAlreadyThere:
				s.AlreadyThere++
			case spool.FateRejected:
				s.Rejected++
				s.LastRejected = o.Reason
			}
		}
	})
	return result{settled: len(outcomes)}
}

// outcome is the end that a verdict means for a record.
func outcome(sequence uint64, v Verdict) spool.Outcome {
	o := spool.Outcome{Sequence: sequence, RemoteID: v.RemoteID, Status: v.Status}
	switch v.Kind {
	case Stored:
		o.Fate = spool.FateStored
	case AlreadyThere:
		o.Fate = spool.FateAlreadyThere
	default:
		o.Fate = spool.FateRejected
	}
	if v.Err != nil {
		o.Reason = v.Err.Error()
		if len(o.Reason) > maxReason {
			o.Reason = o.Reason[:maxReason]
		}
	}
	return o
}
