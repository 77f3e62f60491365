package detect

import (
	"context"
	"fmt"
	"math"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A threshold compares every value with limits. What is beyond one scores 1,
// all else 0: there is nothing to be unsure of.
type threshold struct{ config *ThresholdConfig }

func (t threshold) close() {}

func (t threshold) judge(_ context.Context, c sampler.Case) (o opinion, err error) {
	o.version = "1"
	found := 0
	for axis, s := range c.Sensors {
		limit, ok := t.config.Axes[s.Name]
		if !ok {
			continue
		}
		found++
		e := extremesOf(c, axis)
		o.check(s.Name, "at least", limit.Min, e.low, limit.Min != nil && e.low < *limit.Min)
		o.check(s.Name, "at most", limit.Max, e.high, limit.Max != nil && e.high > *limit.Max)
		o.check(s.Name, "a change in a second of at most", limit.Rate, e.rate, limit.Rate != nil && e.rate > *limit.Rate)
	}
	if o.score > 0 {
		return o, nil
	}
	if found < len(t.config.Axes) {
		return o, fmt.Errorf("%w: only %d of %d axes with limits are among its sensors", errUnfit, found, len(t.config.Axes))
	}
	o.checks = []spool.Check{{Type: "THRESHOLD", Passed: true}}
	return o, nil
}

// check notes a limit that was not kept.
func (o *opinion) check(axis, what string, limit *float64, got float64, beyond bool) {
	if !beyond {
		return
	}
	o.score = 1
	reason := fmt.Sprintf("%s: got %.6g, want %s %.6g", axis, got, what, *limit)
	o.reasons = append(o.reasons, reason)
	o.checks = append(o.checks, spool.Check{Type: "THRESHOLD", Score: 1, Details: reason})
}

// extremes are what limits are about; of one axis.
type extremes struct{ low, high, rate float64 }

func extremesOf(c sampler.Case, axis int) extremes {
	axes := len(c.Sensors)
	e := extremes{low: math.Inf(1), high: math.Inf(-1)}
	for i := axis; i < len(c.Values); i += axes {
		v := c.Values[i]
		e.low, e.high = min(e.low, v), max(e.high, v)
		if i >= axes {
			e.rate = max(e.rate, math.Abs(v-c.Values[i-axes])*c.Hz)
		}
	}
	return e
}
