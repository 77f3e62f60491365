package uploader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// Options say what a worker takes from where to whom.
type Options struct {
	// Name is the destination's name in logs.
	Name        string
	Destination Destination
	// Feeds are served in the order of Rank of their datasets, and as given
	// where that is equal or not known.
	Feeds []Feed
	// Batch bounds one Send; zero takes what a Bounded destination says, or
	// 100 records and 8 MiB.
	Batch spool.Limit
	// Log may be nil.
	Log spool.Logger
	// Grace is how long a Send under way may go on after Run's context has
	// ended; 5 s if zero.
	Grace time.Duration
	// StopWhenEmpty makes Run return once there is nothing left to send, as
	// a one-shot upload wants it; refused credentials end it at once.
	StopWhenEmpty bool
	// Patience ends a Run with StopWhenEmpty once the destination has taken
	// nothing for that long; zero waits for ever.
	Patience time.Duration
}

// A Worker takes records from its feeds to one destination. It holds the only
// retry loop of the house.
type Worker struct {
	o         Options
	lanes     []*lane
	outage    outage
	failures  int       // in a row that concern the whole destination
	notBefore time.Time // no lane is tried before that
	progress  progress
	drain     chan struct{}
	drainOnce sync.Once
}

// NewWorker makes a worker; Run starts it.
func NewWorker(o Options) *Worker {
	if b, ok := o.Destination.(Bounded); ok && o.Batch == (spool.Limit{}) {
		o.Batch = b.BatchLimit()
	}
	if o.Batch.Records <= 0 {
		o.Batch.Records = 100
	}
	if o.Batch.Bytes <= 0 {
		o.Batch.Bytes = 8 << 20
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = silent{}
	}
	w := &Worker{o: o, drain: make(chan struct{})}
	for _, f := range o.Feeds {
		w.lanes = append(w.lanes, newLane(f, o))
	}
	slices.SortStableFunc(w.lanes, func(a, b *lane) int { return Rank(a.dataset) - Rank(b.dataset) })
	w.outage = outage{log: o.Log, name: o.Name}
	w.progress.s.State = StateIdle
	return w
}

// Run sends until ctx ends, until Drain finds nothing more to do, or, with
// StopWhenEmpty, until the feeds are empty. After each batch the feeds are
// asked in order again, so that anomalies go first. An error means that there
// is no sense in going on: the spool is closed, or, with StopWhenEmpty,
// ErrUnfinished or ErrCredentials.
func (w *Worker) Run(ctx context.Context) error {
	sending, release := grace(ctx, w.o.Grace)
	defer release()
	defer w.tidy(sending, true)
	for ctx.Err() == nil {
		w.progress.beats.Add(1)
		l, batch, err := w.next(ctx)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, spool.ErrClosed):
			return fmt.Errorf("fetch records for %s: %w", w.o.Name, err)
		case err != nil:
			w.judge(l, nil, result{blame: Verdict{Err: fmt.Errorf("%w: fetch records: %w", ErrUnavailable, err)}, later: 1})
		case len(batch) == 0:
			if done, err := w.rest(ctx); done {
				return err
			}
		default:
			w.progress.update(func(s *Snapshot) { s.State, s.NextTry = StateSending, time.Time{} })
			r := w.deliver(ctx, sending, l, batch)
			if r.later > 0 && ctx.Err() != nil {
				return nil // cut off by the stop, which says nothing of the destination
			}
			w.judge(l, batch, r)
		}
	}
	return nil
}

// Drain asks Run to return as soon as everything is sent, or nothing can be
// sent at the moment. It does not wait; to bound it, end Run's context.
func (w *Worker) Drain() { w.drainOnce.Do(func() { close(w.drain) }) }

// next finds the first lane that has something to send now.
func (w *Worker) next(ctx context.Context) (*lane, []spool.Record, error) {
	now := time.Now()
	if now.Before(w.notBefore) {
		return nil, nil, nil
	}
	for _, l := range w.lanes {
		batch, err := l.next(ctx, now, w.opensIn(l.dataset))
		if err != nil || len(batch) > 0 {
			return l, batch, err
		}
	}
	return nil, nil, nil
}

func (w *Worker) opensIn(dataset string) time.Duration {
	if s, ok := w.o.Destination.(Scheduled); ok {
		return s.OpensIn(dataset)
	}
	return 0
}

// judge draws the conclusions from one delivery: when to try whom again.
func (w *Worker) judge(l *lane, batch []spool.Record, r result) {
	now := time.Now()
	switch {
	case r.later == 0:
		w.took(l, batch)
	case r.blame.Kind == Stop:
		w.failures, w.notBefore = 0, now.Add(probeEvery)
		w.outage.note(r.blame, true, probeEvery)
	case r.blame.Everywhere():
		w.failures++
		if r.settled > 0 {
			w.failures = 1
		}
		pause := wait(w.failures, r.blame.RetryAfter)
		w.notBefore = now.Add(pause)
		if r.settled == 0 {
			w.outage.note(r.blame, true, pause)
		}
	case l.isHeld(batch):
		l.failedAgain(batch[0], now)
	default:
		pause := l.failed(batch, r.settled, now)
		if r.settled == 0 {
			w.outage.note(r.blame, l.failures >= certainAfter, pause)
		}
	}
	w.show()
}

// took notes a delivery that left nothing over. Other lanes that had failed
// are tried at once, but only once, since this one's success says little of
// theirs if they fail again.
func (w *Worker) took(l *lane, batch []spool.Record) {
	w.failures = 0
	l.took(batch)
	failing := false
	for _, other := range w.lanes {
		failing = failing || other.failures > 0
		if other.failures > 0 && !other.excused {
			other.excused, other.notBefore = true, time.Time{}
		}
	}
	if !failing {
		w.outage.end()
	}
}

// tidy lets the destination put its things in order.
func (w *Worker) tidy(ctx context.Context, final bool) (again time.Duration) {
	if t, ok := w.o.Destination.(Tidy); ok {
		return t.Tidy(ctx, final)
	}
	return 0
}

// grace is a context that ends some time after ctx.
func grace(ctx context.Context, d time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-longer.Done():
			return
		case <-ctx.Done():
		}
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-longer.Done():
		case <-t.C:
			cancel()
		}
	}()
	return longer, func() { cancel(); <-gone }
}

// silent is the logger of who wants none.
type silent struct{}

func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
