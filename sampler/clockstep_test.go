package sampler

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestClockSteps sets the clock to what it is, which takes root and moves it
// by less than a moment.
func TestClockSteps(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	told, done := make(chan time.Duration, 1), make(chan error, 1)
	go func() {
		done <- NewClock().Steps(ctx, func(by time.Duration) {
			select {
			case told <- by:
			default:
			}
		})
	}()
	deadline := time.After(30 * time.Second)
	again := time.NewTicker(100 * time.Millisecond) // the timer may not stand yet
	defer again.Stop()
	for waiting := true; waiting; {
		now := unix.NsecToTimespec(time.Now().UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Skipf("needs to set the clock: %v", err)
		}
		select {
		case by := <-told:
			if by.Abs() > time.Minute {
				t.Errorf("the clock went by %v, it was set to what it was", by)
			}
			waiting = false
		case err := <-done:
			t.Fatalf("it ended before its context: %v", err)
		case <-again.C:
		case <-deadline:
			t.Fatal("nobody told that the clock was set")
		}
	}
	end()
	if err := <-done; err != nil {
		t.Errorf("at the end: %v", err)
	}
}

func TestClockFloor(t *testing.T) {
	built := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	wall := built.Add(-time.Second)
	c := NewClockOf(Board{Wall: func() time.Time { return wall }, Vouched: func() bool { return true }})
	c.Floor(built)
	if c.Synchronised() {
		t.Error("a time before the program was built is believed")
	}
	wall = built
	if !c.Synchronised() {
		t.Error("a possible time that is vouched for is not believed")
	}
}
