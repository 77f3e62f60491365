package detect

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newTestModel(t *testing.T, way string, change ...func(c *ModelConfig)) *model {
	t.Helper()
	c := &ModelConfig{Path: modelFile(t, way), Timeout: 20 * time.Second}
	for _, f := range change {
		f(c)
	}
	m := newModel(c, "pump", quiet)
	m.process.first = time.Millisecond
	t.Cleanup(m.close)
	return m
}

func TestModelJudges(t *testing.T) {
	m := newTestModel(t, "good")
	o := awaitOpinion(t, m, readings(1))
	if o.name != "plant/pump" || o.version != "12" {
		t.Errorf("it is called %q, version %q", o.name, o.version)
	}
	// Its limit is 0.5, so 1 is twice that: 4/4.25.
	if math.Abs(o.score-0.941) > 0.001 || len(o.reasons) != 1 {
		t.Errorf("got score %v, reasons %v, want 0.941 and one", o.score, o.reasons)
	}
	if l := o.labels; len(l) != 2 || l[0].Name[0] != "calm" || l[0].Probability != 0.9 {
		t.Errorf("got labels %v", l)
	}
	if o := awaitOpinion(t, m, readings(-3)); o.score != 0 || len(o.reasons) != 0 {
		t.Errorf("below nothing: got %+v", o)
	}
}

// A label can mean an anomaly as well.
func TestModelWithAnomalousLabels(t *testing.T) {
	m := newTestModel(t, "good", func(c *ModelConfig) { c.AnomalyAt, c.Anomalous = 1000, []string{"wild"} })
	if o := awaitOpinion(t, m, readings(9)); o.score != 0.9 || o.labels[0].Name[0] != "wild" {
		t.Errorf("got %+v, want the probability of wild", o)
	}
}

// A longer window is classified in pieces; the worst one counts.
func TestModelTakesLongWindowsInPieces(t *testing.T) {
	m := newTestModel(t, "good")
	c := readings(0)
	c.Values, c.Rows = append(append(readings(0).Values, readings(0).Values...), 0, 0, 0, 0, 2, 2), 23
	if o := awaitOpinion(t, m, c); math.Abs(o.score-scoreOf(4)) > 1e-9 {
		t.Errorf("got %+v, want what the last reading makes", o)
	}
	short := readings(0)
	short.Values, short.Rows = short.Values[:18], 9
	if _, err := m.judge(t.Context(), short); err == nil || !strings.Contains(err.Error(), "make window longer") {
		t.Errorf("a short window: got %v", err)
	}
	if o := awaitOpinion(t, m, readings(0)); o.score != 0 || m.process.failures != 0 {
		t.Error("a window that does not fit is no fault of the model's")
	}
}

// Whatever a model does, its source gets an error that says what, and a fresh
// model afterwards.
func TestModelMisbehaves(t *testing.T) {
	for way, want := range map[string]string{
		"crash": `exit status 3; it said "segmentation fault, so to speak"`, "hang": "nothing within", "flood": "more than 1 MiB",
		"nonsense": "not what a model says", "refuse": "error code was -5", "nothing": "neither labels nor an anomaly score",
		"no-number": "neither labels nor an anomaly score",
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			m := newTestModel(t, way, func(c *ModelConfig) {
				if way == "hang" {
					c.Timeout = 500 * time.Millisecond
				}
			})
			awaitOpinion(t, m, readings(1))
			before := m.process.child
			_, err := m.judge(t.Context(), readings(5))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			if before.alive() {
				t.Error("the model lives on")
			}
			if o := awaitOpinion(t, m, readings(1)); o.score == 0 || m.process.child == before {
				t.Error("no fresh model judges")
			}
		})
	}
}

func TestModelThatDoesNotStart(t *testing.T) {
	m := newTestModel(t, "missing-library")
	if _, err := m.judge(t.Context(), readings(1)); err == nil || !strings.Contains(err.Error(), "libtensorflowlite_flex") {
		t.Errorf("got %v, want what it said", err)
	}
	m = newTestModel(t, "good", func(c *ModelConfig) { c.Path += ".elsewhere" })
	if _, err := m.judge(t.Context(), readings(1)); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v, want that there is none", err)
	}
}

// An answer to another request is passed over; noise on stderr is nobody's
// business.
func TestModelIsToleratedAsFarAsItGoes(t *testing.T) {
	if o := awaitOpinion(t, newTestModel(t, "stale"), readings(5)); math.Abs(o.score-scoreOf(0.5)) > 1e-9 {
		t.Errorf("stale: got %+v, want the answer to this request", o)
	}
	if o := awaitOpinion(t, newTestModel(t, "noisy"), readings(1)); o.score == 0 {
		t.Errorf("noisy: got %+v", o)
	}
}

// Pauses between starts grow, and nobody waits for them.
func TestModelRestsBetweenFailures(t *testing.T) {
	m := newTestModel(t, "missing-library")
	m.process.first = time.Hour
	for i := range 3 {
		_, err := m.judge(t.Context(), readings(1))
		if err == nil || (i > 0) != strings.Contains(err.Error(), errResting.Error()) {
			t.Errorf("try %d: got %v", i+1, err)
		}
	}
	if m.process.failures != 1 {
		t.Errorf("it was started %d times, want once", m.process.failures)
	}
}

// A stop ends a question under way, and the model with its socket.
func TestStopEndsAQuestion(t *testing.T) {
	m := newTestModel(t, "hang")
	awaitOpinion(t, m, readings(1))
	child := m.process.child
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.judge(ctx, readings(5))
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Error("got an answer from a model that hangs")
	}
	m.close()
	if child.alive() {
		t.Error("the model lives on after a stop")
	}
	if left, _ := filepath.Glob("/dev/shm/edgespool-model-*"); len(left) > 0 {
		if info, err := os.Stat(left[0]); err == nil && info.Sys() != nil && m.process.child != nil {
			t.Errorf("sockets are left: %v", left)
		}
	}
}
