package sysfs

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler"
)

// Config is a source of type sysfs, without the fields that all sources have
// (name, type, metadata). Each sensor's Field is a file, by its full path,
// that holds a number: PATH [MARK]. A * in the path stands for what changes
// from start to start; with a mark the number is the one behind it.
type Config struct {
	// Label is what the samples show; empty leaves them unlabelled.
	Label string `yaml:"label"`
	// Category is one of sampler.Categories, or split.
	Category string `yaml:"category"`

	sampler.ReadingConfig `yaml:",inline"`
}

// DefaultConfig holds the defaults; Sensors have none.
func DefaultConfig() Config {
	return Config{Category: "training", ReadingConfig: sampler.DefaultReadingConfig()}
}

// readings is how the recorder sees what is read: lines of numbers.
func (c *Config) readings() sampler.ReadingConfig {
	r := c.ReadingConfig
	if r.Frequency == 0 {
		r.Frequency = 1
	}
	r.Sensors = append([]sampler.Sensor(nil), r.Sensors...)
	for i := range r.Sensors {
		r.Sensors[i].Field = ""
	}
	return r
}

// Validate calls fault for everything that is wrong with the configuration.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if c.Format != sampler.FormatCSV || len(c.SkipColumns) > 0 || c.LabelColumn != "" {
		fault("format", "files of one number each have neither format nor columns", "leave out format, skip_columns and label_column")
	}
	if len(c.Sensors) == 0 {
		fault("sensors", "nothing says which files to read", "write sensors such as {name: cpu, field: /sys/class/thermal/thermal_zone0/temp, scale: 0.001}")
	}
	for i, s := range c.Sensors {
		pattern, mark, _ := strings.Cut(s.Field, " ")
		if _, err := filepath.Match(pattern, ""); !filepath.IsAbs(pattern) || err != nil || strings.Contains(mark, " ") {
			fault(fmt.Sprintf("sensors[%d].field", i), fmt.Sprintf("%q is not the full path of a file", s.Field),
				"write a path such as /sys/bus/iio/devices/iio:device0/in_accel_x_raw, where * stands for any name, and if need be a blank and what the number follows")
		}
	}
	sampler.ValidateChoice(c.Label, c.Category, fault)
	r := c.readings()
	r.Format, r.SkipColumns, r.LabelColumn = sampler.FormatCSV, nil, ""
	r.ValidateReadings(fault)
}

// Warnings calls warn for files that cannot be read at the moment.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	for i, f := range c.files() {
		if err := f.open(); err != nil {
			warn(fmt.Sprintf("sensors[%d].field", i), err.Error(), "load the driver or correct the path; the source waits for it")
		}
		f.close()
	}
}
