package sampler

import (
	"os"
	"slices"
	"strings"
)

// ProgramEnvironment is what a program of the site inherits of our
// environment: what programs need to run. Keys may be in the rest.
func ProgramEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return !strings.HasPrefix(name, "LC_") && !slices.Contains([]string{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}, name)
	})
}
