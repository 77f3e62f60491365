// Package directory is the source that takes files from a watched folder:
// never a half-written one, never one twice, and none is missed.
//
// Looking at the folder is the truth: at the start, every few seconds, and
// soon after fsnotify hints at a change. A file is taken once it stayed the
// same for a while on the monotonic clock and nobody has it open for writing
// (a read lease tells), and it leaves its place only after the spool has
// committed it. A program that opens, appends and closes for every row looks
// finished between two rows: settle must be longer than its period.
package directory

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

const (
	// lookEvery is the time between two looks when nothing hints at a change,
	// deafEvery where nothing can.
	lookEvery, deafEvery = 5 * time.Second, 2 * time.Second
	// missingEvery is that time while the folder is not there.
	missingEvery = time.Second
	// hintDelay lets what comes together be found together.
	hintDelay = 50 * time.Millisecond
	// shortestPause is between two looks while files come all the time.
	shortestPause = 50 * time.Millisecond
	// A look may cost this part of the time at most, when there are hints and
	// when there are none: a folder of many kept files must not starve a board.
	busyShare, idleShare = 10, 20
	// pruneEvery is how often remembered files that are gone are forgotten.
	pruneEvery = 24 * time.Hour
	// firstSpoolRetry to lastSpoolRetry is the wait while the spool takes nothing.
	firstSpoolRetry, lastSpoolRetry = time.Second, time.Minute
)

// A Source takes files from one folder. It must not run twice at once.
type Source struct {
	setup     sampler.Setup
	config    Config
	hints     *hints
	sightings sightings
	labels    labelFiles
	mounts    map[string]*mount
	watcher   func() (*fsnotify.Watcher, error)
	noLease   bool      // said that leases do not work
	pruned    time.Time // when files that are gone were last forgotten
	notSooner time.Time // before which no hint causes a look
	// Why the spool takes nothing, when to try it again, and after how long.
	spoolFault error
	retry      time.Time
	delay      time.Duration
	state      string
}

// New makes a source of a valid configuration; it fails on what
// Config.Validate would tell, and starts nothing. The labelling in setup
// starts empty, sampler.NewLabelling(sampler.Choice{}): a label or category
// that an operator sets goes before the configured rules.
func New(setup sampler.Setup, c Config) (*Source, error) {
	var faults []error
	c.Validate(func(field, problem, remedy string) {
		faults = append(faults, fmt.Errorf("%s: %s; %s", field, problem, remedy))
	})
	if len(faults) > 0 {
		return nil, fmt.Errorf("set up directory source %s: %w", setup.Name, errors.Join(faults...))
	}
	c.Path = filepath.Clean(c.Path)
	if c.MoveTo != "" {
		c.MoveTo = filepath.Clean(c.MoveTo)
	}
	return &Source{setup: setup, config: c, mounts: make(map[string]*mount), watcher: fsnotify.NewWatcher}, nil
}

// Run takes files until ctx ends. A folder that is not there is waited for;
// the only error is a spool that was closed.
func (s *Source) Run(ctx context.Context, sink sampler.Sink) error {
	s.hints = newHints(s.config.Path, s.watcher, s.setup.Log)
	defer s.hints.close()
	for ctx.Err() == nil {
		s.setup.Progress.Beat()
		choice, left, changed := s.setup.Labelling.Now()
		next := time.Now().Add(s.hints.every())
		if choice.Disabled {
			s.say(sampler.StatePaused, nil)
		} else {
			var err error
			if next, err = s.round(ctx, sink); errors.Is(err, spool.ErrClosed) {
				return fmt.Errorf("run directory source %s: %w", s.setup.Name, err)
			}
		}
		if choice.Disabled && left > 0 && left < time.Until(next) {
			next = time.Now().Add(left)
		}
		s.wait(ctx, next, changed)
	}
	return nil
}

// round is one look and the taking of what is ready. It returns when the
// next look is due, and the spool's error if it takes nothing.
func (s *Source) round(ctx context.Context, sink sampler.Sink) (time.Time, error) {
	sc, err := s.scan(ctx)
	if err != nil {
		s.say(sampler.StateWaiting, fmt.Errorf("%w; make the folder, or mount it", err))
		return time.Now().Add(missingEvery), nil
	}
	sc.cost = time.Since(sc.now)
	sc.prune()
	limit := roundFiles
	switch {
	case sc.now.Before(s.retry):
		limit = 0
	case s.delay > 0:
		limit = 1 // one file finds out whether the spool takes files again
	}
	err = sc.takeAll(sink, limit)
	if ctx.Err() != nil {
		return time.Time{}, nil
	}
	if limit > 0 {
		s.heed(err)
	}
	sc.conclude()
	return sc.next(), err
}

// heed makes the source wait, each time longer, while the spool takes nothing.
func (s *Source) heed(err error) {
	if s.spoolFault = err; err == nil {
		s.delay, s.retry = 0, time.Time{}
		return
	}
	s.delay = min(max(2*s.delay, firstSpoolRetry), lastSpoolRetry)
	s.retry = time.Now().Add(s.delay)
}

// wait returns when the next look is due, sooner on a hint or when an
// operator changes something.
func (s *Source) wait(ctx context.Context, next time.Time, changed <-chan struct{}) {
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	beat := time.NewTicker(sampler.BeatEvery)
	defer beat.Stop()
	wake := s.hints.wake
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			return
		case <-timer.C:
			return
		case <-beat.C:
			s.setup.Progress.Beat()
		case <-wake:
			soon := time.Now().Add(hintDelay)
			if soon.Before(s.notSooner) {
				soon = s.notSooner
			}
			if soon.Before(next) {
				timer.Reset(time.Until(soon))
			}
			wake = nil // heard; the look sees all that comes until then
		}
	}
}

// say tells status pages how things are, and the log when the state changes.
func (s *Source) say(state string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.setup.Progress.Update(func(p *sampler.Snapshot) { p.State, p.Error = state, text })
	if state == s.state {
		return
	}
	s.state = state
	if err != nil {
		s.setup.Log.Warn("source changed its state, it goes on by itself",
			"source", s.setup.Name, "state", state, "error", text)
		return
	}
	s.setup.Log.Info("source changed its state", "source", s.setup.Name, "state", state)
}
