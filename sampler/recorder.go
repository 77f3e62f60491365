package sampler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// A Recorder is the conductor of the way in: lines become readings, readings
// windows, windows records. All but Opened and Gone must be called by one
// goroutine.
type Recorder struct {
	setup     Setup
	layout    *Layout
	window    *Window
	condition condition
	silence   time.Duration
	auto      bool // the frequency is measured

	reading  Reading
	choice   Choice
	label    string // of the window
	interim  bool   // an operator labels for a time: nothing is judged
	rate     rate
	opened   time.Duration // when the device's first line came
	hz       float64       // as samples say it; 0 while it is not known
	measured float64
	drifting bool
	warned   bool // about a header's order

	sensors []string // their names, for who looks on
	payload []byte   // reused
	tally   tally
	keeper  keeper
	// assessor has the windows judged; nil if nobody judges.
	assessor *assessor
}

// A tally counts what goes into Progress from time to time.
type tally struct {
	published  time.Duration
	readings   uint64
	rejected   uint64
	longLines  uint64
	deviceErrs uint64
	lostLines  uint64 // that found no room in the inbox, since the start
	bad        []byte // the last bad line
	badErr     error
}

const (
	// stored is how long a device's first lines may be those that waited in
	// the port's buffer: they come at once, at no rate.
	stored       = 250 * time.Millisecond
	publishEvery = 100 * time.Millisecond
	stopGrace    = 5 * time.Second // for what is left to record when a source stops
	shownBad     = 80              // bytes of a bad line that are shown
)

// NewRecorder makes a recorder of readings; c must be valid.
func NewRecorder(s Setup, c ReadingConfig, sink Sink) *Recorder {
	r := &Recorder{
		setup: s, layout: NewLayout(c), window: NewWindow(c), silence: c.silence(),
		auto: c.Frequency == 0, hz: float64(c.Frequency),
		condition: condition{progress: s.Progress, log: s.Log, name: s.Name, heard: s.Clock.Since()},
	}
	if !r.auto {
		r.window.SetRate(r.hz, 0)
	}
	r.keeper = keeper{setup: &r.setup, sink: sink, condition: &r.condition, hurried: make(chan struct{}, maxHurried)}
	if s.Judging != nil {
		r.assessor = newAssessor(&r.setup, &r.keeper)
	}
	var left time.Duration
	r.choice, left, _ = s.Labelling.Now()
	r.interim = left > 0
	r.condition.paused = r.choice.Disabled
	r.nameSensors()
	return r
}

// Opened says that the device is open. It may be called by any goroutine.
func (r *Recorder) Opened() { r.condition.opened(r.setup.Clock.Since()) }

// Gone says why the device is not open, and tells whether that is news. It
// may be called by any goroutine.
func (r *Recorder) Gone(err error) (news bool) { return r.condition.gone(err) }

// Run records the lines of the inbox until it is closed and empty. Once ctx
// has ended, what is left has a few seconds to reach the sink.
func (r *Recorder) Run(ctx context.Context, in *Inbox) {
	keep, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })()
	var judging sync.WaitGroup
	if r.assessor != nil {
		judging.Go(func() { r.assessor.run(ctx, keep) })
	}
	beat, soon := time.NewTicker(time.Second), time.NewTimer(publishEvery)
	defer beat.Stop()
	defer soon.Stop()
	for {
		for l, ok := in.Take(); ok; l, ok = in.Take() {
			r.Line(keep, l)
		}
		r.tally.lostLines = in.Lost()
		if in.Done() {
			break
		}
		select {
		case <-in.Arrived():
			soon.Reset(publishEvery)
		case <-soon.C:
			r.publish()
		case <-beat.C:
			r.Idle(keep)
			if in.stirred.Swap(false) {
				r.setup.Progress.Beat()
			}
		}
	}
	r.end(keep)
	r.publish()
	if r.assessor != nil {
		r.assessor.close()
		judging.Wait()
	}
	r.keeper.finish(keep)
}

// Line takes one line as it arrived.
func (r *Recorder) Line(ctx context.Context, l Line) {
	if l.First || l.Broken {
		r.end(ctx)
		r.layout.held.found = 0
	}
	if l.First {
		r.layout.Reopen()
		r.opened = l.At
	}
	if r.follow(ctx); r.choice.Disabled {
		return
	}
	if l.Long {
		r.tally.longLines++
		r.reject(ctx, nil, fmt.Errorf("line is longer than %d bytes", MaxLine))
		return
	}
	switch err := ParseReading(l.Text, r.layout, &r.reading); {
	case errors.Is(err, errHeader):
		r.end(ctx)
		r.noteOrder()
	case errors.Is(err, ErrNoReading):
	case err == nil:
		r.add(ctx, l.At)
	case l.First: // cut off at the front
	default:
		r.reject(ctx, l.Text, err)
	}
	if l.At-r.tally.published >= publishEvery {
		r.publish()
	}
}

// add takes the reading that was just parsed.
func (r *Recorder) add(ctx context.Context, at time.Duration) {
	r.tally.readings++
	if len(r.sensors) != len(r.reading.Values) {
		r.nameSensors()
	}
	r.setup.Tap.Reading(r.sensors, r.reading.Values)
	r.relabel(ctx)
	if gap := r.window.Add(r.reading.Values, at); gap && r.measured > 0 {
		r.rate.abandon()
	}
	r.take(ctx)
	if at-r.opened >= stored {
		r.rate.add(at)
	}
	if r.window.suspect == 0 || r.measured == 0 {
		r.tune() // a reading that may be late would only mislead
	}
}

// relabel ends the window if this reading has another label.
func (r *Recorder) relabel(ctx context.Context) {
	said := r.reading.Label
	if r.choice.spoken || len(said) == 0 {
		if r.label != r.choice.Label {
			r.end(ctx)
			r.label = r.choice.Label
		}
	} else if r.label != string(said) {
		r.end(ctx)
		r.label = string(said)
	}
}

// follow takes up what an operator has changed.
func (r *Recorder) follow(ctx context.Context) {
	choice, left, _ := r.setup.Labelling.Now()
	if choice == r.choice && r.interim == (left > 0) {
		return
	}
	r.end(ctx)
	r.interim = left > 0
	if choice.Disabled != r.choice.Disabled {
		r.condition.pause(choice.Disabled)
	}
	r.choice = choice
}

// reject counts a bad line. It costs at most the window it falls in.
func (r *Recorder) reject(ctx context.Context, line []byte, err error) {
	r.end(ctx)
	r.tally.rejected++
	if errors.Is(err, ErrDevice) {
		r.tally.deviceErrs++
	}
	r.tally.bad = append(r.tally.bad[:0], line[:min(len(line), shownBad)]...)
	r.tally.badErr = err
}

// end says that the next reading does not follow on the last one.
func (r *Recorder) end(ctx context.Context) {
	r.window.End()
	r.take(ctx)
	r.rate.cut()
}

// Idle looks at the time while no lines come.
func (r *Recorder) Idle(ctx context.Context) {
	now := r.setup.Clock.Since()
	r.follow(ctx)
	r.window.Idle(now)
	r.take(ctx)
	r.publish()
	r.condition.quiet(now, r.silence)
}

// take makes records of what the window has finished.
func (r *Recorder) take(ctx context.Context) {
	for s, ok := r.window.Take(); ok; s, ok = r.window.Take() {
		r.append(ctx, s)
	}
}

// tune tells the window how often readings come.
func (r *Recorder) tune() {
	hz, ok := r.rate.hz()
	if !ok || math.Abs(hz-r.measured) < hz/1000 {
		return
	}
	r.measured = hz
	if r.auto && math.Abs(hz-r.hz) > hz/100 {
		r.hz = nominal(hz)
		r.setup.Log.Info("frequency measured", "source", r.setup.Name, "hz", r.hz)
	}
	r.window.SetRate(r.hz, hz)
	if drifting := math.Abs(hz-r.hz) > r.hz/10; drifting != r.drifting && !r.auto {
		r.drifting = drifting
		if drifting {
			r.setup.Log.Warn("readings come at another rate than configured; samples say the configured one",
				"source", r.setup.Name, "hz", r.hz, "measured", roundTo(hz, 4))
		}
	}
}

// noteOrder says, once, that a header contradicts the configuration: the
// header is followed, but a start in the middle of a stream would not see it.
func (r *Recorder) noteOrder() {
	if l := r.layout; l.reordered && !r.warned {
		r.warned = true
		r.setup.Log.Warn("header names the columns in another order than sensors; put them in its order in the configuration",
			"source", r.setup.Name)
	}
}

func (r *Recorder) nameSensors() {
	if len(r.sensors) == len(r.layout.sensors) {
		return
	}
	r.sensors = make([]string, len(r.layout.sensors))
	for i, s := range r.layout.sensors {
		r.sensors[i] = s.Name
	}
}

// publish shows the figures.
func (r *Recorder) publish() {
	t := &r.tally
	if t.readings > 0 {
		r.condition.hear(r.setup.Clock.Since())
	}
	r.setup.Progress.Update(func(s *Snapshot) {
		s.Readings += t.readings
		s.Rejected += t.rejected
		s.Dropped += r.window.dropped
		s.Frequency = r.measured
		setDetail(s, "skipped", s.Detail["skipped"]+r.window.skipped)
		setDetail(s, "long_lines", s.Detail["long_lines"]+t.longLines)
		setDetail(s, "lost_lines", t.lostLines)
		setDetail(s, "device_errors", s.Detail["device_errors"]+t.deviceErrs)
		if t.badErr != nil {
			s.LastBad = fmt.Sprintf("%q: %v", bytes.ToValidUTF8(t.bad, []byte("?")), t.badErr)
		}
	})
	r.window.dropped, r.window.skipped = 0, 0
	*t = tally{published: r.setup.Clock.Since(), bad: t.bad, lostLines: t.lostLines}
}

// setDetail sets a further counter; one that stays at zero is not shown.
func setDetail(s *Snapshot, name string, n uint64) {
	if n == 0 {
		return
	}
	if s.Detail == nil {
		s.Detail = map[string]uint64{}
	}
	s.Detail[name] = n
}
