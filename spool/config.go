package spool

import "time"

// Config is the `spool:` section of the configuration.
type Config struct {
	Path          string        `yaml:"path"`
	MaxBytes      Size          `yaml:"max_bytes"`
	MinFree       Size          `yaml:"min_free"`
	WhenFull      string        `yaml:"when_full"` // drop-oldest or refuse
	Commit        CommitConfig  `yaml:"commit"`
	Keep          time.Duration `yaml:"keep"`
	AllowVolatile bool          `yaml:"allow_volatile"`
	// Hooks the agent sets; not part of the file.
	Log Logger `yaml:"-"`
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
		Path: "/var/lib/edgespool", MaxBytes: 2 << 30, MinFree: 256 << 20, WhenFull: "drop-oldest",
		Commit: CommitConfig{Bytes: 64 << 10, Interval: time.Second}, Keep: 7 * 24 * time.Hour,
	}
}
