package spool

import (
	"fmt"
	"time"
)

// Config is the `spool:` section of the configuration.
type Config struct {
	Path          string        `yaml:"path"`
	MaxBytes      Size          `yaml:"max_bytes"`
	MinFree       Size          `yaml:"min_free"`
	WhenFull      string        `yaml:"when_full"` // drop-oldest or refuse
	Commit        CommitConfig  `yaml:"commit"`
	Keep          time.Duration `yaml:"keep"`
	AllowVolatile bool          `yaml:"allow_volatile"`
	// Log takes changes of state; nil keeps silent. Not part of the file.
	Log Logger `yaml:"-"`

	// segmentBytes and commitTimeout make tests rotate and give up sooner.
	segmentBytes  int64
	commitTimeout time.Duration
}

// CommitConfig says when records that nobody waits for are committed.
type CommitConfig struct {
	Bytes    Size          `yaml:"bytes"`
	Interval time.Duration `yaml:"interval"`
}

// Logger is the part of log/slog's Logger that the spool uses.
type Logger interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// DefaultConfig holds the defaults of the contract.
func DefaultConfig() Config {
	return Config{
		Path: "/var/lib/edgespool", MaxBytes: 2 << 30, MinFree: 256 << 20, WhenFull: dropOldest,
		Commit: CommitConfig{Bytes: 64 << 10, Interval: time.Second}, Keep: 7 * 24 * time.Hour,
	}
}

// The words of when_full.
const (
	dropOldest = "drop-oldest"
	refuse     = "refuse"
)

// Validate reports every fault of the section.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if c.Path == "" {
		fault("path", "the spool needs a folder", "write for example path: /var/lib/edgespool")
	}
	if c.MaxBytes < minMaxBytes {
		fault("max_bytes", fmt.Sprintf("%s is too little for the spool to turn over its segments", c.MaxBytes),
			fmt.Sprintf("give it %s or more", Size(minMaxBytes)))
	}
	if c.MinFree < 0 {
		fault("min_free", "free space cannot be negative", "write for example min_free: 256MiB")
	}
	if c.WhenFull != dropOldest && c.WhenFull != refuse {
		fault("when_full", fmt.Sprintf("%q is not a policy", c.WhenFull), "write drop-oldest or refuse")
	}
	if c.Commit.Bytes <= 0 {
		fault("commit.bytes", "a commit needs a size above zero", "write for example bytes: 64KiB")
	}
	if c.Commit.Interval <= 0 {
		fault("commit.interval", "a commit needs an interval above zero", "write for example interval: 1s")
	}
	if c.Keep < 0 {
		fault("keep", "a time cannot be negative", "write for example keep: 7d, or 0s")
	}
}

// withDefaults fills in what a caller left out.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.MaxBytes == 0 {
		c.MaxBytes = d.MaxBytes
	}
	if c.WhenFull == "" {
		c.WhenFull = d.WhenFull
	}
	if c.Commit.Bytes == 0 {
		c.Commit.Bytes = d.Commit.Bytes
	}
	if c.Commit.Interval == 0 {
		c.Commit.Interval = d.Commit.Interval
	}
	if c.Log == nil {
		c.Log = silent{}
	}
	if c.commitTimeout == 0 {
		c.commitTimeout = commitTimeout
	}
	return c
}
