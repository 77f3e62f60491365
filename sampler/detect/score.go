package detect

import (
	"context"
	"fmt"

	"github.com/edgespool/edgespool/sampler"
)

// ErrUnfit: it is the window that a detector cannot judge.
var ErrUnfit = errUnfit

// Names are what the detectors are called, in the configuration's order.
func (c *Config) Names() []string {
	var names []string
	for i := range c.Detectors {
		names = append(names, c.Detectors[i].name())
	}
	return names
}

// Score has one detector, by its place in the configuration, judge a window that
// somebody asks about, once. Nothing is learned, counted or told of it; what
// the source's own detector has learned, it knows from the notebook. It fails
// with sampler.ErrLearning until that has learned enough, and with ErrUnfit.
func Score(ctx context.Context, c Config, place int, s sampler.Setup, n Notebook, subject sampler.Case) (v sampler.Verdict, err error) {
	m := newMember(c.Detectors[place], s, n, func(string, uint64) {})
	defer m.close()
	if learner, ok := m.detector.(*statistics); ok {
		learner.asked = true
	}
	o, err := m.judge(ctx, subject)
	if err != nil {
		return v, fmt.Errorf("judge file with %s: %w", m.called, err)
	}
	if m.name != "" || o.name == "" {
		o.name = m.called
	}
	return sampler.Verdict{Model: o.name, Version: o.version, Score: o.score, Labels: o.labels,
		Checks: o.checks[:min(len(o.checks), maxChecks)], Reasons: o.reasons[:min(len(o.reasons), maxReasons)]}, nil
}
