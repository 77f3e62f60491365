// Package agent puts the house together: it reads the configuration, builds
// sources, spool, destinations and the API, starts them and stops them in
// order. It is the only one that knows everybody.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/agent/api/streams"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// Options are what the agent is given besides its configuration.
type Options struct {
	// Version is shown in the status.
	Version string
	// Built is when the program was built: no true time is before it.
	Built time.Time
	Log   *slog.Logger
}

// A dataService is the Data API at work.
type dataService interface {
	Run(ctx context.Context)
	Status() []api.NamespaceStatus
}

// An Agent is a whole running house. Build makes one, Run is its life.
type Agent struct {
	log        *slog.Logger
	version    string
	started    time.Time
	path       string // of the spool
	commit     spool.CommitConfig
	clock      *sampler.Clock
	device     sampler.Device
	spool      *spool.Spool
	server     *api.Server
	config     Config      // what a reload is compared with
	crew       crew        // sources and destinations
	data       dataService // nil if it is not served
	streams    *streams.API
	stopping   <-chan struct{} // closed when Run has been asked to stop
	clockSteps atomic.Int64    // since the start
	lastStatus atomic.Pointer[api.Status]
	pulse      pulse
}

// Build takes the port of the API, opens the spool and makes everything else;
// it starts nothing. The agent must be run, for Run also closes what Build
// has opened. A port that another program has, or a spool that another agent
// holds (spool.ErrLocked), is told before anything has changed.
func Build(ctx context.Context, c *Config, o Options) (*Agent, error) {
	a := &Agent{log: o.Log, version: o.Version, started: time.Now(), clock: sampler.NewClock(), config: *c,
		path: c.Spool.Path, commit: c.Spool.Commit,
		pulse: pulse{every: pulseEvery, patience: patience + c.Spool.Commit.Timeout}}
	a.clock.Floor(o.Built)
	c.Spool.Memory = allowedMemory("/")
	limitMemory(c.Spool.Memory)
	server, err := api.New(c.API, face{a}, o.Log)
	if err != nil {
		return nil, err
	}
	if err := server.Bind(ctx); err != nil {
		// Of two agents of one configuration the second misses both; that
		// the first is there says more than that a port is taken.
		if held := spool.Held(c.Spool.Path); held != nil {
			err = withRemedy(held, c.Spool.Path)
		}
		return nil, err
	}
	a.server = server
	c.Spool.Log = o.Log
	if a.spool, err = spool.Open(c.Spool); err != nil {
		return nil, errors.Join(withRemedy(err, c.Spool.Path), server.Unbind())
	}
	if s := a.spool.Stats(); s.Quarantined > 0 || s.Damaged > 0 {
		o.Log.Warn("spool was damaged once; \"edgespool inspect\" explains what was set aside",
			"spool", a.path, "stores", s.Quarantined, "records", s.Damaged)
	}
	if err := a.furnish(ctx, c); err != nil {
		return nil, errors.Join(err, a.spool.Close(), server.Unbind())
	}
	tellBoard(c, "/", o.Log)
	return a, nil
}

// furnish makes everything that needs the spool.
func (a *Agent) furnish(ctx context.Context, c *Config) error {
	var err error
	if a.device, err = findDevice(c.Device, a.spool, "/"); err != nil {
		return err
	}
	a.mountHistory()
	if err := a.serveData(c.API.Data); err != nil {
		return err
	}
	if err := a.buildAll(c); err != nil {
		return err
	}
	return a.mountStreams(ctx, c.Spool.WhenFull == "refuse")
}

// mountStreams serves the streams API. Its streams hold records back only where
// the spool would rather refuse new ones than lose old ones.
func (a *Agent) mountStreams(ctx context.Context, pin bool) error {
	s, err := streams.New(ctx, a.spool, streams.Options{Device: a.device.Name, Categories: sampler.Categories, Sources: a.sourceNames,
		Pin: pin, Now: a.clock.Now})
	if err != nil {
		return err
	}
	a.streams = s
	a.server.Mount(streams.Prefix, s)
	return nil
}

func (a *Agent) sourceNames() []string {
	var names []string
	for _, s := range a.crew.sourceList() {
		names = append(names, s.name)
	}
	return names
}

// Address is where the API listens.
func (a *Agent) Address() string { return a.server.Address() }

// Run starts everything and returns when ctx has ended and everything has
// stopped, or with ErrHung.
func (a *Agent) Run(ctx context.Context) error {
	a.stopping = ctx.Done()
	a.pulse.begin(a.parts)
	lived := make(chan error, 1)
	go func() { lived <- a.live(ctx) }()
	return a.watch(ctx, lived)
}

// live is the agent's life. It ends in this order: sources, so that nothing
// new comes; the workers, once they have sent what they can within drainTime;
// the API, which shows all that; the spool. Who hangs is named and left behind.
func (a *Agent) live(ctx context.Context) error {
	steady := context.WithoutCancel(ctx)
	serving, stopServing := context.WithCancel(steady)
	defer stopServing()
	sending, stopSending := context.WithCancel(steady)
	defer stopSending()
	sampling, stopSampling := context.WithCancel(ctx)
	defer stopSampling()

	var apis sync.WaitGroup
	var served error
	apis.Go(func() {
		served = a.server.Run(serving)
		stopSampling() // a server that ended by itself ends the agent
	})
	if a.data != nil {
		apis.Go(func() { a.data.Run(serving) })
	}
	if !a.dateBoot() { // before the workers: what is once sent undated stays so
		a.crew.sampling.Go(func() { a.watchClock(sampling) })
	}
	a.crew.begin(sampling, sending)
	a.log.Info("agent is running", "api", a.Address(), "device", a.device.Name,
		"sources", len(a.crew.sourceList()), "destinations", len(a.crew.destinationList()))
	if err := tellSystemd("READY=1", a.summary()); err != nil {
		a.log.Warn("service manager is not told that the agent runs, and may end it", "error", err)
	}

	<-sampling.Done()
	a.log.Info("agent is stopping, sources first")
	_ = tellSystemd("STOPPING=1", "STATUS=Stopping, sources first") // it asked for the stop, or sees the end of the process
	a.crew.dismiss()
	a.awaitSources()
	a.drain(stopSending)
	stopServing()
	apis.Wait()
	if err := a.spool.Close(); err != nil {
		return errors.Join(served, fmt.Errorf("close spool: %w", err))
	}
	a.log.Info("agent has stopped")
	return served
}

func (a *Agent) uptime() time.Duration { return time.Since(a.started) }

// face is what the API sees of the agent.
type face struct{ a *Agent }

// Status takes the figures.
func (f face) Status() api.Status { return f.a.answeringStatus() }

// Healthy says what only a new start can mend.
func (f face) Healthy() error {
	if f.a.hung() {
		return ErrHung
	}
	return f.a.pulse.fault()
}

// Ready says why no samples can be taken.
func (f face) Ready() error {
	if err := f.Healthy(); err != nil {
		return err
	}
	s := f.a.spool.Stats()
	switch {
	case s.ReadOnly:
		return fmt.Errorf("the spool's disk takes no writes: %s", s.Refuses)
	case s.Full:
		return fmt.Errorf("the spool is full: %s", s.Refuses)
	}
	select {
	case <-f.a.stopping:
		return errors.New("the agent is stopping")
	default:
		return nil
	}
}

// Label changes how a source labels.
func (f face) Label(_ context.Context, name string, c api.Change) error {
	s, ok := f.a.source(name)
	if !ok {
		return api.ErrUnknownSource
	}
	return s.change(c)
}

// Exceptions lists what destinations refused.
func (f face) Exceptions(ctx context.Context, limit int) (found []spool.Exception, err error) {
	for _, d := range f.a.crew.destinationList() {
		for _, st := range d.streams {
			more, err := st.Exceptions(ctx, 0, limit-len(found))
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
	}
	return found, nil
}

// Tap is where a source's readings and samples can be looked at.
func (f face) Tap(name string) (*sampler.Tap, bool) {
	s, ok := f.a.source(name)
	if !ok {
		return nil, false
	}
	return s.setup.Tap, true
}
