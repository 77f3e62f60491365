package data

import (
	"fmt"
	"net/url"

	"github.com/edgespool/edgespool/spool"
)

// Config is the `data:` part of the API's configuration.
type Config struct {
	// Enabled says whether the Data API is served at all.
	Enabled bool `yaml:"enabled"`
	// Objects and Bytes bound one add; more goes by an upload. Bytes also
	// bounds a single object of an upload.
	Objects int        `yaml:"objects"`
	Bytes   spool.Size `yaml:"bytes"`
	// URL is the address by which clients reach this service, for the links
	// in answers; empty takes the one that the client used.
	URL     string        `yaml:"url"`
	Webhook WebhookConfig `yaml:"webhook"`
}

// WebhookConfig says where results are posted to; without a URL nowhere.
type WebhookConfig struct {
	URL string `yaml:"url"`
	// SecretFile holds the secret that signs what is posted: whsec_ and
	// base64 of 24 to 64 bytes.
	SecretFile string `yaml:"secret_file"`
}

// maxObjects keeps an add within what a request's id can count.
const maxObjects = 10_000

// DefaultConfig serves the Data API. The service whose wire this is publishes
// no limits; these are ours.
func DefaultConfig() Config { return Config{Enabled: true, Objects: 500, Bytes: 4 << 20} }

// Validate reports every fault.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if !c.Enabled {
		return
	}
	if c.Objects < 1 || c.Objects > maxObjects {
		fault("objects", fmt.Sprintf("objects: %d do not fit a request", c.Objects), fmt.Sprintf("use 1 to %d", maxObjects))
	}
	if c.Bytes < 1<<10 || c.Bytes > 64<<20 {
		fault("bytes", fmt.Sprintf("bytes: %v is no useful bound", c.Bytes), "use a size from 1KiB to 64MiB, such as 4MiB")
	}
	checkURL("url", c.URL, fault)
	checkURL("webhook.url", c.Webhook.URL, fault)
	switch w := c.Webhook; {
	case w.URL != "" && w.SecretFile == "":
		fault("webhook.secret_file", "results would be posted unsigned", "name a file that holds whsec_ and base64 of 24 to 64 random bytes")
	case w.URL == "" && w.SecretFile != "":
		fault("webhook.url", "a secret is given and no address", "add the url that results are posted to, or remove secret_file")
	}
}

// Warnings says that the secret cannot be read; it may still come.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	if c.Webhook.SecretFile == "" {
		return
	}
	if _, err := readSecret(c.Webhook.SecretFile); err != nil {
		warn("webhook.secret_file", err.Error(), "put whsec_ and base64 of 24 to 64 random bytes into that file, readable by this service")
	}
}

func checkURL(field, text string, fault func(field, problem, remedy string)) {
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		fault(field, field+" is not an address", "write it in full, such as https://plant-4.example, without a user")
	}
}
