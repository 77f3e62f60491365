package sampler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// A bench is a recorder with a judge that does as the test says, and the lines
// it is fed with.
type bench struct {
	t     *testing.T
	setup sampler.Setup
	sink  *samplertest.Sink
	in    *sampler.Inbox
	stop  func()
	at    time.Duration

	mu       sync.Mutex
	seen     int
	closed   bool
	found    []spool.Detection
	reported []spool.Detection
	say      func(ctx context.Context, c sampler.Case) (sampler.Verdict, error)
}

// Judge says what the test says.
func (b *bench) Judge(ctx context.Context, c sampler.Case) (sampler.Verdict, error) {
	b.mu.Lock()
	b.seen++
	b.mu.Unlock()
	return b.say(ctx, c)
}

// Report notes what was reported.
func (b *bench) Report(_ context.Context, d spool.Detection) { b.reported = append(b.reported, d) }

// Close notes the end.
func (b *bench) Close() { b.closed = true }

// Detect keeps detections.
func (b *bench) Detect(_ context.Context, d spool.Detection) error {
	b.found = append(b.found, d)
	return nil
}

// byFirst scores a window by its first value.
func byFirst(_ context.Context, c sampler.Case) (sampler.Verdict, error) {
	v := sampler.Verdict{Model: "first", Version: "7", Score: min(c.Values[0]/100, 1), Reasons: []string{"it said so"}}
	v.Labels = []spool.PredictedLabel{{Name: []string{"bang"}, Probability: 0.87654321}, {Name: []string{"calm"}, Probability: 0.1}}
	return v, nil
}

func newBench(t *testing.T, plan sampler.Judging, say func(ctx context.Context, c sampler.Case) (sampler.Verdict, error)) *bench {
	t.Helper()
	d := newDesk(t, tenHertz())
	b := &bench{t: t, setup: d.setup, sink: d.sink, in: sampler.NewInbox(1 << 20), at: d.at, say: say}
	plan.Judge = b
	if plan.ReportAt == 0 {
		plan.ReportAt = 0.8
	}
	b.setup.Judging, b.setup.Detections = &plan, b
	c := tenHertz()
	c.Gap = time.Hour
	rec := sampler.NewRecorder(b.setup, c, b.sink)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		rec.Run(ctx, b.in)
	}()
	b.stop = func() {
		cancel()
		b.in.Close()
		<-done
	}
	t.Cleanup(b.stop)
	return b
}

// windows feeds windows of ten readings whose values are these.
func (b *bench) windows(values ...int) {
	for _, v := range values {
		for range 10 {
			b.at += 100 * time.Millisecond
			b.in.Put(sampler.Line{Text: fmt.Appendf(nil, "%d,1", v), At: b.at})
		}
	}
}

// finish ends the source and describes what was kept, as dataset and value.
func (b *bench) finish() string {
	b.t.Helper()
	b.stop()
	if !b.closed {
		b.t.Error("the judge was not closed")
	}
	var words []string
	for _, r := range b.sink.Records() {
		words = append(words, fmt.Sprintf("%s/%v", r.Dataset, document(b.t, r).Row(0)[0]))
	}
	return strings.Join(words, " ")
}

func (b *bench) counted(name string) uint64 { return b.setup.Progress.Snapshot().Detail[name] }

// await waits until so many windows were judged or so.
func (b *bench) await(name string, n uint64) {
	b.t.Helper()
	samplertest.AwaitProgress(b.t, fmt.Sprintf("%d %s", n, name), b.setup.Progress, func(s sampler.Snapshot) bool { return s.Detail[name] >= n })
}

func TestAnomaliesGetTheirDatasetAndScores(t *testing.T) {
	b := newBench(t, sampler.Judging{KeepOneIn: 1}, byFirst)
	b.windows(10, 95, 20)
	b.await("judged", 3)
	if got := b.finish(); got != "training/10 anomaly/95 training/20" {
		t.Errorf("got %s", got)
	}
	records := b.sink.Records()
	want := map[string]string{"site": "bench", "anomaly_score": "0.95", "prediction": "bang", "prediction_score": "0.8765", "model": "first", "model_version": "7"}
	if got := records[1].Metadata; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("metadata: got %v, want %v", got, want)
	}
	if got := b.setup.Metadata; len(got) != 1 {
		t.Errorf("the configured metadata has become %v", got)
	}
	if len(b.found) != 1 || len(b.reported) != 1 {
		t.Fatalf("got %d detections and %d reports, want one each", len(b.found), len(b.reported))
	}
	r, d := records[1], b.found[0]
	if d.Sequence != 2 || d.Name != r.Name || d.Dataset != "anomaly" || d.Source != "desk" || d.SHA256 != r.SHA256 || d.Size != r.Size ||
		d.Score != 0.95 || d.Model != "first" || d.Classification != "bang" || len(d.Labels) != 2 || len(d.Reasons) != 1 {
		t.Errorf("detection: got %+v", d)
	}
	if got := b.counted("anomalies"); got != 1 {
		t.Errorf("counted %d anomalies, want 1", got)
	}
}

func TestAnomaliesInBothDatasets(t *testing.T) {
	b := newBench(t, sampler.Judging{KeepOneIn: 1, Both: true}, byFirst)
	b.windows(10, 95)
	b.await("judged", 2)
	if got := b.finish(); got != "training/10 anomaly/95 training/95" {
		t.Errorf("got %s", got)
	}
	r := b.sink.Records()
	if r[1].Identity == r[2].Identity || r[1].SHA256 != r[2].SHA256 || r[1].Name == r[2].Name {
		t.Errorf("want the same bytes as two records, got %s and %s", r[1].Name, r[2].Name)
	}
}

// What a judge does not get to is kept as it is, and no reading is lost.
func TestSlowJudgeLosesNothing(t *testing.T) {
	release := make(chan struct{})
	b := newBench(t, sampler.Judging{KeepOneIn: 1_000_000}, func(ctx context.Context, c sampler.Case) (sampler.Verdict, error) {
		<-release
		return byFirst(ctx, c)
	})
	b.windows(0)
	samplertest.Until(t, "the judge to be busy", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.seen == 1
	}, nil)
	for v := range 59 {
		b.windows(v + 1)
	}
	b.sink.Await(t, 60-17) // one with the judge, 16 waiting
	close(release)
	b.await("judged", 17)
	b.finish()
	s := b.setup.Progress.Snapshot()
	if s.Readings != 600 || s.Dropped != 0 || s.Detail["unjudged"] != 43 || s.Detail["judge_overruns"] != 43 || s.Detail["sampled_out"] != 17 {
		t.Errorf("got %d readings, %d dropped, %v", s.Readings, s.Dropped, s.Detail)
	}
	for _, r := range b.sink.Records() {
		if _, ok := r.Metadata[spool.KeyAnomalyScore]; ok {
			t.Errorf("%s has a score that nobody gave", r.Name)
		}
	}
}

// A judge without an answer, and one that panics, cost the verdict only; the
// share of normal windows says nothing of those.
func TestUnjudgedWindowsAreKept(t *testing.T) {
	b := newBench(t, sampler.Judging{KeepOneIn: 1_000_000}, func(_ context.Context, c sampler.Case) (sampler.Verdict, error) {
		switch c.Values[0] {
		case 1:
			return sampler.Verdict{}, errors.New("no idea")
		case 2:
			panic("a bug")
		}
		return sampler.Verdict{}, fmt.Errorf("judge: %w", sampler.ErrLearning)
	})
	b.windows(1, 2, 3)
	b.sink.Await(t, 3)
	if got := b.finish(); got != "training/1 training/2 training/3" {
		t.Errorf("got %s", got)
	}
	if n := b.counted("unjudged"); n != 2 {
		t.Errorf("counted %d unjudged, want 2: who learns has looked", n)
	}
}

// A stop does not wait for a judge that hangs, and loses none of its windows.
func TestStopWithAHangingJudge(t *testing.T) {
	b := newBench(t, sampler.Judging{KeepOneIn: 1}, func(ctx context.Context, _ sampler.Case) (sampler.Verdict, error) {
		<-ctx.Done()
		return sampler.Verdict{}, ctx.Err()
	})
	b.windows(1, 2, 3)
	samplertest.AwaitProgress(t, "30 readings", b.setup.Progress, func(s sampler.Snapshot) bool { return s.Readings == 30 })
	if got := b.finish(); got != "training/1 training/2 training/3" {
		t.Errorf("got %s", got)
	}
}

// What an operator labels for a time is for training: nobody judges it.
func TestNobodyJudgesWhatAnOperatorLabels(t *testing.T) {
	b := newBench(t, sampler.Judging{KeepOneIn: 1_000_000}, byFirst)
	b.setup.Labelling.SetFor(sampler.Choice{Label: "shaking"}, time.Hour)
	b.windows(95, 10)
	b.sink.Await(t, 2)
	b.setup.Labelling.SetFor(sampler.Choice{}, 0)
	b.windows(96)
	b.await("judged", 1)
	if got := b.finish(); got != "training/95 training/10 anomaly/96" {
		t.Errorf("got %s", got)
	}
}

func TestAroundAnAnomalyAllIsKept(t *testing.T) {
	plan := sampler.Judging{KeepOneIn: 1_000_000, Before: 2 * time.Second, After: time.Second}
	b := newBench(t, plan, byFirst)
	b.windows(1, 2, 3, 4, 95, 5, 6, 7)
	b.await("judged", 8)
	if got := b.finish(); got != "anomaly/95 training/2 training/3 training/4 training/5 training/6" {
		t.Errorf("got %s", got)
	}
	if kept, out := b.counted("kept_around"), b.counted("sampled_out"); kept+out != 7 {
		t.Errorf("%d kept and %d sampled out, want 7 together", kept, out)
	}
}
