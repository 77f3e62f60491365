package detect

import (
	"strings"
	"testing"
	"time"
)

func newTestCommand(t *testing.T, way string, patience time.Duration) *command {
	t.Helper()
	d := newCommand(&CommandConfig{Command: judgeCommand(t, way), Timeout: patience})
	d.process.first = time.Millisecond
	t.Cleanup(d.close)
	return d
}

func TestCommandJudges(t *testing.T) {
	d := newTestCommand(t, "good", 20*time.Second)
	for _, v := range []float64{1, 93, 2} {
		o := awaitOpinion(t, d, readings(v))
		if o.score != v/100 || o.version != "3" || len(o.reasons) != 1 || o.labels[0].Name[0] != "loose" || o.labels[0].Probability != 0.75 {
			t.Errorf("%v: got %+v", v, o)
		}
	}
	if o := awaitOpinion(t, d, readings(1)); o.name == "" {
		t.Error("the judgement is nobody's")
	}
}

// Whatever a program does, the windows get an error that says what, and a
// fresh program afterwards.
func TestCommandMisbehaves(t *testing.T) {
	for way, want := range map[string]string{
		"crash": "exit status 3", "hang": "nothing within", "flood": "more than 1 MiB", "nonsense": `"good" is not the JSON`,
		"beyond": "not between 0 and 1",
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			patience := 20 * time.Second
			if way == "hang" {
				patience = 500 * time.Millisecond
			}
			d := newTestCommand(t, way, patience)
			awaitOpinion(t, d, readings(1))
			before := d.process.child
			if _, err := d.judge(t.Context(), readings(5)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			if before.alive() {
				t.Error("the program lives on")
			}
			if o := awaitOpinion(t, d, readings(2)); o.score != 0.02 {
				t.Errorf("afterwards: got %+v", o)
			}
		})
	}
}

// The time for an answer does not count for the first one.
func TestCommandThatStartsSlowly(t *testing.T) {
	d := newTestCommand(t, "slow-start", 10*time.Millisecond)
	if o, err := d.judge(t.Context(), readings(4)); err != nil || o.score != 0.04 {
		t.Errorf("got %+v, %v", o, err)
	}
}

// A program that says more than it was asked would answer each window with
// the one before; it is started anew instead.
func TestCommandThatSpeaksUnasked(t *testing.T) {
	d := newTestCommand(t, "twice", 20*time.Second)
	if o := awaitOpinion(t, d, readings(5)); o.score != 0.1 {
		t.Errorf("got %+v, want the first line", o)
	}
	for range 3 {
		if o := awaitOpinion(t, d, readings(7)); o.score != 0.07 {
			t.Errorf("got %+v, want the answer to this window", o)
		}
	}
}

// A program that reads nothing more cannot hold anybody up.
func TestCommandThatIsDeaf(t *testing.T) {
	d := newTestCommand(t, "deaf", time.Second)
	awaitOpinion(t, d, readings(1))
	if _, err := d.judge(t.Context(), readings(5)); err == nil {
		t.Error("got an answer")
	}
	if o := awaitOpinion(t, d, readings(3)); o.score != 0.03 {
		t.Errorf("afterwards: got %+v", o)
	}
}

// Programs do not see our keys.
func TestCommandHasAnEnvironmentOfItsOwn(t *testing.T) {
	t.Setenv("EI_API_KEY", "very secret")
	c, err := launch([]string{"/usr/bin/env"}, nil, nil)
	if err != nil {
		t.Skipf("%v: install coreutils to run this test", err)
	}
	<-c.ended
	for _, pair := range c.cmd.Env {
		if strings.Contains(pair, "secret") {
			t.Errorf("the program sees %s", pair)
		}
	}
	if len(c.cmd.Env) == 0 {
		t.Error("the program has no environment at all")
	}
}
