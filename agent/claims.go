package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler/directory"
	"github.com/edgespool/edgespool/sampler/listener"
	"github.com/edgespool/edgespool/sampler/serial"
	"github.com/edgespool/edgespool/uploader/dataset"
)

// The kinds of claims.
const (
	claimPort    = "serial port"
	claimAddress = "address"
	claimWatched = "watched folder" // files are taken from it
	claimKept    = "folder"         // the agent keeps files in it
)

// A claim is something outside that a part of the configuration uses and must
// not share with another part.
type claim struct {
	owner string // such as "source vibration"
	field string // its place in the file
	kind  string
	given string // as it stands in the file
	what  string // the same with links followed
	deep  bool   // everything below a watched folder is meant as well
}

// claims lists what the configuration uses.
func (c *Config) claims() []claim {
	all := []claim{{owner: "the spool", field: "spool.path", kind: claimKept, given: c.Spool.Path}}
	for i, s := range c.Sources {
		at := claim{owner: "source " + s.Name, field: fmt.Sprintf("sources[%d].", i)}
		switch room := s.Room.(type) {
		case *serial.Config:
			at.field, at.kind, at.given = at.field+"port", claimPort, room.Port
			all = append(all, at)
		case *directory.Config:
			moved := at
			at.field, at.kind, at.given, at.deep = at.field+"path", claimWatched, room.Path, room.Recursive
			all = append(all, at)
			if room.After == directory.AfterMove {
				moved.field, moved.kind, moved.given = moved.field+"move_to", claimKept, room.MoveTo
				all = append(all, moved)
			}
		case *listener.Config:
			at.field, at.kind, at.given = at.field+"listen", claimAddress, room.Listen
			if room.Listen == "" {
				at.given = c.API.Listen
			}
			all = append(all, at)
		}
	}
	for i, d := range c.Destinations {
		if room, ok := d.Room.(*dataset.Config); ok {
			all = append(all, claim{owner: "destination " + d.Name, field: fmt.Sprintf("destinations[%d].path", i), kind: claimKept, given: room.Path})
		}
	}
	for i := range all {
		all[i].what = all[i].given
		if all[i].kind != claimAddress {
			all[i].what = real(all[i].given)
		}
	}
	return all
}

// real follows links as far as the path exists. Other names of serial ports
// stay as they are.
func real(path string) string {
	if path == "" || strings.HasPrefix(path, "usb:") || strings.HasPrefix(path, "tcp:") {
		return path
	}
	path, _ = filepath.Abs(path)
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	if up := filepath.Dir(path); up != path {
		return filepath.Join(real(up), filepath.Base(path))
	}
	return path
}

// checkClaims reports every claim that an earlier one excludes.
func (c *Config) checkClaims(fault func(field, problem, remedy string)) {
	all := c.claims()
	for i, later := range all {
		for _, earlier := range all[:i] {
			if problem, remedy := conflict(earlier, later); problem != "" {
				fault(later.field, problem, remedy)
				break
			}
		}
	}
}

func conflict(a, b claim) (problem, remedy string) {
	apart := "choose folders that do not lie in each other, or recursive: false for the upper one"
	switch {
	case a.what == "" || b.what == "" || a.owner == b.owner: // a source leaves out its own move_to
	case a.kind == claimWatched && b.kind == claimWatched && (a.covers(b) || b.covers(a)):
		return fmt.Sprintf("%s overlaps with %s of %s, so either could take the same file", b.given, a.given, a.owner), apart
	case a.kind == claimWatched && b.kind == claimKept && a.covers(b):
		return fmt.Sprintf("%s lies in %s, from which %s takes files", b.given, a.given, a.owner), apart
	case a.kind == claimKept && b.kind == claimWatched && b.covers(a):
		return fmt.Sprintf("%s would take the files that %s keeps in %s", b.owner, a.owner, a.given), apart
	case a.kind == claimPort && b.kind == claimPort && samePort(a.what, b.what),
		a.kind == b.kind && a.what == b.what && a.kind != claimWatched:
		return fmt.Sprintf("%s is used by %s already", b.given, a.owner), "give each one a " + a.kind + " of its own"
	}
	return "", ""
}

// samePort tells whether two names of ports can only mean the same one.
// Without a serial number usb:VENDOR:PRODUCT fits every adapter of its kind.
func samePort(a, b string) bool {
	x, usb := strings.CutPrefix(a, "usb:")
	y, too := strings.CutPrefix(b, "usb:")
	if !usb || !too {
		return a == b
	}
	const ids = len("2341:8057")
	if len(x) < ids || len(y) < ids || !strings.EqualFold(x[:ids], y[:ids]) {
		return false
	}
	return len(x) == ids || len(y) == ids || x[ids:] == y[ids:]
}

// covers tells whether files in b's folder would be taken from a's. Folders
// whose name begins with a dot are never looked into.
func (a claim) covers(b claim) bool {
	if a.what == b.what {
		return true
	}
	below, ok := strings.CutPrefix(b.what, strings.TrimSuffix(a.what, "/")+"/")
	return ok && a.deep && !strings.HasPrefix(below, ".") && !strings.Contains(below, "/.")
}
