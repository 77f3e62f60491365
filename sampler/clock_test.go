package sampler

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/spool"
)

func TestClockIsTheBootClock(t *testing.T) {
	c := NewClock()
	before := clockTime(unix.CLOCK_BOOTTIME)
	now := c.Now()
	after := clockTime(unix.CLOCK_BOOTTIME)
	// The two readings at NewClock are not made at one moment.
	const slack = time.Second
	if now.Since < before-slack || now.Since > after+slack {
		t.Errorf("got %v since boot, the kernel says %v to %v", now.Since, before, after)
	}
	if now.Boot == ([16]byte{}) || now.Boot != NewClock().boot && bootIDReadable() {
		t.Errorf("boot id %x is not that of the next clock", now.Boot)
	}
}

func bootIDReadable() bool {
	_, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return err == nil
}

func TestClockFollowsABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		first := c.Now()
		time.Sleep(36 * time.Hour)
		second := c.Now()
		if got := second.Since - first.Since; got != 36*time.Hour {
			t.Errorf("36 h of the bubble are %v on the boot clock", got)
		}
		if got := second.Wall - first.Wall; got != int64(36*time.Hour) {
			t.Errorf("and %v on the wall", time.Duration(got))
		}
		early := c.At(first.Since)
		if early.Wall != first.Wall || early.Since != first.Since {
			t.Errorf("the first instant, asked later: %+v, want %+v", early, first)
		}
	})
}

func TestClockNoticesSleep(t *testing.T) {
	c := NewClock()
	before := c.Since()
	// As if the board had slept an hour since: then the difference between
	// the two kernel clocks was an hour less when the clock was made.
	c.asleep.Add(-int64(time.Hour))
	c.slept.Store(-int64(sleepCheck))
	// The two clocks are read one after the other, hence a few ns either way.
	if got := c.Since() - before; got.Abs() > time.Minute {
		t.Errorf("the hour of sleep is not noticed: off by %v", got)
	}
}

func TestClockBelievesEither(t *testing.T) {
	c := NewClock()
	c.timesync = filepath.Join(t.TempDir(), "synchronized")
	var k unix.Timex
	_, err := unix.Adjtimex(&k)
	kernel := err == nil && k.Status&unix.STA_UNSYNC == 0
	if got := c.Synchronised(); got != kernel {
		t.Errorf("without the file: got %v, the kernel says %v", got, kernel)
	}
	if err := os.WriteFile(c.timesync, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := c.Synchronised(); got != kernel {
		t.Errorf("within a second the answer stays: got %v", got)
	}
	c.looked.Store(0)
	if i := c.Now(); i.State != spool.ClockSynchronised {
		t.Error("with the file of systemd-timesyncd: not synchronised")
	}
}
