package dataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// Config is a destination of type dataset.
type Config struct {
	// Path is the folder that holds the dataset.
	Path string `yaml:"path"`
	// RequireMount writes nothing while Path lies on the file system of /.
	RequireMount bool `yaml:"require_mount"`
	// Categories are the datasets that go there.
	Categories []string `yaml:"categories"`
	// The HMAC key signs the documents of windows; without one they are
	// unsigned.
	HMACKeyFile       string `yaml:"hmac_key_file"`
	HMACKeyEnv        string `yaml:"hmac_key_env"`
	HMACKeyCredential string `yaml:"hmac_key_credential"`
}

var categories = []string{"training", "testing", "anomaly", "validation", "post-processing"}

// DefaultConfig takes every category.
func DefaultConfig() Config { return Config{Categories: slices.Clone(categories)} }

// Validate reports every fault: field in this config, what is wrong, and what
// to do about it.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if c.Path == "" {
		fault("path", "no folder is given", "set path to the folder that is to hold the dataset")
	}
	if len(c.Categories) == 0 {
		fault("categories", "no category is given, so nothing would be kept", "list some of "+strings.Join(categories, ", "))
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
	c.hmacKey().Validate("hmac_key", false, fault)
}

// Warnings says what is wrong with the key itself, which may still come.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	c.hmacKey().Warnings("hmac_key", warn)
	if c.RequireMount {
		spool.WarnOfMount(c.Path, warn)
	}
}

func (c *Config) hmacKey() uploader.SecretConfig {
	return uploader.SecretConfig{File: c.HMACKeyFile, Env: c.HMACKeyEnv, Credential: c.HMACKeyCredential}
}
