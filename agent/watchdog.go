package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edgespool/edgespool/agent/api"
)

// ErrHung: the spool's disk has not answered for so long that it will not do
// so any more, or does it to nobody's use. The process must end, without
// waiting for anybody, so that its service manager starts it anew.
var ErrHung = errors.New("the spool's disk does not answer")

// hungTime is how long an agent whose disk hangs goes on to tell so to those
// who ask, before it ends.
const hungTime = 10 * time.Second

// watch waits for the end of the agent's life, or for the spool to say that
// its disk hangs. Then nobody is waited for: whoever works with the spool may
// hang as well. It logs nothing, because the log may be on the same disk. The
// service manager's watchdog is fed meanwhile.
func (a *Agent) watch(ctx context.Context, lived <-chan error) error {
	look := time.NewTicker(a.pulse.every)
	defer look.Stop()
	for hung := false; !hung; {
		select {
		case err := <-lived:
			return err
		case now := <-look.C:
			a.feel(now)
		case <-a.spool.Hung():
			hung = true
		}
	}
	told := time.NewTimer(hungTime)
	defer told.Stop()
	select {
	case <-told.C:
	case <-ctx.Done():
	}
	return api.WithHint(fmt.Errorf("%w, so the agent ends: %w", ErrHung, a.spool.Err()),
		"nothing that was acknowledged is lost; the system's log (dmesg) has what the disk said, and a new start goes on from there")
}

// hung tells whether the spool has given its disk up.
func (a *Agent) hung() bool {
	select {
	case <-a.spool.Hung():
		return true
	default:
		return false
	}
}

// answeringStatus is the status, and the last known one when the spool hangs,
// since its figures may be held by whoever waits for the disk.
func (a *Agent) answeringStatus() api.Status {
	taken := make(chan api.Status, 1)
	go func() { taken <- a.status() }()
	var st api.Status
	select {
	case st = <-taken:
		a.lastStatus.Store(&st)
	case <-a.spool.Hung():
		if last := a.lastStatus.Load(); last != nil {
			st = *last
		}
	}
	if a.hung() {
		st.Spool.ReadOnly, st.Spool.Error = true, fmt.Sprintf("%v: %v", ErrHung, a.spool.Err())
	}
	return st
}
