package agent

import (
	"errors"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/spool"
)

// withRemedy adds what to do when a spool does not open.
func withRemedy(err error, path string) error {
	hint := ""
	switch {
	case errors.Is(err, spool.ErrLocked):
		hint = "stop the other edgespool that uses " + path + ", or give this one a spool.path of its own"
	case errors.Is(err, spool.ErrReadOnly):
		hint = "make " + path + " writable for this user, or choose another spool.path; a card that turned read-only may be worn out"
	case errors.Is(err, spool.ErrVolatile):
		hint = "choose a spool.path on a real disk, or set spool.allow_volatile: true to accept the loss"
	case errors.Is(err, spool.ErrNewer):
		hint = "update edgespool, or choose another spool.path"
	case errors.Is(err, spool.ErrDamaged):
		hint = "keep a copy of " + path + "; `edgespool inspect --spool " + path + "` shows what can be read, with --salvage DIR it is saved"
	case errors.Is(err, spool.ErrFull):
		hint = "make room on the disk, or lower spool.min_free"
	}
	if hint == "" {
		return err
	}
	return api.WithHint(err, hint)
}
