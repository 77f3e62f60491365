package uploader

import (
	"time"

	"github.com/edgespool/edgespool/spool"
)

// An outage is the time in which a destination takes nothing. It is logged
// once when it begins and once when it ends, whatever happens in between.
type outage struct {
	log    spool.Logger
	name   string
	since  time.Time // zero when there is none
	tries  int
	paused bool
	err    error
}

func (o *outage) open() bool { return !o.since.IsZero() }

// begin notes a failed try. Refused credentials are worth a line of their own
// even in an outage, since only an operator can end that.
func (o *outage) begin(err error, paused bool, next time.Duration) {
	o.tries++
	switch {
	case paused && !o.paused:
		o.log.Warn("destination refuses the credentials: paused, nothing is lost, tried again when they change",
			"destination", o.name, "error", err, "next_try_in", next)
	case !o.open():
		o.log.Warn("destination takes nothing: records are kept and sent later",
			"destination", o.name, "error", err, "next_try_in", next)
	}
	if !o.open() {
		o.since = time.Now()
	}
	o.paused, o.err = paused, err
}

// end notes that records are taken again.
func (o *outage) end() {
	if !o.open() {
		return
	}
	o.log.Info("destination takes records again",
		"destination", o.name, "failed_tries", o.tries, "duration", time.Since(o.since).Round(time.Second))
	*o = outage{log: o.log, name: o.name}
}
