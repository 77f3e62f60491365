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
	rec := sampler.NewRecorder(s.setup, s.config.ReadingConfig, sink)
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
			r := reader{link: l, clock: s.setup.Clock, in: in, coalesce: s.config.Coalesce, settle: s.config.Settle, check: s.check, count: s.count}
			err = r.run(ctx)
			_ = l.Close() // there is nothing left in it to lose
			in.Put(sampler.Line{At: s.setup.Clock.Since(), Broken: true})
			if r.lines > 0 {
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
		wait(ctx, pause)
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// A link is an open port or a connection to one.
type link interface {
	// Read waits a short time for bytes; none is no error.
	Read(b []byte) (int, error)
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
	s.count("sessions", 1)
}

// count adds to a counter of this source.
func (s *Source) count(name string, n uint64) {
	if n == 0 {
		return
	}
	s.setup.Progress.Update(func(p *sampler.Snapshot) {
		if p.Detail == nil {
			p.Detail = map[string]uint64{}
		}
		p.Detail[name] += n
	})
}
