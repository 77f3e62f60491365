package dataapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// Config is a destination of type data-api.
type Config struct {
	// URL is the base address of the service.
	URL string `yaml:"url"`
	// Namespace is where its objects go: letters, digits, _ and -.
	Namespace string `yaml:"namespace"`
	// The API key is in one of these places.
	APIKeyFile       string `yaml:"api_key_file"`
	APIKeyEnv        string `yaml:"api_key_env"`
	APIKeyCredential string `yaml:"api_key_credential"`
	// Categories are the datasets that go there.
	Categories []string `yaml:"categories"`
	// Batch bounds one add; a larger backlog goes as uploads bounded by Bulk.
	Batch BatchConfig `yaml:"batch"`
	Bulk  BatchConfig `yaml:"bulk"`
	// Results says whether the service is asked what it made of the records.
	Results bool `yaml:"results"`
	// Metadata goes with every record.
	Metadata map[string]string `yaml:"metadata"`
}

// BatchConfig bounds one request.
type BatchConfig struct {
	Objects int        `yaml:"objects"`
	Bytes   spool.Size `yaml:"bytes"`
}

var categories = []string{"training", "testing", "anomaly", "validation", "post-processing"}

// maxBulk keeps what is remembered of an upload within a value of the spool.
const maxBulk = 3000

// DefaultConfig holds the defaults. The service publishes no bounds.
func DefaultConfig() Config {
	return Config{
		URL: "https://api.safetykit.com", Categories: slices.Clone(categories[:3]),
		Batch: BatchConfig{Objects: 100, Bytes: 1 << 20}, Bulk: BatchConfig{Objects: 1000, Bytes: 8 << 20}, Results: true,
	}
}

// Validate reports every fault: field in this config, what is wrong, and what
// to do about it.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	c.validateURL(fault)
	if !validNamespace(c.Namespace) {
		fault("namespace", fmt.Sprintf("namespace: %q cannot be used", c.Namespace), "use 1 to 128 letters, digits, _ and -")
	}
	c.apiKey().Validate("api_key", true, fault)
	if len(c.Categories) == 0 {
		fault("categories", "no category is given, so nothing would be sent", "list some of "+strings.Join(categories, ", "))
	}
	for i, name := range c.Categories {
		field := fmt.Sprintf("categories[%d]", i)
		switch {
		case !slices.Contains(categories, name):
			fault(field, fmt.Sprintf("%q is not a category", name), "use "+strings.Join(categories, ", "))
		case slices.Contains(c.Categories[:i], name):
			fault(field, name+" is listed twice", "remove one of the two")
		}
	}
	for _, b := range []struct {
		name string
		BatchConfig
	}{{"batch", c.Batch}, {"bulk", c.Bulk}} {
		if b.Objects < 1 || b.Objects > maxBulk {
			fault(b.name+".objects", fmt.Sprintf("%d objects do not fit a request", b.Objects), fmt.Sprintf("use 1 to %d", maxBulk))
		}
		if b.Bytes < 64<<10 || b.Bytes > 64<<20 {
			fault(b.name+".bytes", fmt.Sprintf("%v do not fit a request", b.Bytes), "use a size from 64KiB to 64MiB, such as 1MiB")
		}
	}
}

func (c *Config) validateURL(fault func(field, problem, remedy string)) {
	const example = "write it in full, such as https://api.safetykit.com"
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		fault("url", "no address is given", example)
	case err != nil:
		fault("url", "the address cannot be read", example)
	case u.Scheme != "http" && u.Scheme != "https":
		fault("url", "the address does not begin with http:// or https://", example)
	case u.Hostname() == "":
		fault("url", "the address names no host", example)
	case u.User != nil:
		fault("url", "the address holds a user or password", "remove them and use api_key_file")
	case u.RawQuery != "" || u.Fragment != "":
		fault("url", "the address has a query or a fragment", "remove what follows ? or #")
	case strings.Contains(u.Path, "/v1/data"):
		fault("url", "the address goes into the service's paths", "end it before /v1")
	}
}

// validNamespace tells whether a name is of letters, digits, _ and -.
func validNamespace(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' || r == '-')
	}) < 0
}

// Warnings says what is wrong with the key itself, which may still come.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	c.apiKey().Warnings("api_key", warn)
}

func (c *Config) apiKey() uploader.SecretConfig {
	return uploader.SecretConfig{File: c.APIKeyFile, Env: c.APIKeyEnv, Credential: c.APIKeyCredential}
}
