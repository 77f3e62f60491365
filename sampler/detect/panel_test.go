package detect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// says is a detector that says one thing.
type says struct {
	opinion opinion
	err     error
	closed  *int
}

func (s says) judge(context.Context, sampler.Case) (opinion, error) { return s.opinion, s.err }
func (s says) close() {
	if s.closed != nil {
		*s.closed++
	}
}

func TestPanelTakesTheHighestScore(t *testing.T) {
	label := func(name string) []spool.PredictedLabel {
		return []spool.PredictedLabel{{Name: []string{name}, Probability: 1}}
	}
	learns, fails := says{err: fmt.Errorf("x: %w", sampler.ErrLearning)}, says{err: errors.New("broken")}
	calm := says{opinion: opinion{score: 0.2, version: "1"}}
	wild := says{opinion: opinion{score: 0.9, name: "plant/pump", version: "12", reasons: []string{"wild"}}}
	namer := says{opinion: opinion{score: 0.2, labels: label("steady")}}
	for _, c := range []struct {
		detectors []says
		want      string
		err       error
	}{
		{[]says{calm, wild}, "plant/pump 12 0.9 []", nil},
		{[]says{wild, calm, namer}, "plant/pump 12 0.9 steady", nil},
		{[]says{calm, namer}, "d1  0.2 steady", nil}, // who predicts something says more
		{[]says{calm, learns, fails}, "d0 1 0.2 []", nil},
		{[]says{learns, learns}, "", sampler.ErrLearning},
		{[]says{learns, fails}, "", fails.err}, // one that is broken is worse news
	} {
		p := &panel{setup: samplertest.Setup("pump", quiet)}
		for i, d := range c.detectors {
			p.members = append(p.members, &member{detector: d, called: fmt.Sprintf("d%d", i)})
		}
		p.announce(make([]DetectorConfig, len(p.members)))
		v, err := p.Judge(t.Context(), readings(1))
		got := fmt.Sprintf("%s %s %v []", v.Model, v.Version, v.Score)
		if len(v.Labels) > 0 {
			got = fmt.Sprintf("%s %s %v %s", v.Model, v.Version, v.Score, v.Labels[0].Name[0])
		}
		if err == nil && got != c.want || !errors.Is(err, c.err) {
			t.Errorf("got %s, %v, want %s, %v", got, err, c.want, c.err)
		}
	}
}

// A detector that fails is said to once, and once when it is well again.
func TestPanelSaysItOnce(t *testing.T) {
	var logs bytes.Buffer
	closed := 0
	m := &member{detector: says{err: errors.New("no library"), closed: &closed}, called: "pump"}
	p := &panel{setup: samplertest.Setup("pump", slog.New(slog.NewTextHandler(&logs, nil))), members: []*member{m}}
	p.announce(make([]DetectorConfig, 1))
	for range 5 {
		if _, err := p.Judge(t.Context(), readings(1)); err == nil {
			t.Fatal("got a verdict")
		}
	}
	m.detector = says{closed: &closed}
	for range 5 {
		if _, err := p.Judge(t.Context(), readings(1)); err != nil {
			t.Fatal(err)
		}
	}
	m.detector = says{err: fmt.Errorf("%w: odd", errUnfit), closed: &closed}
	for range 5 {
		_, _ = p.Judge(t.Context(), readings(1))
	}
	m.detector = says{err: errors.New("again"), closed: &closed}
	_, _ = p.Judge(t.Context(), readings(1)) // so soon after the last one it is only counted
	p.Close()
	text := logs.String()
	if strings.Count(text, "does not judge") != 1 || strings.Count(text, "judges again") != 1 || strings.Count(text, "cannot be judged") != 1 || strings.Count(text, "\n") != 3 || closed != 1 {
		t.Errorf("logged %q, closed %d times", text, closed)
	}
	if n := p.setup.Progress.Snapshot().Detail["detector_failures"]; n != 6 {
		t.Errorf("counted %d failures, want 6", n)
	}
}
