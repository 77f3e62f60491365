// Package listener is the source that other devices post to: it speaks the
// Edge Impulse ingestion API, so that whatever uploads to Edge Impulse can
// upload to this agent instead. It answers 200 only once the spool has the
// samples for good.
//
// The wire is that of docs.edgeimpulse.com/apis/ingestion and of what the
// vendor's own clients send and expect.
package listener

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// A Source takes samples over HTTP. It is an http.Handler for
//
//	POST /api/{category}/files   many files, multipart/form-data
//	POST /api/{category}/data    one file, legacy
//
// with the categories training, testing, anomaly, validation,
// post-processing and split. Before Run has begun and after it has ended
// every request is told to come back (503).
type Source struct {
	setup  sampler.Setup
	config Config
	key    func() (string, error)
	door   door
	// inMemory counts the bytes of small bodies that requests hold.
	inMemory atomic.Int64
}

// New makes the source. key returns the key that clients must send; it is
// asked for every request, so that a new key holds from the next one on.
// A nil key lets everybody in.
func New(setup sampler.Setup, c Config, key func() (string, error)) *Source {
	return &Source{setup: setup, config: c, key: key}
}

// Run serves requests until ctx ends, on its own address if the
// configuration has one, and on whatever server the source is mounted. It
// returns when no request is under way any more.
func (s *Source) Run(ctx context.Context, sink sampler.Sink) error {
	if s.config.Listen == "" {
		s.attend(ctx, sink)
		return nil
	}
	for ctx.Err() == nil {
		err := s.serve(ctx, sink)
		if ctx.Err() != nil {
			break
		}
		s.setup.Log.Warn("listener is waiting for its address", "source", s.setup.Name, "error", err)
		s.show(sampler.StateWaiting, err.Error())
		// The address may belong to an interface that comes up later.
		select {
		case <-time.After(briefly):
		case <-ctx.Done():
		}
	}
	return nil
}

// serve attends with a server of the source's own, until ctx or the server
// ends.
func (s *Source) serve(ctx context.Context, sink sampler.Sink) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen for samples: %w", err)
	}
	s.setup.Log.Info("listener is open", "source", s.setup.Name, "address", l.Addr().String())
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.config.Timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    4 * longestHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that break off are everyday life
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- server.Serve(l)
	}()
	s.attend(ctx, sink)
	_ = server.Close() // every request that was let in has its answer
	return fmt.Errorf("serve samples: %w", <-ended)
}

// attend lets requests in until ctx ends, and keeps the state up to date.
func (s *Source) attend(ctx context.Context, sink sampler.Sink) {
	s.door.open(sink)
	defer s.door.close()
	beat := time.NewTicker(sampler.BeatEvery)
	defer beat.Stop()
	for {
		s.setup.Progress.Beat()
		choice, left, changed := s.setup.Labelling.Now()
		if choice.Disabled {
			s.show(sampler.StatePaused, "")
		} else {
			s.show(sampler.StateRunning, "")
		}
		var over <-chan time.Time
		if left > 0 {
			over = time.After(left)
		}
		select {
		case <-beat.C:
		case <-over:
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// show tells status pages how the source is; trouble is empty if it is well.
func (s *Source) show(state, trouble string) {
	s.setup.Progress.Update(func(p *sampler.Snapshot) { p.State, p.Error = state, trouble })
}

// count writes a request into the source's figures, and says so once when it
// begins or ends that the agent itself is why requests are refused.
func (s *Source) count(outcomes []outcome, no *refusal) {
	trouble := ""
	if no != nil && no.status >= http.StatusInternalServerError && no.retryAfter != briefly {
		trouble = no.reason
	}
	before := ""
	s.setup.Progress.Update(func(p *sampler.Snapshot) {
		if p.Detail == nil {
			p.Detail = make(map[string]uint64)
		}
		p.Detail["requests"]++
		if no != nil {
			p.Detail["refused_requests"]++
			p.LastBad = shorten(no.reason)
		}
		for _, o := range outcomes {
			o.count(p)
		}
		before = p.Error
		switch {
		case trouble != "":
			p.State, p.Error = sampler.StateWaiting, trouble
		case no == nil && before != "":
			p.State, p.Error = sampler.StateRunning, ""
		}
	})
	switch {
	case trouble != "" && before == "":
		s.setup.Log.Warn("listener refuses samples, clients are told to come back", "source", s.setup.Name, "reason", trouble)
	case no == nil && before != "":
		s.setup.Log.Info("listener takes samples again", "source", s.setup.Name)
	}
}

func (o outcome) count(p *sampler.Snapshot) {
	switch {
	case o.fault != "":
		p.Rejected++
		p.LastBad = shorten(o.fault)
	case o.repeated:
		p.Duplicates++
	case o.sequence > 0: // else it was refused along with another file
		p.Samples++
		p.LastSample = time.Now()
	}
}
