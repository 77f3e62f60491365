package agent

import (
	"context"
	"errors"
	"sync"
)

// ErrStopping: the agent does not run, or not for long.
var ErrStopping = errors.New("the agent is stopping")

// A crew are the sources and destinations of an agent. A reload changes them
// while the agent runs.
type crew struct {
	mu           sync.RWMutex // guards the two lists
	sources      []*source
	destinations []*destination

	changing          sync.Mutex // held while they begin, change, or are told to stop
	samplingCtx       context.Context
	sendingCtx        context.Context // both nil before begin
	dismissed         bool
	sampling, sending sync.WaitGroup
}

func (c *crew) sourceList() []*source {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sources
}

func (c *crew) destinationList() []*destination {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.destinations
}

// begin sets all to work: sources until sampling ends, destinations until
// sending does or they are drained.
func (c *crew) begin(sampling, sending context.Context) {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.samplingCtx, c.sendingCtx = sampling, sending
	c.start(c.sources, c.destinations)
}

// start sets some to work, if the others are.
func (c *crew) start(sources []*source, destinations []*destination) {
	if c.samplingCtx == nil {
		return
	}
	for _, d := range destinations {
		d.begin(c.sendingCtx, &c.sending, d.serve)
	}
	for _, s := range sources {
		s.begin(c.samplingCtx, &c.sampling, s.serve)
	}
}

// dismiss lets nobody be added any more.
func (c *crew) dismiss() {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.dismissed = true
}

// A term is the working life of one of the crew.
type term struct {
	stop context.CancelFunc // nil before it begins
	over chan struct{}      // closed at its end
}

func (t *term) begin(ctx context.Context, all *sync.WaitGroup, serve func(context.Context)) {
	ctx, t.stop = context.WithCancel(ctx)
	t.over = make(chan struct{})
	all.Go(func() {
		defer close(t.over)
		defer t.stop()
		serve(ctx)
	})
}
