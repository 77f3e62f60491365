package agent

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// pulseEvery is how often the pulse is felt.
	pulseEvery = 5 * time.Second
	// patience is how long a part may stand still beyond the spool's
	// commit.timeout. The longest that one does when all is well is a worker
	// that waits two minutes for an answer, and a minute for the next
	// connection.
	patience = 3 * time.Minute
)

// A pulse tells whether every part of the agent that runs is alive: the
// reader of each source, the writer of the spool and the worker of each
// destination. A part that gave up is no part any more; the status names it.
type pulse struct {
	parts    func() []part     // those of now: a reload changes them
	seen     map[string]uint64 // their beats, by name
	every    time.Duration     // how often it is felt
	patience time.Duration
	since    time.Time // when all parts had last moved; of one goroutine
	late     atomic.Pointer[string]
}

// A part moves for as long as its beats grow.
type part struct {
	name    string
	running func() bool
	beats   func() uint64
}

func (p *pulse) begin(parts func() []part) {
	p.since, p.parts, p.seen = time.Now(), parts, map[string]uint64{}
}

// parts names the parts of the agent.
func (a *Agent) parts() []part {
	all := []part{{name: "the spool", running: func() bool { return true }, beats: a.spool.Beats}}
	for _, s := range a.crew.sourceList() {
		all = append(all, part{name: "source " + s.name, running: s.running.Load, beats: s.setup.Progress.Beats})
	}
	for _, d := range a.crew.destinationList() {
		all = append(all, part{name: "destination " + d.name, running: d.running.Load, beats: d.worker.Beats})
	}
	return all
}

// feel tells whether every part has moved since that was last so.
func (p *pulse) feel(now time.Time) bool {
	var still []string
	parts := p.parts()
	for _, q := range parts {
		if q.running() && q.beats() == p.seen[q.name] {
			still = append(still, q.name)
		}
	}
	if len(still) == 0 {
		for _, q := range parts {
			p.seen[q.name] = q.beats()
		}
		p.since = now
		p.late.Store(nil)
		return true
	}
	if now.Sub(p.since) >= p.patience {
		text := fmt.Sprintf("no sign of life for %v: %s", p.patience, strings.Join(still, ", "))
		p.late.Store(&text)
	}
	return false
}

// fault names who has not moved for too long; nil if nobody.
func (p *pulse) fault() error {
	if late := p.late.Load(); late != nil {
		return errors.New(*late)
	}
	return nil
}

// feel feeds the service manager's watchdog when every part has moved since
// it was last fed. Otherwise the health says in time who is to blame for
// what the manager will do.
func (a *Agent) feel(now time.Time) {
	before := a.pulse.fault()
	switch {
	case a.pulse.feel(now):
		state := []string{"WATCHDOG=1"}
		if before != nil {
			go a.log.Info("every part of the agent is alive again") // see watch
			state = append(state, a.summary())
		}
		_ = tellSystemd(state...) // it takes the silence for what it is
	case before == nil && a.pulse.fault() != nil:
		err := a.pulse.fault()
		go a.log.Error("part of the agent hangs; a service manager with a watchdog starts it again", "error", err)
		_ = tellSystemd("STATUS=" + err.Error())
	}
}
