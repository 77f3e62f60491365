package agent

import (
	"context"
	"sync"
	"time"
)

// How long the phases of a stop may take.
const (
	// sourceTime is for sources to hand over what they have.
	sourceTime = 10 * time.Second
	// drainTime is how long the agent goes on sending what it has. What is
	// left is sent after the next start.
	drainTime = 10 * time.Second
	// workerTime is for workers to end after that: a request under way has
	// some seconds of grace, and so has noting what became of it.
	workerTime = 15 * time.Second
)

// drain lets the workers send what they can, for drainTime at most.
func (a *Agent) drain(stopSending context.CancelFunc) {
	for _, d := range a.crew.destinationList() {
		d.worker.Drain()
	}
	patience := time.AfterFunc(drainTime, stopSending)
	defer patience.Stop()
	if !ended(&a.crew.sending, drainTime+workerTime) {
		for _, d := range a.crew.destinationList() {
			if d.running.Load() {
				a.log.Error("destination does not stop: left behind, what it has not noted is sent again after the next start", "destination", d.name)
			}
		}
	}
}

// awaitSources waits for the sources, for sourceTime at most. One that hangs,
// in a driver or on a network folder, must not keep the others' samples from
// being sent and the spool from being closed.
func (a *Agent) awaitSources() {
	if ended(&a.crew.sampling, sourceTime) {
		return
	}
	for _, s := range a.crew.sourceList() {
		if s.running.Load() {
			a.log.Error("source does not stop: left behind, what it has not handed over is lost or comes again", "source", s.name)
		}
	}
}

// ended waits until everybody has ended, for patience at most.
func ended(all *sync.WaitGroup, patience time.Duration) bool {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
