package sampler

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/spool"
)

// A Clock dates what is captured: the kernel's id of this boot, the time
// since boot with sleep included (CLOCK_BOOTTIME), the claimed wall time and
// whether anything vouches for it. Methods may be called concurrently.
//
// Time goes on by Go's own clock from where the boot clock stood at
// NewClock, so that a Clock made in a synctest bubble follows the bubble.
type Clock struct {
	boot      [16]byte
	start     time.Time
	startMono time.Duration // CLOCK_MONOTONIC at start
	asleep    atomic.Int64  // CLOCK_BOOTTIME minus CLOCK_MONOTONIC, in ns
	slept     atomic.Int64  // when asleep was last read, since start, in ns
	vouched   atomic.Bool   // the answer at the last look
	looked    atomic.Int64  // when that was, since start, in ns; 0 is never
	timesync  string        // systemd-timesyncd makes this file once it has the time
	board     Board
	floor     time.Time // no true time is before it
}

// A Board says what a Clock is told, in place of the kernel's answers: how
// tests play a board that starts in 1970, jumps, or is somebody else's.
type Board struct {
	// Boot is the id of the boot.
	Boot [16]byte
	// Wall is the claimed wall time.
	Wall func() time.Time
	// Vouched tells whether anything vouches for it.
	Vouched func() bool
}

// NewClockOf makes the clock of a board that has just started.
func NewClockOf(b Board) *Clock { return &Clock{boot: b.Boot, start: time.Now(), board: b} }

const (
	sleepCheck = 100 * time.Millisecond // how often to look whether the board slept
	syncCheck  = time.Second            // how often to ask who vouches for the time
)

// NewClock reads where the clocks stand. A kernel that hides its boot id (a
// sandbox may) gets a random one: each start then counts as a boot.
func NewClock() *Clock {
	c := &Clock{start: time.Now(), startMono: clockTime(unix.CLOCK_MONOTONIC), timesync: "/run/systemd/timesync/synchronized"}
	c.asleep.Store(int64(clockTime(unix.CLOCK_BOOTTIME) - clockTime(unix.CLOCK_MONOTONIC)))
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	digits := strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")
	if n, bad := hex.Decode(c.boot[:], []byte(digits)[:min(len(digits), 32)]); err != nil || bad != nil || n != 16 {
		_, _ = rand.Read(c.boot[:]) // never fails, says its documentation
	}
	return c
}

// Since is the time since boot, sleep included.
func (c *Clock) Since() time.Duration {
	run := time.Since(c.start)
	if last := c.slept.Load(); run-time.Duration(last) >= sleepCheck && c.slept.CompareAndSwap(last, int64(run)) {
		// The two clocks are not read at the same moment, so only a
		// difference that no scheduler makes is sleep.
		asleep := clockTime(unix.CLOCK_BOOTTIME) - clockTime(unix.CLOCK_MONOTONIC)
		if asleep-time.Duration(c.asleep.Load()) > time.Second {
			c.asleep.Store(int64(asleep))
		}
	}
	return c.startMono + time.Duration(c.asleep.Load()) + run
}

// Now is this moment as the board knows it.
func (c *Clock) Now() spool.Instant { return c.At(c.Since()) }

// At is the moment at which the boot clock stood at since. The wall time is
// today's claim about that moment.
func (c *Clock) At(since time.Duration) spool.Instant {
	i := spool.Instant{Boot: c.boot, Since: since, Wall: c.wall().UnixNano() - int64(c.Since()-since)}
	if c.Synchronised() {
		i.State = spool.ClockSynchronised
	}
	return i
}

func (c *Clock) wall() time.Time {
	if c.board.Wall != nil {
		return c.board.Wall()
	}
	return time.Now()
}

// Floor tells the clock of a moment that has passed, such as that of the
// program's build. A wall time before it is wrong whoever vouches for it. It
// comes before all other use.
func (c *Clock) Floor(t time.Time) { c.floor = t }

// Synchronised tells whether the wall time is possible and vouched for by the
// kernel (adjtimex) or systemd-timesyncd. Either is believed: systemd itself
// calls the kernel's flag a fallback, and other time services set only that.
func (c *Clock) Synchronised() bool { return c.vouch() && !c.wall().Before(c.floor) }

func (c *Clock) vouch() bool {
	if c.board.Vouched != nil {
		return c.board.Vouched()
	}
	run := int64(time.Since(c.start)) + 1
	last := c.looked.Load()
	if last != 0 && run-last < int64(syncCheck) {
		return c.vouched.Load()
	}
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	ok := err == nil && t.Status&unix.STA_UNSYNC == 0
	if !ok {
		_, err = os.Stat(c.timesync)
		ok = err == nil
	}
	c.vouched.Store(ok)
	c.looked.Store(run)
	return ok
}

func clockTime(clock int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
