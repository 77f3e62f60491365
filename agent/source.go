package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/detect"
	"github.com/edgespool/edgespool/spool"
)

// source is one source and what the agent keeps beside it.
type source struct {
	term
	name, kind string
	config     SourceConfig
	room       sampler.Source
	setup      sampler.Setup
	configured sampler.Choice
	readings   *sampler.ReadingConfig // nil where there are none
	memory     *spool.Spool
	running    atomic.Bool

	mu   sync.Mutex // guards base
	base sampler.Choice
}

// keptChoice is a choice that an operator made for good, as the spool keeps
// it. It holds as long as the file says what it said then.
type keptChoice struct {
	Chosen, Configured sampler.Choice
}

func newSource(c SourceConfig, a *Agent) (*source, error) {
	kind := sourceKinds()[c.Type]
	s := &source{name: c.Name, kind: c.Type, config: c, configured: kind.choice(c.Room), memory: a.spool}
	if room, ok := c.Room.(interface{ Readings() *sampler.ReadingConfig }); ok {
		s.readings = room.Readings()
	}
	s.base = s.restored()
	s.setup = sampler.Setup{
		Name: c.Name, Device: a.device, Metadata: c.Metadata, Clock: a.clock, Memory: a.spool, Log: a.log,
		Labelling: sampler.NewLabelling(s.base), Progress: &sampler.Progress{}, Tap: &sampler.Tap{},
	}
	s.setup.Progress.Update(func(p *sampler.Snapshot) { p.State = sampler.StateWaiting })
	s.setup.Judging = detect.New(c.Detect, s.setup, a.spool)
	s.setup.Detections = detections{a.spool}
	room, err := kind.build(c.Room, s.setup)
	if err != nil {
		return nil, fmt.Errorf("build source %s: %w", c.Name, err)
	}
	s.room = room
	return s, nil
}

// serve runs the source until ctx ends. One that gives up, even by a panic,
// is reported and does no harm to the others.
func (s *source) serve(ctx context.Context) {
	s.running.Store(true)
	defer s.running.Store(false)
	err := s.run(ctx)
	if err == nil {
		return
	}
	s.setup.Progress.Update(func(p *sampler.Snapshot) { p.State, p.Error = sampler.StateFailed, err.Error() })
	s.setup.Log.Error("source gave up, the others go on; a restart tries it again", "source", s.name, "error", err)
}

func (s *source) run(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("run source %s: panic: %v", s.name, p)
			s.setup.Log.Error("source panicked", "source", s.name, "stack", string(debug.Stack()))
		}
	}()
	sink := shown{Sink: s.memory, tap: s.setup.Tap}
	if s.setup.Judging == nil || s.readings != nil { // a recorder has its windows judged itself
		return s.room.Run(ctx, sink)
	}
	judge := sampler.NewFileJudge(&s.setup, sink)
	ctx, stop := context.WithCancel(ctx)
	var judging sync.WaitGroup
	judging.Go(func() { judge.Run(ctx) })
	defer judging.Wait()
	defer stop()
	return s.room.Run(ctx, judge)
}

// shown is the sink that a source sees: the spool, with every sample shown to
// whoever looks.
type shown struct {
	sampler.Sink
	tap *sampler.Tap
}

// Append hands the records on and shows what became of them.
func (s shown) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	receipt, err := s.Sink.Append(ctx, recs...)
	if err == nil && len(receipt.Results) == len(recs) {
		for i, r := range recs {
			s.tap.Sample(r, receipt.Results[i])
		}
	}
	return receipt, err
}

// settingName is where the spool keeps the source's choice.
func (s *source) settingName() string { return "source/" + s.name + "/choice" }

// restored is the choice to start with.
func (s *source) restored() sampler.Choice {
	var kept keptChoice
	text, ok := s.memory.Setting(s.settingName())
	if !ok || json.Unmarshal(text, &kept) != nil || kept.Configured != s.configured {
		return s.configured
	}
	return kept.Chosen
}

// change does what an operator asks for.
func (s *source) change(c api.Change) error {
	d, bounded, err := c.Duration()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bounded {
		s.setup.Labelling.SetFor(overlay(sampler.Choice{}, c, sampler.Choice{}), d)
		return nil
	}
	next := overlay(s.base, c, s.configured)
	text, err := json.Marshal(keptChoice{Chosen: next, Configured: s.configured})
	if err != nil {
		return fmt.Errorf("keep label: %w", err)
	}
	if err := s.memory.SetSetting(s.settingName(), text); err != nil {
		return fmt.Errorf("keep label: %w", err)
	}
	s.base = next
	s.setup.Labelling.Set(next)
	return nil
}

// overlay is the choice with the fields of the change that are given; an empty
// label or category is that of the fallback.
func overlay(to sampler.Choice, c api.Change, fallback sampler.Choice) sampler.Choice {
	if c.Label != nil {
		to.Label = cmp.Or(*c.Label, fallback.Label)
	}
	if c.Category != nil {
		to.Category = cmp.Or(*c.Category, fallback.Category)
	}
	if c.Enabled != nil {
		to.Disabled = !*c.Enabled
	}
	return to
}

// status is the source's part of the status page.
func (s *source) status() api.SourceStatus {
	p := s.setup.Progress.Snapshot()
	choice, left, _ := s.setup.Labelling.Now()
	st := api.SourceStatus{
		Name: s.name, Type: s.kind, State: p.State, Samples: p.Samples, Readings: p.Readings, Rejected: p.Rejected,
		Duplicates: p.Duplicates, Dropped: p.Dropped, Error: p.Error, LastBad: p.LastBad, FrequencyHz: p.Frequency, Detail: p.Detail,
		Label: choice.Label, Category: choice.Category, Enabled: !choice.Disabled, LabelledForS: left.Seconds(),
	}
	st.LastSampleAt = instant(p.LastSample)
	st.Detect = detectStatus(&p)
	return st
}

// detectStatus is what the source's detectors did; nil if it has none.
func detectStatus(p *sampler.Snapshot) *api.DetectStatus {
	if len(p.Detectors) == 0 {
		return nil
	}
	n := p.Detail
	st := &api.DetectStatus{Judged: n["judged"], Unjudged: n["unjudged"], Anomalies: n["anomalies"], SampledOut: n["sampled_out"],
		KeptAround: n["kept_around"], Alarms: n["alarms"], AlarmsFailed: n["alarms_failed"], AlarmsJoined: n["alarms_joined"],
		LastScore: p.LastScore, LastJudgedAt: instant(p.LastJudged), LastAnomalyAt: instant(p.LastAnomaly)}
	for _, d := range p.Detectors {
		st.Detectors = append(st.Detectors, api.DetectorStatus{Name: d.Name, Type: d.Type, State: d.State, Error: d.Error,
			Judged: d.Judged, Anomalies: d.Anomalies, Learned: d.Learned, WarmUp: d.WarmUp})
	}
	return st
}

// instant is nil for never.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
