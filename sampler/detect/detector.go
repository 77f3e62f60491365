package detect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// DetectorConfig is one of `detect:`. Its further fields depend on its type.
type DetectorConfig struct {
	Type string `yaml:"type"`
	// Name stands in records and detections; empty is the type, or what a
	// model calls itself.
	Name string `yaml:"name"`
	// Room is the configuration of that type, a pointer.
	Room any `yaml:",inline"`
}

// ThresholdConfig is a detector of type threshold.
type ThresholdConfig struct {
	// Axes are the limits of sensors by their names.
	Axes map[string]LimitConfig `yaml:"axes"`
}

// LimitConfig is what an axis must keep to; what is nil is not asked.
type LimitConfig struct {
	Min *float64 `yaml:"min"`
	Max *float64 `yaml:"max"`
	// Rate is the largest change in a second, from one reading to the next.
	Rate *float64 `yaml:"rate"`
}

// StatisticsConfig is a detector of type statistics.
type StatisticsConfig struct {
	// WarmUp is how many windows it learns from first.
	WarmUp int `yaml:"warm_up"`
	// Baseline is a free word; another one makes it learn anew.
	Baseline string `yaml:"baseline"`
}

// ModelConfig is a detector of type model.
type ModelConfig struct {
	// Path is an Edge Impulse model for Linux, an .eim file.
	Path string `yaml:"path"`
	// AnomalyAt is the model's own anomaly score that becomes 0.8 here; 0 is
	// the one that the model names, else 0.3.
	AnomalyAt float64 `yaml:"anomaly_at"`
	// Anomalous are labels that mean an anomaly; their probability is a score.
	Anomalous []string `yaml:"anomalous"`
	// Timeout is how long one answer may take.
	Timeout time.Duration `yaml:"timeout"`
}

// CommandConfig is a detector of type command.
type CommandConfig struct {
	// Command is the program and its arguments.
	Command []string      `yaml:"command"`
	Timeout time.Duration `yaml:"timeout"`
}

const (
	minWarmUp      = 20
	maxWarmUp      = 100_000
	maxTimeout     = 10 * time.Minute
	defaultTimeout = 5 * time.Second
)

// kinds is the one list of the types of detectors, with their defaults.
func kinds() map[string]func() any {
	return map[string]func() any{
		"threshold":  func() any { return &ThresholdConfig{} },
		"statistics": func() any { return &StatisticsConfig{WarmUp: 200} },
		"model":      func() any { return &ModelConfig{Timeout: defaultTimeout} },
		"command":    func() any { return &CommandConfig{Timeout: defaultTimeout} },
	}
}

// Choose finds the fields of the type.
func (d *DetectorConfig) Choose(kind string) bool {
	defaults, ok := kinds()[kind]
	if ok {
		d.Room = defaults()
	}
	return ok
}

// Kinds lists the types of detectors.
func (d *DetectorConfig) Kinds() []string { return slices.Sorted(maps.Keys(kinds())) }

func (d *DetectorConfig) name() string {
	if d.Name != "" {
		return d.Name
	}
	return d.Type
}

// Validate checks the name.
func (d *DetectorConfig) Validate(fault func(field, problem, remedy string)) {
	if d.Name != "" && !names.MatchString(d.Name) {
		fault("name", fmt.Sprintf("name: %q cannot be used", d.Name), "use up to 64 letters, digits and . _ - / @, a letter or digit first")
	}
}

// Validate checks that there are limits, and that each can be kept.
func (c *ThresholdConfig) Validate(fault func(field, problem, remedy string)) {
	if len(c.Axes) == 0 {
		fault("axes", "axes: there are no limits", "write for example axes: {accX: {min: -20, max: 20, rate: 500}}")
	}
	for axis, l := range c.Axes {
		at := "axes." + axis
		switch {
		case l.Min == nil && l.Max == nil && l.Rate == nil:
			fault(at, axis+" has no limit", "write min, max or rate")
		case l.Min != nil && l.Max != nil && *l.Min >= *l.Max:
			fault(at, fmt.Sprintf("%s: min %v is not below max %v", axis, *l.Min, *l.Max), "exchange the two")
		}
		if l.Rate != nil && *l.Rate <= 0 {
			fault(at+".rate", fmt.Sprintf("rate: %v is not a change in a second", *l.Rate), "write a number above 0")
		}
	}
}

// Validate checks the warm-up.
func (c *StatisticsConfig) Validate(fault func(field, problem, remedy string)) {
	if c.WarmUp < minWarmUp || c.WarmUp > maxWarmUp {
		fault("warm_up", fmt.Sprintf("warm_up: %d is out of range", c.WarmUp), fmt.Sprintf("write how many windows to learn from, %d to %d", minWarmUp, maxWarmUp))
	}
	if len(c.Baseline) > 128 {
		fault("baseline", "baseline is too long", "write a short word, such as a date")
	}
}

// Validate checks path, score and time.
func (c *ModelConfig) Validate(fault func(field, problem, remedy string)) {
	if !filepath.IsAbs(c.Path) {
		fault("path", fmt.Sprintf("path: %q is not a full path", c.Path), "write where the model is, such as /srv/model.eim")
	}
	if c.AnomalyAt < 0 {
		fault("anomaly_at", fmt.Sprintf("anomaly_at: %v is not a score of the model", c.AnomalyAt), "write a number above 0, such as 0.3, or leave it out")
	}
	validateTimeout(fault, c.Timeout)
}

// Validate checks command and time.
func (c *CommandConfig) Validate(fault func(field, problem, remedy string)) {
	validateCommand(fault, "command", c.Command)
	validateTimeout(fault, c.Timeout)
}

func validateTimeout(fault func(field, problem, remedy string), d time.Duration) {
	if d < 10*time.Millisecond || d > maxTimeout {
		fault("timeout", fmt.Sprintf("timeout: %v is out of range", d), "write how long one answer may take, from 10ms to 10m")
	}
}

// Warnings calls warn for a model that cannot be run.
func (c *ModelConfig) Warnings(warn func(field, problem, remedy string)) {
	warnProgram(warn, "path", c.Path)
}

// Warnings calls warn for a program that cannot be run.
func (c *CommandConfig) Warnings(warn func(field, problem, remedy string)) {
	warnProgram(warn, "command", c.Command[0])
}

func warnProgram(warn func(field, problem, remedy string), field, path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		warn(field, fmt.Sprintf("%s cannot be found: %v", path, err), "until it is there, windows are kept unjudged")
	case info.IsDir() || unix.Access(path, unix.X_OK) != nil:
		warn(field, path+" cannot be run by this user", "make it executable (chmod +x)")
	}
}

// errUnfit: it is the window that cannot be judged; the detector is well.
var errUnfit = errors.New("window does not fit the detector")

// A detector is one who judges.
type detector interface {
	judge(ctx context.Context, c sampler.Case) (opinion, error)
	close()
}

// An opinion is what one detector says of a window.
type opinion struct {
	score   float64
	name    string // what the detector calls itself; may be empty
	version string
	labels  []spool.PredictedLabel
	checks  []spool.Check
	reasons []string
}

// limitScore is the score of a detector that stands at the limit it has.
const limitScore = 0.8

// scoreOf turns a distance, as a share of its limit, into a score: 0 at
// nothing, 0.5 at half of the limit, 0.8 at the limit, and ever closer to 1.
func scoreOf(ratio float64) float64 {
	if !(ratio > 0) {
		return 0
	}
	square := ratio * ratio
	if square > 1e12 {
		return 1
	}
	return square / (square + 0.25)
}
