package sampler

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLabellingForATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLabelling(Choice{Label: "idle", Category: "training", Disabled: true})
		l.SetFor(Choice{Label: "run"}, time.Minute)
		c, left, _ := l.Now()
		if c.Label != "run" || c.Category != "training" || c.Disabled || left != time.Minute {
			t.Errorf("for a minute: got %+v for %v", c, left)
		}
		time.Sleep(time.Minute)
		if c, left, _ = l.Now(); c != (Choice{Label: "idle", Category: "training", Disabled: true}) || left != 0 {
			t.Errorf("after it: got %+v for %v", c, left)
		}
		l.SetFor(Choice{Category: "testing"}, time.Hour)
		l.Set(Choice{Label: "walk"})
		if c, left, _ = l.Now(); c != (Choice{Label: "walk"}) || left != 0 {
			t.Errorf("a choice for good ends one for a time: got %+v for %v", c, left)
		}
	})
}

func TestLabellingTellsOfChanges(t *testing.T) {
	l := NewLabelling(Choice{})
	_, _, first := l.Now()
	var seen sync.WaitGroup
	seen.Go(func() { <-first })
	l.Set(Choice{Label: "x"})
	seen.Wait()
	_, _, second := l.Now()
	l.SetFor(Choice{Label: "y"}, time.Hour)
	<-second
}
