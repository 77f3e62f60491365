package agent

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/agent/config"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/detect"
	"github.com/edgespool/edgespool/spool"
)

// Config is the whole configuration file. Each section belongs to the room
// that uses it.
type Config struct {
	Device       DeviceConfig        `yaml:"device"`
	Spool        spool.Config        `yaml:"spool"`
	Sources      []SourceConfig      `yaml:"sources"`
	Destinations []DestinationConfig `yaml:"destinations"`
	API          api.Config          `yaml:"api"`
	Log          LogConfig           `yaml:"log"`

	warnings func() *Faults
}

// DeviceConfig says whose samples these are; what is empty is found out.
type DeviceConfig struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"`
}

// LogConfig says how much is logged and in which form.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// SourceConfig is one of `sources:`. Its further fields depend on its type.
type SourceConfig struct {
	Name     string            `yaml:"name"`
	Type     string            `yaml:"type"`
	Metadata map[string]string `yaml:"metadata"`
	// Room is the Config of the source's room, a pointer.
	Room any `yaml:",inline"`
	// Detect says how samples are judged.
	Detect detect.Config `yaml:",inline"`

	root string // where tests put a board; "" is this one
}

// DestinationConfig is one of `destinations:`. Its further fields depend on
// its type.
type DestinationConfig struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"`
	// Room is the Config of the destination's room, a pointer.
	Room any `yaml:",inline"`
}

// Faults are all that is wrong with a configuration file; as an error they
// print with line, column and remedy.
type Faults = config.Faults

// DefaultConfig holds the defaults of the contract.
func DefaultConfig() *Config {
	return &Config{Spool: spool.DefaultConfig(), API: api.DefaultConfig(), Log: LogConfig{Level: "info", Format: "text"}}
}

// LoadConfig reads a configuration file and its fragments. What is wrong
// inside is a *Faults.
func LoadConfig(path string) (*Config, error) {
	paths, err := ConfigFiles(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var files []config.File
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		files = append(files, config.File{Name: p, Text: text})
	}
	return parseConfig(files...)
}

// ParseConfig reads the text of a configuration file; file is its name.
func ParseConfig(file string, text []byte) (*Config, error) {
	return parseConfig(config.File{Name: file, Text: text})
}

func parseConfig(files ...config.File) (*Config, error) {
	c := DefaultConfig()
	warnings, err := config.Decode(c, files...)
	if err != nil {
		return nil, err
	}
	c.warnings = warnings
	return c, nil
}

// Warnings looks at the board for what the file takes for granted: devices,
// folders and key files that are not there. Nil means that all are.
func (c *Config) Warnings() *Faults {
	if c.warnings == nil {
		return nil
	}
	return c.warnings()
}

// Choose finds the room of the type.
func (s *SourceConfig) Choose(kind string) bool {
	k, ok := sourceKinds()[kind]
	if ok {
		s.Room, s.Detect = k.defaults(), detect.DefaultConfig()
	}
	return ok
}

// Validate checks that there is something to judge for those who judge.
func (s *SourceConfig) Validate(fault func(field, problem, remedy string)) {
	if len(s.Detect.Detectors) == 0 || s.Room == nil {
		return
	}
	if room, ok := s.Room.(interface{ Readings() *sampler.ReadingConfig }); ok {
		s.Detect.Fits(room.Readings(), fault)
	} else {
		s.Detect.FitsFiles(fault)
	}
}

// Kinds lists the types of sources.
func (s *SourceConfig) Kinds() []string { return sortedKeys(sourceKinds()) }

// Choose finds the room of the type.
func (d *DestinationConfig) Choose(kind string) bool {
	k, ok := destinationKinds()[kind]
	if ok {
		d.Room = k.defaults()
	}
	return ok
}

// Kinds lists the types of destinations.
func (d *DestinationConfig) Kinds() []string { return sortedKeys(destinationKinds()) }

// Validate checks level and format.
func (c *LogConfig) Validate(fault func(field, problem, remedy string)) {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Level) {
		fault("level", fmt.Sprintf("level: %q is not known", c.Level), "write debug, info, warn or error")
	}
	if c.Format != "text" && c.Format != "json" {
		fault("format", fmt.Sprintf("format: %q is not known", c.Format), "write text or json")
	}
}

// Threshold is the level as slog has it.
func (c *LogConfig) Threshold() slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(c.Level)) // Validate has seen it; the zero Level is info
	return l
}

// names are parts of URLs, file names and stream names.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate checks what no single room can see: names, and what sources and
// destinations would take from each other.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if len(c.Sources) == 0 && len(c.Destinations) == 0 {
		fault("", "there is neither a source nor a destination", "describe where samples come from under sources:, and where they go under destinations:")
	}
	var sources, destinations []string
	for _, s := range c.Sources {
		sources = append(sources, s.Name)
	}
	for _, d := range c.Destinations {
		destinations = append(destinations, d.Name)
	}
	checkNames("sources", sources, fault)
	checkNames("destinations", destinations, fault)
	c.checkClaims(fault)
}

func checkNames(list string, given []string, fault func(field, problem, remedy string)) {
	for i, name := range given {
		field := fmt.Sprintf("%s[%d].name", list, i)
		first := slices.Index(given, name)
		switch {
		case name == "":
			fault(field, fmt.Sprintf("%s[%d] has no name", list, i), "add a line \"name:\"; it appears in the status, the logs and the metrics")
		case !names.MatchString(name):
			fault(field, fmt.Sprintf("name: %q cannot be used", name), "use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first")
		case first < i:
			fault(field, fmt.Sprintf("name: %q is already the name of %s[%d]", name, list, first), "give each one a name of its own")
		}
	}
}
