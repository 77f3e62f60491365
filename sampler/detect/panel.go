package detect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// New makes what judges a source's windows; nil if its configuration, which
// must be valid, has no detector. Notebook may be nil.
func New(c Config, s sampler.Setup, n Notebook) *sampler.Judging {
	if len(c.Detectors) == 0 {
		return nil
	}
	p := &panel{setup: s}
	for _, d := range c.Detectors {
		p.members = append(p.members, newMember(d, s, n, p.count))
	}
	p.announce(c.Detectors)
	if len(c.OnDetection.Command) > 0 || c.OnDetection.Webhook != "" {
		p.alarm = newAlarm(c.OnDetection, s, p.count)
	}
	return &sampler.Judging{Judge: p, ReportAt: c.ReportAt, Both: c.ReportAs == ReportBoth,
		KeepOneIn: uint64(c.KeepNormal), Before: c.Before, After: c.After}
}

func newMember(d DetectorConfig, s sampler.Setup, n Notebook, count func(name string, n uint64)) *member {
	m := &member{name: d.Name, called: d.name()}
	switch room := d.Room.(type) {
	case *ThresholdConfig:
		m.detector = threshold{room}
	case *StatisticsConfig:
		m.detector = &statistics{config: room, source: s.Name, setting: "source/" + s.Name + "/learned/" + m.called,
			notebook: n, log: s.Log, count: count}
	case *ModelConfig:
		m.detector = newModel(room, s.Name, s.Log)
	case *CommandConfig:
		m.detector = newCommand(room)
	}
	return m
}

// A panel is all detectors of a source as one judge.
type panel struct {
	setup   sampler.Setup
	members []*member
	alarm   *alarm // nil if nobody wants to know
	best    int    // whose score the last verdict has, by place
}

// member is a detector and what is known of it.
type member struct {
	detector
	name    string // configured; may be empty
	called  string
	failing bool
	unfit   bool      // a window that does not fit was spoken of
	told    bool      // the present failure was spoken of
	spoke   time.Time // when a failure was spoken of last
}

const maxChecks = 64

// speakEvery is how often a detector that fails and recovers is spoken of.
const speakEvery = 10 * time.Minute

// Judge asks all detectors. Those that have no answer do not count, unless it
// is all of them.
func (p *panel) Judge(ctx context.Context, c sampler.Case) (v sampler.Verdict, err error) {
	judged := false
	var best opinion
	for place, m := range p.members {
		o, problem := m.judge(ctx, c)
		p.follow(ctx, m, problem)
		if problem == nil || ctx.Err() == nil { // else it was we who had no time
			p.note(place, problem)
		}
		if problem != nil {
			if err == nil || errors.Is(err, sampler.ErrLearning) {
				err = fmt.Errorf("judge window with %s: %w", m.called, problem)
			}
			continue
		}
		if m.name != "" || o.name == "" {
			o.name = m.called
		}
		if !judged || o.score > best.score || o.score == best.score && len(best.labels) == 0 && len(o.labels) > 0 {
			best, p.best = o, place
		}
		judged = true
		v.Checks, v.Reasons = append(v.Checks, o.checks...), append(v.Reasons, o.reasons...)
		if len(v.Labels) == 0 {
			v.Labels = o.labels
		}
	}
	if !judged {
		return v, err
	}
	// A window of many axes can break many limits; nobody reads them all.
	v.Checks, v.Reasons = v.Checks[:min(len(v.Checks), maxChecks)], v.Reasons[:min(len(v.Reasons), maxReasons)]
	v.Model, v.Version, v.Score = best.name, best.version, best.score
	p.scored(v.Score)
	return v, nil
}

// follow says when a detector begins to fail and when it is well again, not
// too often, and once that windows do not fit it.
func (p *panel) follow(ctx context.Context, m *member, problem error) {
	log := p.setup.Log
	switch {
	case errors.Is(problem, sampler.ErrLearning), ctx.Err() != nil:
	case errors.Is(problem, errUnfit):
		p.count("detector_unfit", 1)
		if !m.unfit {
			m.unfit = true
			log.Warn("window cannot be judged; such windows are counted", "source", p.setup.Name, "detector", m.called, "error", problem)
		}
	case problem != nil:
		p.count("detector_failures", 1)
		if !m.failing && (m.spoke.IsZero() || time.Since(m.spoke) >= speakEvery) {
			m.told, m.spoke = true, time.Now()
			log.Warn("detector does not judge; windows that nobody judges are kept and counted", "source", p.setup.Name, "detector", m.called, "error", problem)
		}
		m.failing = true
	case m.failing:
		if m.told {
			log.Info("detector judges again", "source", p.setup.Name, "detector", m.called)
		}
		m.failing, m.told = false, false
	}
}

// Report tells of an anomaly as the configuration wants.
func (p *panel) Report(ctx context.Context, d spool.Detection) {
	p.found()
	if p.alarm != nil {
		p.alarm.raise(ctx, d)
	}
}

// Close ends all detectors, at the same time: each may need a while.
func (p *panel) Close() {
	var closing sync.WaitGroup
	for _, m := range p.members {
		closing.Go(m.close)
	}
	closing.Wait()
	if p.alarm != nil {
		p.alarm.close()
	}
}

// count adds to a counter of the source.
func (p *panel) count(name string, n uint64) {
	p.setup.Progress.Update(func(s *sampler.Snapshot) {
		if s.Detail == nil {
			s.Detail = map[string]uint64{}
		}
		s.Detail[name] += n
	})
}
