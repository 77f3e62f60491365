package agent

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler/directory"
	"github.com/edgespool/edgespool/sampler/listener"
)

// A claim is something outside that a part of the configuration uses: a
// serial port, an address or a folder.
type claim struct {
	owner string // such as "source vibration"
	field string // its place in the file
	kind  string // "port", "address" or "folder"
	what  string // the path or address, links followed
	given string // as it stands in the file
	// deep: everything below the folder is meant as well.
	deep bool
	// written: the agent puts files there.
	written bool
}

// claims lists what the configuration uses that two must not share.
func (c *Config) claims() []claim {
	all := []claim{folder(claim{owner: "the spool", field: "spool.path", given: c.Spool.Path, deep: true, written: true})}
	for i, s := range c.Sources {
		at := claim{owner: "source " + s.Name, field: fmt.Sprintf("sources[%d].", i)}
		switch room := s.Room.(type) {
		case *directory.Config:
			watched, moved := at, at
			watched.field, watched.given, watched.deep = at.field+"path", room.Path, room.Recursive
			all = append(all, folder(watched))
			if room.MoveTo != "" {
				moved.field, moved.given, moved.written = at.field+"move_to", room.MoveTo, true
				all = append(all, folder(moved))
			}
		case *listener.Config:
			at.field, at.kind, at.what, at.given = at.field+"listen", "address", room.Listen, room.Listen
			if room.Listen == "" {
				at.given = "the address of the API"
			}
			all = append(all, at)
		}
	}
	return all
}

// folder completes a claim on a folder: links are followed, so that two names
// of one place are recognised.
func folder(c claim) claim {
	c.kind, c.what = "folder", real(c.given)
	return c
}

// real follows links as far as the path exists.
func real(path string) string {
	if path == "" {
		return ""
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
	switch {
	case a.kind != b.kind || a.kind == "folder" && (a.what == "" || b.what == ""):
	case a.kind != "folder" && a.what == b.what:
		return fmt.Sprintf("%s is already used by %s", b.given, a.owner), "one source to one " + a.kind
	case a.kind != "folder" || !a.covers(b) && !b.covers(a):
	case a.written && b.written && a.what != b.what, a.owner == b.owner && a.what != b.what && !a.covers(b):
	case a.written || b.written:
		return fmt.Sprintf("%s would take in what %s keeps in %s", b.owner, a.owner, a.given), "choose folders that do not lie in each other"
	default:
		return fmt.Sprintf("%s overlaps with %s of %s, so files would be taken by either", b.given, a.given, a.owner),
			"choose folders that do not lie in each other, or recursive: false for the upper one"
	}
	return "", ""
}

// covers tells whether b's folder is a's, or below it and meant by it.
func (a claim) covers(b claim) bool {
	return a.what == b.what || a.deep && strings.HasPrefix(b.what, strings.TrimSuffix(a.what, "/")+"/")
}
