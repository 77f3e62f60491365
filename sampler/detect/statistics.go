package detect

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A statistics detector learns from its first windows what is normal and then
// compares, for good: one that went on learning would take a bearing that
// fails slowly for normal. A new word for the baseline makes it learn anew.
type statistics struct {
	config   *StatisticsConfig
	source   string
	setting  string
	notebook Notebook // may be nil
	log      *slog.Logger
	count    func(name string, n uint64)

	describer describer
	notes     notes
	base      *baseline // once it has learned
	loaded    bool
	sensors   []sampler.Sensor
	saved     time.Time
	unsaved   int  // windows seen since
	asked     bool // for one opinion: it learns nothing and says nothing
}

// saveEvery is how often an unfinished warm-up is written down: each time
// costs the card a commit.
const saveEvery = 10 * time.Minute

var (
	errShort     = fmt.Errorf("%w: it has fewer than 8 readings, too few to describe it", errUnfit)
	errUnsettled = fmt.Errorf("%w: its values are too large to describe it", errUnfit)
)

func (s *statistics) judge(_ context.Context, c sampler.Case) (o opinion, err error) {
	if c.Rows < 8 {
		return o, errShort
	}
	s.follow(c)
	features := s.describer.describe(c.Values, len(c.Sensors))
	for _, f := range features {
		if f != f || f > 1e30 || f < -1e30 {
			return o, errUnsettled
		}
	}
	if s.base == nil {
		if !s.asked {
			s.learn(features)
		}
		return o, sampler.ErrLearning
	}
	o.version = "1"
	ratio := s.base.ratio(features)
	o.score = scoreOf(ratio)
	check := spool.Check{Type: "STATISTICS", Passed: ratio < 1, Score: o.score, Details: fmt.Sprintf("distance from normal is %.3g of the limit", ratio)}
	o.checks = append(o.checks, check)
	if !check.Passed {
		o.reasons = s.base.explain(features, c.Sensors)
	}
	return o, nil
}

// follow takes up what was learned of these sensors, or begins anew.
func (s *statistics) follow(c sampler.Case) {
	if s.loaded && slices.Equal(s.sensors, c.Sensors) {
		return
	}
	of := subjectOf(c.Sensors, s.config)
	s.loaded, s.sensors, s.base, s.notes, s.saved = true, slices.Clone(c.Sensors), nil, notes{of: of}, time.Now()
	if s.notebook == nil {
		return
	}
	text, ok := s.notebook.Setting(s.setting)
	if !ok {
		return
	}
	n, err := decodeNotes(text)
	switch {
	case s.asked && (err != nil || n.of != of):
	case err != nil:
		s.log.Warn("detector learns anew", "source", s.source, "error", err)
	case n.of == of && (len(n.kept) == 0 || len(n.kept[0]) == len(c.Sensors)*axisFeatures):
		s.notes = n
		s.settle()
	default:
		s.log.Info("detector learns anew, because sensors or baseline are others than before", "source", s.source)
	}
}

// learn takes one more window of the warm-up. If there are more than can be
// kept, every so many is.
func (s *statistics) learn(features []float64) {
	every := (s.config.WarmUp + room(len(features)) - 1) / room(len(features))
	if s.notes.seen%every == 0 {
		row := make([]float32, len(features))
		for j, f := range features {
			row[j] = float32(f)
		}
		s.notes.kept = append(s.notes.kept, row)
	}
	s.notes.seen++
	s.unsaved++
	s.count("learning", 1)
	if s.settle(); s.base != nil {
		s.log.Info("detector has learned what is normal", "source", s.source, "windows", s.notes.seen)
		s.save()
	} else if time.Since(s.saved) >= saveEvery {
		s.save()
	}
}

// settle makes the baseline once there is enough to make it of.
func (s *statistics) settle() {
	if s.notes.seen >= s.config.WarmUp && len(s.notes.kept) > neighbour {
		s.base = learn(s.notes.kept)
	}
}

func (s *statistics) save() {
	s.saved = time.Now()
	if s.notebook == nil || s.unsaved == 0 {
		return
	}
	if err := s.notebook.SetSetting(s.setting, s.notes.encode()); err != nil {
		s.log.Warn("what the detector learned was not kept; it learns again after the next start", "source", s.source, "error", err)
		return
	}
	s.unsaved = 0
}

// close writes down an unfinished warm-up.
func (s *statistics) close() { s.save() }
