package spool

import (
	"fmt"
	"time"
)

// Config is the `spool:` section of the configuration.
type Config struct {
	Path     string        `yaml:"path"`
	MaxBytes Size          `yaml:"max_bytes"`
	MinFree  Size          `yaml:"min_free"`
	WhenFull string        `yaml:"when_full"` // drop-oldest or refuse
	Commit   CommitConfig  `yaml:"commit"`
	Keep     time.Duration `yaml:"keep"`
	// Detections is the share of the history of detections, within MaxBytes;
	// 0 is a 32nd of that, from 2 MiB to what the board's memory allows.
	Detections Size `yaml:"detections"`
	// KeepAnomalyFirst has drop-oldest take anomaly records last.
	KeepAnomalyFirst bool `yaml:"keep_anomaly_first"`
	// CardCycles is how many times its capacity the card is taken to bear
	// being written. It decides nothing but the estimate of its life.
	CardCycles    int  `yaml:"card_cycles"`
	AllowVolatile bool `yaml:"allow_volatile"`
	// RequireMount refuses to open a spool that lies on the file system of /.
	RequireMount bool `yaml:"require_mount"`
	// Memory is what the process may use, in bytes; the sizes of segments and
	// of what is kept in memory follow from it. 0 takes all that the board
	// has.
	Memory int64 `yaml:"-"`
	// Log takes changes of state; nil keeps silent. Not part of the file.
	Log Logger `yaml:"-"`

	// segmentBytes, commitTimeout and compareEvery make tests rotate, give up
	// and compare repeats sooner.
	segmentBytes  int64
	commitTimeout time.Duration
	compareEvery  time.Duration
	// root is where tests put their own /proc and /sys.
	root string
}

// CommitConfig says when records that nobody waits for are committed.
type CommitConfig struct {
	Bytes    Size          `yaml:"bytes"`
	Interval time.Duration `yaml:"interval"`
	// Timeout is how long the disk may take for anything before the spool
	// gives it up; see Spool.Hung.
	Timeout time.Duration `yaml:"timeout"`
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
		Commit: CommitConfig{Bytes: 64 << 10, Interval: time.Second, Timeout: time.Minute}, Keep: 7 * 24 * time.Hour, KeepAnomalyFirst: true,
		CardCycles: 100,
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
	if c.Detections != 0 && (c.Detections < leastDetections || c.Detections > min(mostDetections, c.MaxBytes/4)) {
		fault("detections", fmt.Sprintf("%s is no share for detections", c.Detections),
			fmt.Sprintf("write %s to %s, at most a quarter of max_bytes, or leave it out", Size(leastDetections), Size(mostDetections)))
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
	if c.Commit.Timeout < time.Second {
		fault("commit.timeout", "a disk may well be silent for that long", "write for example timeout: 1m")
	}
	if c.CardCycles <= 0 {
		fault("card_cycles", "a card bears being written more than that", "write for example card_cycles: 100, or what its maker says")
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
	if c.Memory == 0 {
		c.Memory = boardMemory()
	}
	if c.Commit.Bytes == 0 {
		c.Commit.Bytes = d.Commit.Bytes
	}
	if c.Commit.Interval == 0 {
		c.Commit.Interval = d.Commit.Interval
	}
	if c.CardCycles == 0 {
		c.CardCycles = d.CardCycles
	}
	if c.root == "" {
		c.root = "/"
	}
	if c.Log == nil {
		c.Log = silent{}
	}
	if c.Commit.Timeout == 0 {
		c.Commit.Timeout = d.Commit.Timeout
	}
	if c.commitTimeout == 0 {
		c.commitTimeout = c.Commit.Timeout
	}
	if c.compareEvery == 0 {
		c.compareEvery = time.Second
	}
	return c
}
