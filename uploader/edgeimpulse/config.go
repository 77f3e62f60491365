package edgeimpulse

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// Config is a destination of type edge-impulse.
type Config struct {
	// URL is the base address of the ingestion service.
	URL string `yaml:"url"`
	// The project's API key is in one of these places.
	APIKeyFile       string `yaml:"api_key_file"`
	APIKeyEnv        string `yaml:"api_key_env"`
	APIKeyCredential string `yaml:"api_key_credential"`
	// The HMAC key signs documents; without one they are unsigned.
	HMACKeyFile       string `yaml:"hmac_key_file"`
	HMACKeyEnv        string `yaml:"hmac_key_env"`
	HMACKeyCredential string `yaml:"hmac_key_credential"`
	// Categories are the datasets that go there.
	Categories []string `yaml:"categories"`
	// Batch bounds one request.
	Batch BatchConfig `yaml:"batch"`
	// Concurrency is how many requests are under way at most.
	Concurrency int         `yaml:"concurrency"`
	Limit       LimitConfig `yaml:"limit"`
	// Endpoint is files (many records a request) or data (the older one,
	// one record a request).
	Endpoint string `yaml:"endpoint"`
	// Metadata goes with every record.
	Metadata map[string]string `yaml:"metadata"`
	// MetadataTime sends each record's time in its metadata. Metadata is
	// per request, so that every record then takes a request of its own;
	// anomalies always do.
	MetadataTime bool `yaml:"metadata_time"`
}

// BatchConfig bounds one request.
type BatchConfig struct {
	Files int        `yaml:"files"`
	Bytes spool.Size `yaml:"bytes"`
}

// LimitConfig spares a thin or costly link.
type LimitConfig struct {
	// Rate bounds the bytes per second of all requests together.
	Rate Rate `yaml:"rate"`
	// Hours are when records go out; anomalies go at any time.
	Hours Hours `yaml:"hours"`
}

// The endpoints of the service.
const (
	EndpointFiles = "files"
	EndpointData  = "data"
)

// categories are those of the service. "split" is none for a record: it is
// resolved where the record is made.
var categories = []string{"training", "testing", "anomaly", "validation", "post-processing"}

// maxFiles is how many files the service takes in a request
// (docs.edgeimpulse.com/apis/ingestion).
const maxFiles = 1000

// DefaultConfig holds the defaults of the contract.
func DefaultConfig() Config {
	return Config{
		URL:         "https://ingestion.edgeimpulse.com",
		Categories:  []string{"training", "testing", "anomaly"},
		Batch:       BatchConfig{Files: 100, Bytes: 8 << 20},
		Concurrency: 2,
		Endpoint:    EndpointFiles,
	}
}

// Validate reports every fault: field in this config, what is wrong, and what
// to do about it.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	c.validateURL(fault)
	c.apiKey().Validate("api_key", true, fault)
	c.hmacKey().Validate("hmac_key", false, fault)
	if len(c.Categories) == 0 {
		fault("categories", "no category is given, so nothing would be sent", "list some of "+strings.Join(categories, ", "))
	}
	for i, name := range c.Categories {
		field := fmt.Sprintf("categories[%d]", i)
		switch {
		case name == "split":
			fault(field, "split is resolved by the source, no record has it", "list training and testing instead")
		case !slices.Contains(categories, name):
			fault(field, fmt.Sprintf("%q is not a category", name), "use "+strings.Join(categories, ", "))
		case slices.Contains(c.Categories[:i], name):
			fault(field, name+" is listed twice", "remove one of the two")
		}
	}
	if c.Batch.Files < 1 || c.Batch.Files > maxFiles {
		fault("batch.files", fmt.Sprintf("%d files do not fit a request", c.Batch.Files), fmt.Sprintf("use 1 to %d", maxFiles))
	}
	if c.Batch.Bytes < 1 || c.Batch.Bytes > 1<<30 {
		fault("batch.bytes", fmt.Sprintf("%v do not fit a request", c.Batch.Bytes), "use a size up to 1GiB, such as 8MiB")
	}
	if c.Concurrency < 1 || c.Concurrency > uploader.Connections {
		fault("concurrency", fmt.Sprintf("%d requests at once are not possible", c.Concurrency),
			fmt.Sprintf("use 1 to %d", uploader.Connections))
	}
	if c.Limit.Rate != 0 && c.Limit.Rate < minRate {
		fault("limit.rate", fmt.Sprintf("%v is too slow for a request to be finished", c.Limit.Rate), "use at least 256B/s")
	}
	if c.Endpoint != EndpointFiles && c.Endpoint != EndpointData {
		fault("endpoint", fmt.Sprintf("%q is not an endpoint", c.Endpoint), "use files or data")
	}
}

func (c *Config) validateURL(fault func(field, problem, remedy string)) {
	const example = "write it in full, such as https://ingestion.edgeimpulse.com"
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
	case strings.Contains(u.Path, "/api/"):
		fault("url", "the address goes into the service's paths", "end it before /api")
	}
}

// Warnings says what is wrong with the keys themselves, which may still come.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	c.apiKey().Warnings("api_key", warn)
	c.hmacKey().Warnings("hmac_key", warn)
}

func (c *Config) apiKey() uploader.SecretConfig {
	return uploader.SecretConfig{File: c.APIKeyFile, Env: c.APIKeyEnv, Credential: c.APIKeyCredential}
}

func (c *Config) hmacKey() uploader.SecretConfig {
	return uploader.SecretConfig{File: c.HMACKeyFile, Env: c.HMACKeyEnv, Credential: c.HMACKeyCredential}
}
