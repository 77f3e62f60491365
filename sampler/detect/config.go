package detect

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// Config is what a source says of judging its windows or files. Its fields stand
// among the source's own.
type Config struct {
	// Detectors judge each window; the highest score counts. None: nobody
	// judges, and the other fields have no meaning.
	Detectors []DetectorConfig `yaml:"detect"`
	// ReportAt is the score from which on a window is an anomaly.
	ReportAt float64 `yaml:"report_at"`
	// ReportAs is anomaly (instead of the source's category) or both (as well
	// as in it).
	ReportAs string `yaml:"report_as"`
	// KeepNormal is the share of the other windows that is kept.
	KeepNormal Share `yaml:"keep_normal"`
	// Before and After keep all windows so close to an anomaly.
	Before time.Duration `yaml:"before"`
	After  time.Duration `yaml:"after"`
	// OnDetection is who is told.
	OnDetection AlarmConfig `yaml:"on_detection"`
}

// AlarmConfig says who is told of anomalies.
type AlarmConfig struct {
	// Command is a program and its arguments. It gets one line of JSON.
	Command []string `yaml:"command"`
	// Webhook is a URL to which that JSON is posted.
	Webhook string `yaml:"webhook"`
	// Every is the time in which to tell once at most.
	Every time.Duration `yaml:"every"`
}

// The words for Config.ReportAs.
const (
	ReportAnomaly = "anomaly"
	ReportBoth    = "both"
)

const (
	maxDetectors = 8
	maxAround    = time.Hour
	maxOneIn     = 1_000_000
)

// DefaultConfig holds the defaults: nobody judges.
func DefaultConfig() Config {
	return Config{ReportAt: 0.8, ReportAs: ReportAnomaly, KeepNormal: 1, OnDetection: AlarmConfig{Every: time.Minute}}
}

// A Share is one in so many: 1 is all of them.
type Share uint64

// UnmarshalText reads all or 1/N.
func (s *Share) UnmarshalText(text []byte) error {
	if word := string(text); word == "all" || word == "1" {
		*s = 1
		return nil
	}
	number, ok := strings.CutPrefix(string(text), "1/")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n < 1 || n > maxOneIn {
		return fmt.Errorf("%q is not a share; write all, or one in so many such as 1/100", text)
	}
	*s = Share(n)
	return nil
}

// Validate calls fault for everything that is wrong with the configuration.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if c.KeepNormal == 0 {
		return // the source has no type that is known, and no defaults
	}
	if len(c.Detectors) == 0 {
		c.validateIdle(fault)
		return
	}
	if len(c.Detectors) > maxDetectors {
		fault("detect", fmt.Sprintf("there are %d detectors", len(c.Detectors)), fmt.Sprintf("a source has at most %d", maxDetectors))
	}
	for i := range c.Detectors {
		name := c.Detectors[i].name()
		if slices.ContainsFunc(c.Detectors[:i], func(o DetectorConfig) bool { return o.name() == name }) {
			fault(fmt.Sprintf("detect[%d]", i), fmt.Sprintf("two detectors are called %s", name), "give one of them a name: of its own")
		}
	}
	if !(c.ReportAt > 0 && c.ReportAt <= 1) {
		fault("report_at", fmt.Sprintf("report_at: %v is not a score", c.ReportAt), "write a number above 0, at most 1, such as 0.8")
	}
	if c.ReportAs != ReportAnomaly && c.ReportAs != ReportBoth {
		fault("report_as", fmt.Sprintf("report_as: %q is not known here", c.ReportAs), "write anomaly or both")
	}
	validateAround(fault, "before", c.Before)
	validateAround(fault, "after", c.After)
	c.OnDetection.validate(fault)
}

func validateAround(fault func(field, problem, remedy string), field string, d time.Duration) {
	if d < 0 || d > maxAround {
		fault(field, fmt.Sprintf("%s: %v is out of range", field, d), "write a time from 0s to 1h, such as 5s")
	}
}

// validateIdle finds settings that have no detector.
func (c *Config) validateIdle(fault func(field, problem, remedy string)) {
	d := DefaultConfig()
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"report_at", c.ReportAt != d.ReportAt}, {"report_as", c.ReportAs != d.ReportAs}, {"keep_normal", c.KeepNormal != d.KeepNormal},
		{"before", c.Before != 0}, {"after", c.After != 0},
		{"on_detection", len(c.OnDetection.Command) > 0 || c.OnDetection.Webhook != ""},
	} {
		if f.set {
			fault(f.name, f.name+" counts only where something judges the samples", "add detect: with a detector, or leave "+f.name+" out")
		}
	}
}

func (c *AlarmConfig) validate(fault func(field, problem, remedy string)) {
	if len(c.Command) > 0 {
		validateCommand(fault, "on_detection.command", c.Command)
	}
	if c.Webhook != "" {
		if u, err := url.Parse(c.Webhook); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			fault("on_detection.webhook", "webhook is not an address that JSON can be posted to", "write http://… or https://…")
		}
	}
	if c.Every < 0 || c.Every > 24*time.Hour {
		fault("on_detection.every", fmt.Sprintf("every: %v is out of range", c.Every), "write a time from 0s to 24h, such as 1m")
	}
}

func validateCommand(fault func(field, problem, remedy string), field string, command []string) {
	switch {
	case len(command) == 0 || command[0] == "":
		fault(field, "no command is given", "write the program and its arguments, such as [/usr/local/bin/judge, --fast]")
	case !filepath.IsAbs(command[0]):
		fault(field, fmt.Sprintf("command: %q is not a full path", command[0]), "write where the program is, such as /usr/local/bin/judge")
	}
}

// Warnings calls warn for programs that are not there.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	if len(c.OnDetection.Command) > 0 {
		warnProgram(warn, "on_detection.command", c.OnDetection.Command[0])
	}
}

// names are part of metadata and of what is remembered.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._/@-]{0,63}$`)

// FitsFiles calls fault for what does not fit a source of whole files. They are
// in the spool before they are judged, so all are kept where they are.
func (c *Config) FitsFiles(fault func(field, problem, remedy string)) {
	if c.ReportAs != ReportBoth {
		fault("detect", "detect: files are judged once they are in their category, and an anomaly is kept there as well", "add report_as: both")
	}
	if c.KeepNormal != 1 || c.Before != 0 || c.After != 0 {
		fault("keep_normal", "keep_normal, before and after are for windows of readings; files are all kept", "leave them out here")
	}
}

// Fits calls fault for what does not fit the readings that are judged.
func (c *Config) Fits(r *sampler.ReadingConfig, fault func(field, problem, remedy string)) {
	if len(r.Sensors) == 0 {
		return // they are not known before the device speaks
	}
	for i, d := range c.Detectors {
		t, ok := d.Room.(*ThresholdConfig)
		if !ok {
			continue
		}
		for axis := range t.Axes {
			if !slices.ContainsFunc(r.Sensors, func(s sampler.Sensor) bool { return s.Name == axis }) {
				fault(fmt.Sprintf("detect[%d].axes.%s", i, axis), fmt.Sprintf("%s: there is no sensor of this name", axis), "name the axes as under sensors:")
			}
		}
	}
}
