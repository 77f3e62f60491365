// Package command takes readings from what a program writes to its standard
// output, in any of the formats. The program is started again when it ends.
package command

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A Source takes readings from one program.
type Source struct {
	setup  sampler.Setup
	config Config
	first  time.Duration // pause after the first end
}

const (
	firstPause = time.Second
	maxPause   = time.Minute
	lastingRun = time.Minute // after which an end is a first one again
	listenFor  = 500 * time.Millisecond
	readSize   = 4096
)

var errNotYet = errors.New("program is being started")

// New makes a source of what c describes, which must be valid. It starts
// nothing.
func New(s sampler.Setup, c Config) *Source {
	return &Source{setup: s, config: c, first: firstPause}
}

// Run takes readings until ctx ends; then the program and all that it has
// started are gone as well. Readings of two runs are never joined.
func (s *Source) Run(ctx context.Context, sink sampler.Sink) error {
	in := sampler.NewInbox(sampler.InboxSize)
	rec := sampler.NewRecorder(s.setup, s.config.ReadingConfig, sink)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer in.Close()
		s.keepRunning(ctx, rec, in)
	})
	rec.Run(ctx, in)
	reader.Wait()
	return nil
}

// keepRunning runs the program again and again.
func (s *Source) keepRunning(ctx context.Context, rec *sampler.Recorder, in *sampler.Inbox) {
	rec.Gone(errNotYet)
	pause := s.first
	for ctx.Err() == nil {
		began := s.setup.Clock.Since()
		err := s.runOnce(ctx, rec, in)
		now := s.setup.Clock.Since()
		in.Put(sampler.Line{At: now, Broken: true})
		if ctx.Err() != nil {
			return
		}
		if rec.Gone(err) {
			s.setup.Log.Warn("program does not run; it is started again", "source", s.setup.Name, "error", err)
		}
		if now-began > lastingRun {
			pause = s.first
		}
		in.Pause(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, maxPause)
	}
}

// runOnce runs the program until it or ctx ends, and says why it ended.
func (s *Source) runOnce(ctx context.Context, rec *sampler.Recorder, in *sampler.Inbox) error {
	out, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start program: %w", err)
	}
	defer out.Close()
	p, err := start(s.config.Command, theirs, &notes{setup: &s.setup})
	_ = theirs.Close()
	if err != nil {
		return err
	}
	rec.Opened()
	s.setup.Progress.Count("starts", 1)
	defer context.AfterFunc(ctx, p.stop)()
	s.read(out, p, in)
	<-p.ended
	if p.cause != nil {
		return fmt.Errorf("program has ended: %w", p.cause)
	}
	return errors.New("program has ended")
}

// read takes what the program writes until it has ended and all is read. One
// that closes its output is stopped: there is nothing more to come.
func (s *Source) read(out *os.File, p *program, in *sampler.Inbox) {
	intake := sampler.NewIntake(s.config.ReadingConfig, in, s.setup.Progress)
	buffer := make([]byte, readSize)
	for {
		in.Stir()
		over := p.over()
		_ = out.SetReadDeadline(time.Now().Add(listenFor))
		n, err := out.Read(buffer)
		if n > 0 {
			intake.Take(buffer[:n], s.setup.Clock.Since())
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			p.stop()
			return
		case over: // what still holds the pipe has left our group
			return
		}
	}
}
