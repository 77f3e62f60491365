package detect

import (
	"errors"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// announce tells of the detectors before any window has come.
func (p *panel) announce(c []DetectorConfig) {
	p.setup.Progress.Update(func(s *sampler.Snapshot) {
		for i, m := range p.members {
			d := sampler.DetectorProgress{Name: m.called, Type: c[i].Type, State: sampler.DetectorWaiting}
			if learner, ok := m.detector.(*statistics); ok {
				d.WarmUp = learner.config.WarmUp
			}
			s.Detectors = append(s.Detectors, d)
		}
	})
}

// note says how a detector is after a window. One that the window does not fit
// is as it was.
func (p *panel) note(place int, problem error) {
	m := p.members[place]
	p.setup.Progress.Update(func(s *sampler.Snapshot) {
		d := &s.Detectors[place]
		learner, learns := m.detector.(*statistics)
		if learns {
			d.Learned = min(learner.notes.seen, d.WarmUp)
		}
		switch {
		case errors.Is(problem, sampler.ErrLearning):
			d.State, d.Error = sampler.DetectorLearning, ""
		case errors.Is(problem, errUnfit):
		case problem != nil:
			d.State, d.Error = sampler.DetectorFailing, problem.Error()
		default:
			d.State, d.Error = sampler.DetectorReady, ""
			d.Judged++
			if d.Type == "model" || d.Type == "command" {
				d.State = sampler.DetectorRunning
			}
		}
	})
}

// scored notes the verdict of a window.
func (p *panel) scored(score float64) {
	p.setup.Progress.Update(func(s *sampler.Snapshot) { s.LastScore, s.LastJudged = score, time.Now() })
}

// found notes an anomaly as that of the detector with the highest score.
func (p *panel) found() {
	p.setup.Progress.Update(func(s *sampler.Snapshot) {
		s.LastAnomaly = time.Now()
		s.Detectors[p.best].Anomalies++
	})
}
