// Package sysfs takes readings from files that hold one number each, as the
// kernel shows sensors that it has drivers for (IIO, hwmon, 1-Wire, ADCs). It
// reads them at a rate.
package sysfs

import (
	"context"
	"fmt"
	"sync"

	"github.com/edgespool/edgespool/sampler"
)

// A Source takes readings from a set of files; each reading has one value of
// each.
type Source struct {
	setup  sampler.Setup
	config Config
}

// New makes a source of what c describes, which must be valid. It opens
// nothing.
func New(s sampler.Setup, c Config) *Source { return &Source{setup: s, config: c} }

// patience is how many readings may fail before the source says that it waits.
const patience = 3

// Run takes readings until ctx ends. A file that cannot be read is named,
// counted, and waited for.
func (s *Source) Run(ctx context.Context, sink sampler.Sink) error {
	in := sampler.NewInbox(sampler.InboxSize)
	readings := s.config.readings()
	rec := sampler.NewRecorder(s.setup, readings, sink)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer in.Close()
		p := poll{Source: s, rec: rec, in: in, files: s.config.files(), room: make([]byte, maxText), failed: patience - 1}
		defer p.close()
		_ = sampler.Poll(ctx, readings.Frequency, in, func(n uint64) { s.setup.Progress.Count("late_polls", n) }, p.take)
	})
	rec.Run(ctx, in)
	reader.Wait()
	return nil
}

// A poll reads all files again and again.
type poll struct {
	*Source
	rec    *sampler.Recorder
	in     *sampler.Inbox
	files  []*file
	line   []byte
	room   []byte
	failed int // readings in a row
	begun  bool
}

// take takes one reading; it never fails for good.
func (p *poll) take() error {
	now := p.setup.Clock.Since()
	if err := p.read(); err != nil {
		p.setup.Progress.Reject("failed_reads", err)
		p.in.Put(sampler.Line{At: now, Broken: true})
		if p.failed++; p.failed >= patience && p.rec.Gone(err) {
			p.setup.Log.Warn("files cannot be read; they are tried again until they can", "source", p.setup.Name, "error", err)
		}
		return nil
	}
	if p.failed > 0 {
		p.failed = 0
		p.rec.Opened()
	}
	p.in.Put(sampler.Line{Text: p.line, At: now, First: !p.begun})
	p.begun = true
	return nil
}

// read puts the numbers of all files into one line.
func (p *poll) read() (err error) {
	p.line = p.line[:0]
	for i, f := range p.files {
		if i > 0 {
			p.line = append(p.line, ',')
		}
		if p.line, err = f.read(p.line, p.room); err != nil {
			return fmt.Errorf("sensor %s: %w", p.config.Sensors[i].Name, err)
		}
	}
	return nil
}

func (p *poll) close() {
	for _, f := range p.files {
		f.close()
	}
}
