package sampler

import (
	"context"
	"errors"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// A Judge says how much windows look like anomalies. A recorder has one of
// its own and calls it from one goroutine.
type Judge interface {
	// Judge scores a window. It returns soon after ctx has ended, and with
	// ErrLearning while there is nothing to compare with yet. After any error
	// the window is kept as if nobody had looked.
	Judge(ctx context.Context, c Case) (Verdict, error)
	// Report tells whoever wants to know of an anomaly. It never blocks.
	Report(ctx context.Context, d spool.Detection)
	// Close ends what the judge has started, and waits for it.
	Close()
}

// Detections keeps detections; the spool is one.
type Detections interface {
	// Detect keeps a detection. Its ID is given here.
	Detect(ctx context.Context, d spool.Detection) error
}

// ErrLearning: the judge has not seen enough normal windows yet.
var ErrLearning = errors.New("detector is still learning what is normal")

// A Case is a window as a judge sees it.
type Case struct {
	Source  string
	Device  Device
	Label   string
	Sensors []Sensor
	// Values are the readings one after the other, a value for each sensor.
	Values []float64
	Rows   int
	Hz     float64
	At     spool.Instant
}

// A Verdict is what a judge makes of a window.
type Verdict struct {
	// Model and Version name whose score it is.
	Model, Version string
	// Score is how sure the judge is of an anomaly, 0 to 1.
	Score float64
	// Labels are what the window may show, the most probable first.
	Labels  []spool.PredictedLabel
	Checks  []spool.Check
	Reasons []string
}

// Judging says how the windows of a source are judged, and what becomes of
// them.
type Judging struct {
	Judge Judge
	// ReportAt is the score from which on a window is an anomaly.
	ReportAt float64
	// Both keeps an anomaly in the source's own category as well.
	Both bool
	// KeepOneIn keeps one in so many of the other windows; 1 keeps all.
	KeepOneIn uint64
	// Before and After keep all windows so close to an anomaly.
	Before, After time.Duration
}
