package directory

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// What becomes of a file once the spool has it.
const (
	AfterKeep   = "keep"
	AfterDelete = "delete"
	AfterMove   = "move"
)

// How a file gets its label; "=TEXT" fixes it.
const (
	LabelFilename = "filename"
	LabelFolder   = "folder"
	LabelNone     = "none"
)

// CategoryFolder takes the category from a folder's name.
const CategoryFolder = "folder"

// Config is a source of type directory, without the fields that all sources
// have (name, type, metadata).
type Config struct {
	// Path is the folder to watch.
	Path string `yaml:"path"`
	// RequireMount waits while Path lies on the file system of /: what should
	// be mounted there is not.
	RequireMount bool `yaml:"require_mount"`
	// Include are patterns of file names, such as *.csv, upper and lower case
	// alike; one with a slash is held against the path below the folder.
	Include []string `yaml:"include"`
	// Recursive looks into the folders below as well.
	Recursive bool `yaml:"recursive"`
	// Settle is how long a file must have stayed the same.
	Settle time.Duration `yaml:"settle"`
	// After is keep, delete or move; MoveTo is where to.
	After  string `yaml:"after"`
	MoveTo string `yaml:"move_to"`
	// Label is filename, folder, none or =TEXT.
	Label string `yaml:"label"`
	// Category is folder, one of sampler.Categories, or split.
	Category string `yaml:"category"`
	// DefaultCategory is for files that no folder gives a category.
	DefaultCategory string `yaml:"default_category"`
}

// DefaultConfig holds the defaults of the contract; Path has none.
func DefaultConfig() Config {
	return Config{
		Include:   []string{"*.cbor", "*.json", "*.csv", "*.wav", "*.jpg", "*.jpeg", "*.png", "*.mp4", "*.avi"},
		Recursive: true, Settle: time.Second, After: AfterKeep,
		Label: LabelFilename, Category: CategoryFolder, DefaultCategory: "training",
	}
}

// Validate calls fault for everything that is wrong with the configuration.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	if c.Path == "" {
		fault("path", "no folder is given", "name the folder that recordings fall into")
	}
	if len(c.Include) == 0 {
		fault("include", "no file would ever fit", `leave it out for all kinds that Edge Impulse takes, or write ["*.csv"]`)
	}
	for _, pattern := range c.Include {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			fault("include", "\""+pattern+"\" is not a pattern", `write it like "*.csv"`)
		}
	}
	if c.Settle < 0 || c.Settle > time.Hour {
		fault("settle", c.Settle.String()+" is out of range", "write a time from 0s to 1h, such as 1s")
	}
	c.validateAfter(fault)
	c.validateLabelling(fault)
}

func (c *Config) validateAfter(fault func(field, problem, remedy string)) {
	switch c.After {
	case AfterMove:
		if c.MoveTo == "" {
			fault("move_to", "after: move needs a folder to move files to", "name a folder outside of path")
		} else if filepath.Clean(c.MoveTo) == filepath.Clean(c.Path) {
			fault("move_to", "files would be moved to where they are", "name a folder outside of path")
		}
	case AfterKeep: // a folder to move to does no harm, and check tells
	case AfterDelete: // files that somebody wants to find again would be gone
		if c.MoveTo != "" {
			fault("move_to", "files are deleted and not moved there", "write after: move, or leave move_to out")
		}
	default:
		fault("after", "\""+c.After+"\" is not known", "write keep, delete or move")
	}
}

func (c *Config) validateLabelling(fault func(field, problem, remedy string)) {
	text, fixed := strings.CutPrefix(c.Label, "=")
	switch {
	case fixed && strings.TrimSpace(text) == "":
		fault("label", "no text follows the =", "write label: =idle, or none for no label")
	case !fixed && !slices.Contains([]string{LabelFilename, LabelFolder, LabelNone}, c.Label):
		fault("label", "\""+c.Label+"\" is not a rule", "write filename, folder, none, or ="+c.Label+" for that text")
	}
	known := func(category string) bool {
		return sampler.IsCategory(category) || category == sampler.CategorySplit
	}
	list := strings.Join(sampler.Categories, ", ") + " or " + sampler.CategorySplit
	if c.Category != CategoryFolder && !known(c.Category) {
		fault("category", "\""+c.Category+"\" is not a category", "write folder, "+list)
	}
	if !known(c.DefaultCategory) {
		fault("default_category", "\""+c.DefaultCategory+"\" is not a category", "write "+list)
	}
}
