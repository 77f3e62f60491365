package sampler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"

	"github.com/edgespool/edgespool/spool"
)

const (
	maxPending       = 16      // windows that wait to be judged
	maxPendingValues = 2 << 20 // and their values, 16 MB
	categoryAnomaly  = "anomaly"
)

// pending is a window on its way to the judge.
type pending struct {
	judgedWindow
	subject Case
}

// An assessor has windows judged beside the reading path. What finds it busy
// is not its business: the recorder keeps such windows as they are.
type assessor struct {
	setup  *Setup
	plan   Judging
	keeper *keeper
	sorter sorter

	overran bool // said once; of the reading path
	arrived chan struct{}
	mu      sync.Mutex
	queue   []pending
	values  int
	closed  bool
}

func newAssessor(s *Setup, k *keeper) *assessor {
	return &assessor{setup: s, plan: *s.Judging, keeper: k, sorter: sorter{plan: *s.Judging}, arrived: make(chan struct{}, 1)}
}

// offer takes a window to be judged, or returns false if too many wait.
func (a *assessor) offer(p pending) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(p.subject.Values)
	if len(a.queue) >= maxPending || len(a.queue) > 0 && a.values+n > maxPendingValues {
		return false
	}
	a.queue, a.values = append(a.queue, p), a.values+n
	a.notify()
	return true
}

// overrun counts a window that found too many waiting.
func (a *assessor) overrun() {
	a.count("unjudged", 1)
	a.count("judge_overruns", 1)
	if !a.overran {
		a.overran = true
		a.setup.Log.Warn("judging is slower than the samples come; those that find no room are kept unjudged and counted", "source", a.setup.Name)
	}
}

// close says that no more windows will come.
func (a *assessor) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.notify()
}

func (a *assessor) notify() {
	select {
	case a.arrived <- struct{}{}:
	default:
	}
}

func (a *assessor) take() (p pending, ok, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		return p, false, a.closed
	}
	p = a.queue[0]
	a.queue[0] = pending{}
	a.queue, a.values = a.queue[1:], a.values-len(p.subject.Values)
	return p, true, false
}

// run judges windows until it is closed and none is left. Judging ends with
// ctx; keep is the context in which windows still reach the sink.
func (a *assessor) run(ctx, keep context.Context) {
	defer a.plan.Judge.Close()
	for {
		p, ok, closed := a.take()
		switch {
		case ok:
			a.assess(ctx, keep, p)
		case closed:
			a.count("sampled_out", len(a.sorter.held))
			return
		default:
			<-a.arrived
		}
	}
}

// assess judges one window and does what follows from it.
func (a *assessor) assess(ctx, keep context.Context, p pending) {
	v, err := a.judge(ctx, p.subject)
	if err != nil {
		if !errors.Is(err, ErrLearning) { // the judge counts those
			a.count("unjudged", 1)
		}
		a.keeper.keep(keep, p.rec, p.rows, nil)
		return
	}
	a.count("judged", 1)
	p.rec.Metadata = withScores(p.rec.Metadata, v)
	var out sorted
	if v.Score >= a.plan.ReportAt {
		a.count("anomalies", 1)
		a.report(keep, p, v)
		out = a.sorter.anomaly(p.judgedWindow)
	} else {
		out = a.sorter.normal(p.judgedWindow)
	}
	for _, w := range out.keep {
		a.keeper.keep(keep, w.rec, w.rows, nil)
	}
	a.count("kept_around", out.around)
	a.count("sampled_out", out.dropped)
}

// judge asks the judge. One that panics costs its verdict, not the source.
func (a *assessor) judge(ctx context.Context, c Case) (v Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("judge window: panic: %v", p)
			a.setup.Log.Error("detector panicked, the window is kept unjudged", "source", a.setup.Name, "stack", string(debug.Stack()))
		}
	}()
	return a.plan.Judge.Judge(ctx, c)
}

// report keeps an anomaly and tells of it.
func (a *assessor) report(ctx context.Context, p pending, v Verdict) {
	rec, both := p.rec, a.plan.Both && p.rec.Dataset != categoryAnomaly
	if both { // the same bytes in two datasets are two records
		rec.Identity = sha256.Sum256(append(slices.Clone(rec.Identity[:]), categoryAnomaly...))
		rec.Name = WindowName(rec.Label.Text, rec.ID())
	}
	rec.Dataset = categoryAnomaly
	result, _ := a.keeper.keep(ctx, rec, p.rows, nil)
	if both {
		a.keeper.keep(ctx, p.rec, p.rows, nil)
	}
	if result.Duplicate {
		return
	}
	a.tell(ctx, DetectionOf(rec, result.Sequence, v))
}

// tell keeps a detection and tells whoever wants to know.
func (a *assessor) tell(ctx context.Context, d spool.Detection) {
	if a.setup.Detections != nil {
		if err := a.setup.Detections.Detect(ctx, d); err != nil {
			a.count("detections_lost", 1)
			a.setup.Log.Error("detection was not kept, its record was", "source", a.setup.Name, "error", err)
		}
	}
	a.plan.Judge.Report(ctx, d)
}

func (a *assessor) count(name string, n int) {
	if n == 0 {
		return
	}
	a.setup.Progress.Update(func(s *Snapshot) { setDetail(s, name, s.Detail[name]+uint64(n)) })
}

// DetectionOf is the detection of a record that is in the spool already, or with
// sequence 0 of what is in none.
func DetectionOf(rec spool.Record, sequence uint64, v Verdict) spool.Detection {
	d := spool.Detection{
		Sequence: sequence, Dataset: rec.Dataset, Name: rec.Name, ContentType: rec.ContentType, Source: rec.Source,
		Size: rec.Size, SHA256: rec.SHA256, Model: v.Model, ModelVersion: v.Version, Score: v.Score,
		Labels: v.Labels, Checks: v.Checks, Reasons: v.Reasons,
		Tags: map[string]string{"device": rec.DeviceName, "source": rec.Source},
	}
	if len(v.Labels) > 0 && len(v.Labels[0].Name) > 0 {
		d.Classification = v.Labels[0].Name[len(v.Labels[0].Name)-1]
	}
	return d
}

// withScores adds what a judge said to a record's metadata.
func withScores(metadata map[string]string, v Verdict) map[string]string {
	m := maps.Clone(metadata)
	if m == nil {
		m = map[string]string{}
	}
	m[spool.KeyAnomalyScore] = scoreText(v.Score)
	if len(v.Labels) > 0 && len(v.Labels[0].Name) > 0 {
		name := v.Labels[0].Name
		m[spool.KeyPrediction] = name[len(name)-1]
		m[spool.KeyPredictionScore] = scoreText(v.Labels[0].Probability)
	}
	m[spool.KeyModel] = v.Model
	if v.Version != "" {
		m[spool.KeyModelVersion] = v.Version
	}
	return m
}

// scoreText writes a score with at most four decimals.
func scoreText(p float64) string {
	return strconv.FormatFloat(math.Round(p*1e4)/1e4, 'f', -1, 64)
}
