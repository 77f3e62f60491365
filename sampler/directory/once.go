package directory

import (
	"io"
	"path/filepath"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// Check tells why Edge Impulse would never take a file of this name, length
// in bytes and content; nil if it may. It reads r as far as it must.
func Check(name string, size int64, r io.Reader, segments []acquisition.Segment) error {
	if err := checkOutside(name, size); err != nil {
		return err
	}
	return checkInside(name, size, r, segments)
}

// Describe gives the record of a file that no source watches its name, label,
// category and metadata by the rules of c, as a source does; rec brings its
// identity and the metadata that go with every file. A choice wins as an
// operator's does.
func Describe(rec *spool.Record, file string, c Config, s Said, choice sampler.Choice) error {
	c.Path = filepath.Dir(file)
	once := &Source{config: c, setup: sampler.Setup{Metadata: rec.Metadata}}
	return once.describe(rec, file, s, choice)
}
