package sampler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Steps calls on each time that somebody sets the wall clock, with how far it
// went, until ctx ends or the kernel cannot tell, which is an error. A clock
// that is slewed is not set. The kernel ends a timer of its wall clock with
// ECANCELED for that; man timerfd_create.
func (c *Clock) Steps(ctx context.Context, on func(by time.Duration)) error {
	if c.board.Wall != nil {
		<-ctx.Done()
		return nil
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("make a timer of the wall clock: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	defer timer.Close()
	defer context.AfterFunc(ctx, func() { _ = timer.SetReadDeadline(time.Unix(1, 0)) })()
	end := unix.ItimerSpec{Value: unix.Timespec{Sec: math.MaxInt32}} // the last second that 32-bit kernels know
	if strconv.IntSize == 64 {
		end.Value.Sec <<= 2 // the year 2242
	}
	before := wallStart()
	for {
		if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &end, nil); err != nil {
			return fmt.Errorf("set a timer of the wall clock: %w", err)
		}
		_, err := timer.Read(make([]byte, 8))
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			return errors.New("await that the wall clock is set: it is beyond what timers know")
		case !errors.Is(err, unix.ECANCELED):
			return fmt.Errorf("await that the wall clock is set: %w", err)
		}
		now := wallStart()
		on(now - before)
		before = now
	}
}

// wallStart is the wall time at which the boot clock stood at zero.
func wallStart() time.Duration { return clockTime(unix.CLOCK_REALTIME) - clockTime(unix.CLOCK_BOOTTIME) }
