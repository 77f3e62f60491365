package listener

import (
	"net"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// Config is a source of type ingestion. The key is named in one of three
// ways; the agent reads it.
type Config struct {
	// Listen is an address of the source's own, such as :4810; empty means
	// that the agent serves it on the address of its API.
	Listen           string `yaml:"listen"`
	APIKeyFile       string `yaml:"api_key_file"`
	APIKeyEnv        string `yaml:"api_key_env"`
	APIKeyCredential string `yaml:"api_key_credential"`
	// MaxFile and MaxRequest bound one file and a whole request.
	MaxFile    spool.Size `yaml:"max_file"`
	MaxRequest spool.Size `yaml:"max_request"`
	// MaxRequests is how many requests may be under way at once; further
	// ones are told to come back.
	MaxRequests int `yaml:"max_requests"`
	// Timeout is how long a client may be silent in the middle of a request.
	Timeout time.Duration `yaml:"timeout"`
}

// DefaultConfig takes files as large as Edge Impulse does, and a few of these
// in one request.
func DefaultConfig() Config {
	return Config{MaxFile: sampler.MaxBody, MaxRequest: 256 << 20, MaxRequests: 16, Timeout: time.Minute}
}

// Validate reports every fault with the place and the remedy.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	named := 0
	for _, name := range [...]string{c.APIKeyFile, c.APIKeyEnv, c.APIKeyCredential} {
		if name != "" {
			named++
		}
	}
	switch {
	case named == 0:
		fault("api_key_file", "no key is named, so anybody could post samples", "write a key of your choice into a file and name it, or use api_key_env or api_key_credential")
	case named > 1:
		fault("api_key_file", "the key is named more than once", "keep one of api_key_file, api_key_env and api_key_credential")
	}
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		fault("listen", "not an address: "+err.Error(), "write host:port, such as 0.0.0.0:4810 or :4810")
	}
	// Edge Impulse takes less than 100 MiB, and that is how people write it.
	if c.MaxFile <= 0 || c.MaxFile > sampler.MaxBody+1 {
		fault("max_file", "must be between 1B and "+spool.Size(sampler.MaxBody+1).String(), "leave it out: Edge Impulse takes no larger files")
	}
	if c.MaxRequest < c.MaxFile {
		fault("max_request", "is smaller than max_file, so such files could never arrive", "make it max_file and some more")
	}
	if c.MaxRequests < 1 || c.MaxRequests > 1000 {
		fault("max_requests", "must be between 1 and 1000", "leave it out for 16")
	}
	if c.Timeout < time.Second {
		fault("timeout", "is shorter than a second", "leave it out for one minute")
	}
}
