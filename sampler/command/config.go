package command

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
)

// Config is a source of type command, without the fields that all sources
// have (name, type, metadata).
type Config struct {
	// Command is the program, by its full path, and its arguments.
	Command []string `yaml:"command"`
	// Label is what the samples show; empty leaves them unlabelled.
	Label string `yaml:"label"`
	// Category is one of sampler.Categories, or split.
	Category string `yaml:"category"`

	sampler.ReadingConfig `yaml:",inline"`
}

// DefaultConfig holds the defaults; Command has none.
func DefaultConfig() Config {
	return Config{Category: "training", ReadingConfig: sampler.DefaultReadingConfig()}
}

// Validate calls fault for everything that is wrong with the configuration.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	const remedy = "write the program's full path and its arguments, such as [/usr/bin/candump, can0]"
	switch {
	case len(c.Command) == 0 || c.Command[0] == "":
		fault("command", "no command is given", remedy)
	case !filepath.IsAbs(c.Command[0]):
		fault("command", fmt.Sprintf("%q is not a full path", c.Command[0]), remedy)
	}
	sampler.ValidateChoice(c.Label, c.Category, fault)
	c.ValidateReadings(fault)
}

// Warnings calls warn for a program that cannot be started at the moment.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	if err := unix.Access(c.Command[0], unix.X_OK); err != nil {
		warn("command", fmt.Sprintf("this user may not run %s: %v", c.Command[0], err), "install it or make it executable (chmod +x); it is tried again and again")
	}
}
