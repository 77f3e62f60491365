package uploader

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// errHeld says why a worker with held records is not done.
var errHeld = errors.New("some records are not answered for while others are taken; they are tried again")

// An outlook is what a worker with nothing to send now waits for.
type outlook struct {
	empty bool      // every feed has nothing at all
	wake  time.Time // zero: only a feed or Drain can wake it
	ready []<-chan struct{}
	// draining: Drain was called. It is asked once for a whole rest, so that
	// a call in the middle of one is not slept through.
	draining bool
}

func (w *Worker) outlook() outlook {
	o := outlook{empty: true, draining: w.draining()}
	if time.Now().Before(w.notBefore) {
		o.empty, o.wake = false, w.notBefore
		return o
	}
	for _, l := range w.lanes {
		if l.empty {
			o.ready = append(o.ready, l.ready)
			continue
		}
		o.empty = false
		o.wake = sooner(o.wake, l.wake)
	}
	return o
}

// draining tells whether Drain was called.
func (w *Worker) draining() bool {
	select {
	case <-w.drain:
		return true
	default:
		return false
	}
}

// sooner is the earlier one of two times of which zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// rest waits until there may be something to do. done means that Run is to
// return err.
func (w *Worker) rest(ctx context.Context) (done bool, err error) {
	o := w.outlook()
	if done, err := w.over(o); done {
		return true, err
	}
	if o.empty {
		if again := w.tidy(ctx, false); again > 0 {
			o.wake = sooner(o.wake, time.Now().Add(again))
		}
	}
	w.progress.update(func(s *Snapshot) {
		switch {
		case o.empty:
			s.State, s.NextTry = StateIdle, time.Time{}
		case w.outage.paused:
			s.State, s.NextTry = StatePaused, o.wake
		default:
			s.State, s.NextTry = StateWaiting, o.wake
		}
	})
	if w.outage.paused {
		o.wake, o.ready = sooner(o.wake, time.Now().Add(lookEvery)), nil
		w.sleep(ctx, o)
		if g, ok := w.o.Destination.(Guarded); ok && g.CredentialsChanged() {
			w.notBefore = time.Time{}
		}
		return false, nil
	}
	w.sleep(ctx, o)
	return false, nil
}

// over tells whether a worker that is to stop by itself has come to its end.
func (w *Worker) over(o outlook) (bool, error) {
	stuck := w.stuckFor()
	switch {
	case o.empty && (o.draining || w.o.StopWhenEmpty):
		return true, nil
	case o.draining && (stuck > 0 || time.Until(o.wake) > 2*firstWait):
		return true, nil
	case !w.o.StopWhenEmpty:
	case w.outage.paused:
		return true, fmt.Errorf("send to %s: %w: %w", w.o.Name, ErrCredentials, w.outage.err)
	case w.o.Patience > 0 && stuck >= w.o.Patience:
		return true, fmt.Errorf("send to %s: %w: %w", w.o.Name, ErrUnfinished, w.lastError())
	}
	return false, nil
}

// stuckFor is how long nothing was taken, or a record has been held back.
func (w *Worker) stuckFor() (d time.Duration) {
	if w.outage.open() {
		d = max(time.Since(w.outage.since), 1)
	}
	for _, l := range w.lanes {
		for _, h := range l.held {
			d = max(d, time.Since(h.since), 1)
		}
	}
	return d
}

func (w *Worker) lastError() error {
	if w.outage.err != nil {
		return w.outage.err
	}
	return errHeld
}

// sleep waits for the outlook, the context or a call of Drain.
func (w *Worker) sleep(ctx context.Context, o outlook) {
	var due <-chan time.Time
	if !o.wake.IsZero() {
		wake := o.wake
		if w.o.StopWhenEmpty && w.o.Patience > 0 {
			wake = sooner(wake, time.Now().Add(max(w.o.Patience-w.stuckFor(), firstWait/10)))
		}
		t := time.NewTimer(time.Until(wake))
		defer t.Stop()
		due = t.C
	}
	drain := w.drain
	if o.draining { // only the time and the feeds count now
		drain = nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	cases := make([]reflect.SelectCase, 0, len(o.ready)+4)
	add := func(ch any) {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ch)})
	}
	add(beat.C)
	add(ctx.Done())
	add(due)
	add(drain)
	for _, ready := range o.ready {
		add(ready)
	}
	for chosen := 0; chosen == 0; w.progress.beats.Add(1) { // 0 is the beat
		chosen, _, _ = reflect.Select(cases)
	}
}

// show brings the snapshot up to date after a delivery.
func (w *Worker) show() {
	held := 0
	for _, l := range w.lanes {
		held += len(l.held)
	}
	w.progress.update(func(s *Snapshot) {
		s.Held, s.Error, s.Since = held, "", w.outage.since
		switch {
		case w.outage.err != nil:
			s.Error = w.outage.err.Error()
		case held > 0:
			s.Error = errHeld.Error()
		}
	})
}
