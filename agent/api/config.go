package api

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/edgespool/edgespool/agent/api/data"
)

// Config is the `api:` section of the configuration.
type Config struct {
	// Listen is host:port. An address other than loopback needs a token.
	Listen string `yaml:"listen"`
	// TokenFile holds the token of the role admin.
	TokenFile string `yaml:"token_file"`
	// Tokens are files with the tokens of the single roles.
	Tokens Tokens `yaml:"tokens"`
	// Data is the Data API.
	Data data.Config `yaml:"data"`
}

// Tokens are files that hold one token each. Admin may do everything,
// consume may only read, ingest may only hand data in; the two may be the same
// file.
type Tokens struct {
	Ingest  string `yaml:"ingest"`
	Consume string `yaml:"consume"`
	Admin   string `yaml:"admin"`
}

// DefaultConfig listens on loopback, where no token is needed.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8347", Data: data.DefaultConfig()} }

// Validate checks the address and that nothing is open to the network
// without a token.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	loopback, err := isLoopback(c.Listen)
	switch {
	case err != nil:
		fault("listen", fmt.Sprintf("listen: %q is not host:port", c.Listen), "write for example 127.0.0.1:8347")
	case !loopback && c.TokenFile == "" && c.Tokens.Admin == "":
		fault("listen", fmt.Sprintf("listen: %s can be reached from the network, and no token is asked for", c.Listen),
			"add token_file with a file that holds a long random text, or listen on 127.0.0.1")
	}
	if c.TokenFile != "" && c.Tokens.Admin != "" {
		fault("tokens.admin", "token_file and tokens.admin both name the token of the role admin", "keep one of the two")
	}
}

// Warnings says which token files cannot be read; without them the agent does
// not start.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	for _, t := range c.tokenFiles() {
		if t.file == "" {
			continue
		}
		if _, err := readToken(t.file); err != nil {
			warn(t.field, err.Error(), tokenRemedy)
		}
	}
}

// isLoopback tells whether only this machine reaches the address.
func isLoopback(address string) (bool, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, err
	}
	if host == "localhost" {
		return true, nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback(), nil
}
