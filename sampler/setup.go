package sampler

import "log/slog"

// A Setup is what every source is given besides its own configuration. The
// agent fills it in; a source changes nothing in it but Progress.
type Setup struct {
	// Name is the source's name in the configuration.
	Name string
	// Device is written into records as it is at capture.
	Device Device
	// Labelling says how samples are labelled at the moment.
	Labelling *Labelling
	// Progress takes the source's figures for status pages.
	Progress *Progress
	// Log takes changes of state.
	Log *slog.Logger
	// Metadata are the configured pairs that go with every record.
	Metadata map[string]string
	// Memory keeps small facts over restarts.
	Memory Memory
	// Clock dates what is captured.
	Clock *Clock
	// Tap shows readings to whoever looks (Tap.Reading for each good one);
	// samples are shown by the agent. May be nil.
	Tap *Tap
	// Judging is how windows are judged; nil if nobody judges. It belongs to
	// one recorder.
	Judging *Judging
	// Detections takes what is found. May be nil.
	Detections Detections
}
