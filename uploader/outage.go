package uploader

import (
	"errors"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// An outage is the time in which a destination takes nothing. It is logged
// once when it is certain and once when it ends, whatever happens in between.
type outage struct {
	log    spool.Logger
	name   string
	since  time.Time // zero when there is none
	logged bool
	tries  int
	paused bool
	err    error
}

func (o *outage) open() bool { return !o.since.IsZero() }

// note takes in a failed try. While it is not certain that it is the
// destination, and not a record that is still being looked for, nothing is
// logged. Credentials that do not serve are worth a line of their own even in an
// outage, since only an operator can end that.
func (o *outage) note(v Verdict, certain bool, next time.Duration) {
	if !o.open() {
		o.since = time.Now()
	}
	o.tries++
	o.err = v.Err
	if o.err == nil {
		o.err = errNoReason
	}
	paused := v.Kind == Stop
	switch {
	case paused && !o.paused:
		o.log.Warn("destination has no usable credentials: paused, records are kept, tried again when they change",
			"destination", o.name, "error", o.err, "next_try_in", next)
	case certain && !o.logged:
		o.log.Warn("destination takes nothing: records are kept and sent later",
			"destination", o.name, "error", o.err, "next_try_in", next)
	}
	o.logged = o.logged || certain || paused
	o.paused = paused
}

// end notes that records are taken again.
func (o *outage) end() {
	if o.logged {
		o.log.Info("destination takes records again",
			"destination", o.name, "failed_tries", o.tries, "duration", time.Since(o.since).Round(time.Second))
	}
	*o = outage{log: o.log, name: o.name}
}

var errNoReason = errors.New("no reason was given")
