package main

import (
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHangupChangesNothing: SIGHUP, which would end a program by default, is
// answered with a line of the log as often as it comes.
func TestHangupChangesNothing(t *testing.T) {
	var said lockedBuffer
	stop := notReloading(newLogger(&said, slog.LevelInfo, "text"))
	defer stop()
	for n := 1; n <= 2; n++ {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if strings.Count(said.String(), "SIGHUP changes nothing") == n {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		if got := strings.Count(said.String(), "SIGHUP changes nothing"); got != n {
			t.Fatalf("got %d lines after %d signals, want as many", got, n)
		}
	}
}
