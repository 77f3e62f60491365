// Package serial takes readings from serial ports: lines of CSV or JSON from
// a device file, a USB adapter found by its ids, or a serial server. It wraps
// go.bug.st/serial, and it finds ports without opening any.
package serial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A Source takes readings from one port.
type Source struct {
	setup  sampler.Setup
	config Config
	root   string        // "/" but in tests
	check  time.Duration // how often to look whether the port is still the same
}

// New makes a source of what c describes, which must be valid. It opens
// nothing.
func New(s sampler.Setup, c Config) (*Source, error) {
	var faults []string
	c.Validate(func(field, problem, remedy string) {
		faults = append(faults, fmt.Sprintf("%s: %s; %s", field, problem, remedy))
	})
	if len(faults) > 0 {
		return nil, errors.New("configure serial port: " + strings.Join(faults, ". "))
	}
	return &Source{setup: s, config: c, root: "/", check: checkEvery}, nil
}

const (
	presenceEvery = time.Second     // how often to look for a port that is not there
	checkEvery    = 5 * time.Second // how often to look whether it is still the same
	firstBackoff  = 250 * time.Millisecond
	maxBackoff    = 10 * time.Second
)

// Run takes readings until ctx ends. A port that is not there, is in use or
// goes away is waited for; readings from before and after are never joined.
func (s *Source) Run(ctx context.Context, sink sampler.Sink) error {
	in := sampler.NewInbox(sampler.InboxSize)
	rec := sampler.NewRecorder(s.setup, s.config.readings(), sink)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer in.Close()
		s.keepOpen(ctx, rec, in)
	})
	rec.Run(ctx, in)
	reader.Wait()
	return nil
}

// keepOpen opens the port and reads it, again and again.
func (s *Source) keepOpen(ctx context.Context, rec *sampler.Recorder, in *sampler.Inbox) {
	rec.Gone(errNotYet)
	backoff := firstBackoff
	for ctx.Err() == nil {
		in.Stir()
		l, err := openLink(ctx, &s.config, s.root)
		if err == nil {
			rec.Opened()
			s.opened(l)
			lines := uint64(0)
			lines, err = s.read(ctx, l, in)
			_ = l.Close() // there is nothing left in it to lose
			in.Put(sampler.Line{At: s.setup.Clock.Since(), Broken: true})
			if lines > 0 {
				backoff = firstBackoff
			}
		}
		if ctx.Err() != nil {
			return
		}
		if rec.Gone(err) {
			s.setup.Log.Warn("port is not open; it is tried again until it is", "source", s.setup.Name, "error", err)
		}
		pause := backoff/2 + rand.N(backoff)
		if errors.Is(err, errAbsent) {
			pause = presenceEvery
		} else {
			backoff = min(2*backoff, maxBackoff)
		}
		sampler.Pause(ctx, pause)
	}
}

// read takes readings until ctx ends or the link is gone, and says how many
// there were.
func (s *Source) read(ctx context.Context, l link, in *sampler.Inbox) (lines uint64, err error) {
	w := newWatch(l, s.check, s.setup.Progress, s.setup.Clock.Since())
	if s.config.polled() {
		p := s.newPoller(l, in, w)
		err = p.run(ctx)
		if p.begun {
			lines++
		}
		return lines, err
	}
	r := reader{link: l, clock: s.setup.Clock, in: in, coalesce: s.config.Coalesce, settle: s.config.Settle, watch: w,
		intake: sampler.NewIntake(s.config.ReadingConfig, in, s.setup.Progress)}
	err = r.run(ctx)
	return r.intake.Lines, err
}

// A link is an open port or a connection to one.
type link interface {
	// Read waits a short time for bytes; none is no error.
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)
	// Flush forgets what came and was not read.
	Flush()
	// Check tells whether it is still what the configuration means.
	Check() error
	Close() error
}

func (s *Source) opened(l link) {
	s.setup.Log.Info("port is open", "source", s.setup.Name)
	if p, ok := l.(*port); ok {
		for _, note := range p.settings {
			s.setup.Log.Warn("port is not set as asked", "source", s.setup.Name, "problem", note)
		}
	}
	s.setup.Progress.Count("sessions", 1)
}
