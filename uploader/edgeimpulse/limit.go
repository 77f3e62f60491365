package edgeimpulse

import (
	"fmt"
	"strings"
	"time"

	"github.com/edgespool/edgespool/spool"
	"golang.org/x/time/rate"
)

// A Rate is a number of bytes per second, written as 200KiB/s; zero is none.
type Rate int64

const (
	// minRate keeps a request's pieces well within the time in which some
	// progress must be seen.
	minRate Rate = 256
	// maxBurst is the largest piece that goes out at once under a rate.
	maxBurst = 64 << 10
)

// UnmarshalText reads a size per second.
func (r *Rate) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	size, ok := strings.CutSuffix(t, "/s")
	var s spool.Size
	if err := s.UnmarshalText([]byte(size)); !ok || err != nil {
		return fmt.Errorf("%q is not a rate; write for example 200KiB/s", t)
	}
	*r = Rate(s)
	return nil
}

// String writes the rate as it is read.
func (r Rate) String() string { return spool.Size(r).String() + "/s" }

// limiter paces bodies in pieces of at most a second.
func (r Rate) limiter() *rate.Limiter {
	if r <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(r), int(min(r, maxBurst)))
}

// Hours are a daily stretch of local time, such as 22:00-06:00; the zero value
// is the whole day.
type Hours struct{ from, to time.Duration } // since midnight

// UnmarshalText reads two times of day.
func (h *Hours) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	from, to, ok := strings.Cut(t, "-")
	var err error
	var begin, end time.Duration
	if begin, err = timeOfDay(from); err == nil && ok {
		end, err = timeOfDay(to)
	}
	if !ok || err != nil || begin == end {
		return fmt.Errorf("%q are not hours; write for example 22:00-06:00", t)
	}
	h.from, h.to = begin, end
	return nil
}

func timeOfDay(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "24:00" {
		return 24 * time.Hour, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, err
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// String writes the hours as they are read; empty for the whole day.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	clock := func(d time.Duration) string {
		return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
	}
	return clock(h.from) + "-" + clock(h.to)
}

// opensIn is how long after now the hours begin; zero within them.
func (h Hours) opensIn(now time.Time) time.Duration {
	if h == (Hours{}) {
		return 0
	}
	since := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute +
		time.Duration(now.Second())*time.Second + time.Duration(now.Nanosecond())
	within := since >= h.from && since < h.to
	if h.from > h.to {
		within = since >= h.from || since < h.to
	}
	switch {
	case within:
		return 0
	case since < h.from:
		return h.from - since
	}
	return h.from + 24*time.Hour - since
}
