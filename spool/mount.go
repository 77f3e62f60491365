package spool

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNotMounted: what should be mounted is not.
var ErrNotMounted = errors.New("nothing is mounted there")

// OnMount says why a folder does not lie on something mounted: it, or the
// nearest folder above that is there, is on the file system of /. With the
// stick away its files would fill the root.
func OnMount(path string) error {
	var root, there unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return fmt.Errorf("look at /: %w", err)
	}
	path = filepath.Clean(path)
	for place := path; ; place = filepath.Dir(place) {
		err := unix.Stat(place, &there)
		switch {
		case err == nil && there.Dev != root.Dev:
			return nil
		case err == nil, filepath.Dir(place) == place:
			return fmt.Errorf("%s is on the file system of /: %w; mount it, or leave out require_mount", path, ErrNotMounted)
		case !errors.Is(err, unix.ENOENT):
			return fmt.Errorf("look at %s: %w", place, err)
		}
	}
}

// WarnOfMount passes on what OnMount says of a field path.
func WarnOfMount(path string, warn func(field, problem, remedy string)) {
	if err := OnMount(path); err != nil {
		warn("path", path+" is on the file system of /", "mount it; nothing is read or written there before, since require_mount is set")
	}
}
