// Package demo plays the whole chain on one machine and checks it: an
// ingestion service and an agent as processes of this very program, an
// accelerometer on a pseudo-terminal and a folder into which recordings fall,
// while the service goes away, the agent is killed and the machine shakes. It looks at the agent
// from outside, as an operator would.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Config says where and how to play.
type Config struct {
	// Dir is the folder to play in; it must be empty or not there.
	Dir string
	// Keep leaves everything running after the check, until ctx ends.
	Keep bool
	// Program is the edgespool binary.
	Program string
	// Out takes the configuration and the table, Story what happens.
	Out, Story io.Writer
}

// ErrFaults: some sample did not arrive exactly once, something else did, or the
// shaking machine was not shown as it should be.
var ErrFaults = errors.New("the demo found faults")

// The acts of the demo.
const (
	quietAct  = 4 * time.Second // all is well
	outageAct = 4 * time.Second // the service is away, before the kill
	calmAct   = 1 * time.Second // and after it, before and after the machine shakes each
	lastAct   = 3 * time.Second // all is well again
	slowWrite = 5 * time.Second // how long the slow recording takes
)

// Run plays the demo; it takes about half a minute. The error is ErrFaults
// if the check fails.
func Run(ctx context.Context, c Config) error {
	s, err := newSite(c)
	if err != nil {
		return err
	}
	defer s.sensor.Unplug()
	fmt.Fprintf(c.Out, "# %s\n%s\n", s.config(), s.configuration())

	sensing, stopSensing := context.WithCancel(ctx)
	sensed := make(chan struct{})
	go func() {
		defer close(sensed)
		s.sensor.Run(sensing)
	}()
	defer func() {
		stopSensing()
		<-sensed
	}()

	p := &play{site: s, c: c, start: time.Now()}
	defer p.clear()
	if err := p.acts(ctx); err != nil {
		return err
	}
	if err := p.end(ctx); err != nil {
		return err
	}
	result, err := check(ctx, s, p.made, p.seen)
	if err != nil {
		return err
	}
	result.print(c.Out)
	if c.Keep {
		if err := p.stay(ctx); err != nil {
			return err
		}
	}
	if len(result.faults) > 0 {
		return ErrFaults
	}
	return nil
}

// A play is the demo while it is played.
type play struct {
	*site
	c       Config
	start   time.Time
	service *child
	agent   *child
	made    []fallen
	seen    sighting
}

func (p *play) tell(format string, args ...any) {
	fmt.Fprintf(p.c.Story, "%5.1f s  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// clear ends what is still running when something went wrong.
func (p *play) clear() {
	for _, c := range []*child{p.agent, p.service} {
		if c != nil && !c.ended() {
			c.kill()
		}
	}
}

func (p *play) acts(ctx context.Context) (err error) {
	p.tell("a local ingestion service starts on %s", p.serviceURL())
	if p.service, err = p.receive(ctx); err != nil {
		return err
	}
	p.tell("the agent starts; the accelerometer on %s gives %d readings a second", p.port(), frequency)
	if p.agent, err = p.run(ctx); err != nil {
		return err
	}
	p.tell("recordings fall into %s", p.watched())
	if err := p.drop(1, "training", "walking"); err != nil {
		return err
	}
	if err := pause(ctx, quietAct); err != nil {
		return err
	}
	if err := p.outage(ctx); err != nil {
		return err
	}
	p.tell("more recordings fall, some for testing and one as an anomaly")
	if err := p.drop(3, "testing", "resting"); err != nil {
		return err
	}
	if err := p.dropOne("CBOR", "anomaly", "spike", 4); err != nil {
		return err
	}
	return pause(ctx, lastAct)
}

// outage is the middle of the demo: the service goes away, the agent is
// killed and started again, the service comes back.
func (p *play) outage(ctx context.Context) (err error) {
	p.tell("the ingestion service goes away")
	if err := p.service.stop(); err != nil {
		return err
	}
	if p.seen.away, err = nextSequence(ctx, p.receivedSpool()); err != nil {
		return err
	}
	p.tell("recordings fall all the same: one is written slowly, one is there already, one is malformed")
	if err := p.drop(2, "training", "running"); err != nil {
		return err
	}
	if err := p.again(); err != nil {
		return err
	}
	if err := p.spoil(); err != nil {
		return err
	}
	slow, err := makeRecording("WAV", "training", "slow", 5, p.hmacKey)
	if err != nil {
		return err
	}
	p.made = append(p.made, fallen{recording: slow})
	written := make(chan error, 1)
	go func() { written <- slow.trickle(ctx, p.watched(), slowWrite) }()
	err = p.killed(ctx)
	if late := <-written; err == nil {
		err = late
	}
	if err != nil {
		return err
	}
	p.tell("the ingestion service is back")
	p.service, err = p.receive(ctx)
	return err
}

// killed lets the agent die in the middle of everything, and the machine shake
// after it.
func (p *play) killed(ctx context.Context) (err error) {
	if err := pause(ctx, outageAct); err != nil {
		return err
	}
	p.tell("the agent is killed with SIGKILL and started again")
	p.agent.kill()
	if err := p.sensor.Release(); err != nil {
		return err
	}
	if p.agent, err = p.run(ctx); err != nil {
		return err
	}
	if err := pause(ctx, calmAct); err != nil {
		return err
	}
	if err := p.shake(ctx); err != nil {
		return err
	}
	return pause(ctx, calmAct)
}

// end waits until all has arrived, then stops agent and service.
func (p *play) end(ctx context.Context) error {
	p.tell("the accelerometer is unplugged; waiting until folder and spool are empty")
	p.sensor.Unplug()
	if err := p.drain(ctx); err != nil {
		return err
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	if err := p.agent.stop(); err != nil {
		return err
	}
	left, err := undelivered(ctx, p.spool())
	if err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d records were left in the spool; see %s", left, p.agent.log)
	}
	p.tell("agent and service stop")
	return p.service.stop()
}

// drain waits until the folder is taken and the agent has nothing to send.
func (p *play) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := eventually(ctx, func() bool { return p.taken() && p.backlog(ctx) == 0 })
	if err != nil {
		return fmt.Errorf("wait for the spool to drain: %w; see %s", err, p.agent.log)
	}
	return nil
}

// stay leaves everything running again after the check, until ctx ends.
func (p *play) stay(ctx context.Context) (err error) {
	if err := p.sensor.Plug(); err != nil {
		return err
	}
	if p.service, err = p.receive(ctx); err != nil {
		return err
	}
	if p.agent, err = p.run(ctx); err != nil {
		return err
	}
	fmt.Fprintf(p.c.Story, "\nstill running, until Ctrl-C:\n  dashboard          %s/\n  ingestion service  %s\n  watched folder     %s\n  received           %s\n",
		p.agentURL(), p.serviceURL(), p.watched(), p.received())
	<-ctx.Done()
	return errors.Join(p.agent.stop(), p.service.stop())
}

// pause lets an act last.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
