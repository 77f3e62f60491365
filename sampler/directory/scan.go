package directory

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// candidateLimit bounds how many files a scan brings back, the oldest first;
// the others have their turn when these are dealt with.
const candidateLimit = 8192

// A candidate is a file that a scan found and that is not dealt with.
type candidate struct {
	path  string
	mount *mount
	stamp stamp
	// stays: the file is never renamed, it is remembered.
	stays bool
	known *sighting
}

// A scan is one look at the watched tree, and what comes of it.
type scan struct {
	*Source
	ctx        context.Context
	now        time.Time
	moveTo     whereabouts // never looked into
	candidates []candidate
	folders    map[string]bool // that are there
	labelFiles map[string]stamp
	keys       map[[16]byte]bool // of files that stay; nil unless it is time to prune
	cost       time.Duration
	fault      error // the first thing that went wrong
	// Counts of files: not included, and being written.
	ignored, busy int
	// Files that were refused for good, and that failed for the first time.
	refused, failed tally
}

// A tally counts files with a fault and keeps the first, so that a thousand
// of them make one line in the log.
type tally struct {
	files int
	first string
}

func (t *tally) add(path string, err error) {
	if t.files++; t.files == 1 {
		t.first = path + ": " + err.Error()
	}
}

// scan looks at everything below the watched folder. An error means that the
// folder itself cannot be opened.
func (s *Source) scan(ctx context.Context) (*scan, error) {
	at, err := locate(s.config.Path)
	if err != nil {
		return nil, err
	}
	sc := &scan{Source: s, ctx: ctx, now: time.Now(), folders: make(map[string]bool),
		labelFiles: make(map[string]stamp)}
	if s.pruned.IsZero() || sc.now.Sub(s.pruned) >= pruneEvery {
		sc.keys = make(map[[16]byte]bool)
	}
	if s.config.After == AfterMove {
		sc.moveTo, _ = locate(s.config.MoveTo)
	}
	s.sightings.begin()
	sc.folder(s.config.Path, at, nil)
	sc.trim()
	for i := range sc.candidates {
		c := &sc.candidates[i]
		c.known = s.sightings.note(c.path, c.stamp, sc.now)
	}
	s.sightings.sweep()
	s.hints.keep(func(path string) bool { return sc.folders[path] })
	for path := range s.mounts {
		if !sc.folders[path] {
			delete(s.mounts, path)
		}
	}
	return sc, nil
}

// folder walks one folder; above is the mount of the folder that holds it.
func (sc *scan) folder(path string, at whereabouts, above *mount) {
	// The watch comes before the look: what comes between is seen twice, not
	// never.
	sc.hints.watch(path, at)
	sc.folders[path] = true
	m := above
	if m == nil || !at.sameMount(m.at) {
		m = sc.mountAt(path, at)
	}
	stays := sc.config.After == AfterKeep || !m.mayWrite || !mayWrite(path)
	dir, err := os.Open(path)
	if err != nil {
		sc.faulty(err)
		return
	}
	var below []string
	for sc.ctx.Err() == nil {
		sc.setup.Progress.Beat()
		found, err := dir.ReadDir(512)
		for _, d := range found {
			switch {
			case d.IsDir():
				if sc.config.Recursive && d.Name()[0] != '.' && d.Name() != "lost+found" {
					below = append(below, filepath.Join(path, d.Name()))
				}
			case d.Type().IsRegular():
				sc.file(path, d.Name(), m, stays)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			sc.faulty(err)
			break
		}
	}
	_ = dir.Close() // before going deeper, so that depth costs no descriptors
	for _, p := range below {
		at, err := locate(p)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		case err != nil:
			sc.faulty(err)
		case sc.config.After == AfterMove && at == sc.moveTo:
		default:
			sc.folder(p, at, m)
		}
	}
}

// mountAt is the mount whose top is path; another one may have been there.
// What a crash left claimed goes back before anybody looks.
func (sc *scan) mountAt(path string, at whereabouts) *mount {
	m := sc.mounts[path]
	if m == nil || m.at != at {
		m = &mount{path: path, at: at}
		sc.mounts[path] = m
	}
	m.mayWrite = mayWrite(path)
	if m.recovered {
		return m
	}
	n, err := m.recover()
	if err != nil {
		sc.faulty(err)
	}
	if n > 0 {
		sc.setup.Log.Info("files that a crash left claimed are back in their folder",
			"source", sc.setup.Name, "folder", path, "files", n)
	}
	return m
}

// file looks at one plain file.
func (sc *scan) file(folder, name string, m *mount, stays bool) {
	path := filepath.Join(folder, name)
	if isLabelFile(name) {
		if s, regular, err := lstat(path); err == nil && regular && readLabelFile(name) {
			sc.labelFiles[path] = s
			sc.sightings.note(path, s, sc.now)
		}
		return
	}
	rel, err := filepath.Rel(sc.config.Path, path)
	if err != nil || passedOver(name) || !included(sc.config.Include, rel) {
		sc.ignored++
		return
	}
	s, regular, err := lstat(path)
	if err != nil || !regular || s.size == 0 {
		return // gone again, replaced, or not begun
	}
	if stays {
		key := s.key()
		if sc.keys != nil {
			sc.keys[key] = true
		}
		if sc.setup.Memory.Remembered(sc.setup.Name, key) {
			return
		}
	}
	sc.candidates = append(sc.candidates, candidate{path: path, mount: m, stamp: s, stays: stays})
	if len(sc.candidates) >= 2*candidateLimit {
		sc.trim()
	}
}

// trim puts the oldest first, and leaves off what is too many. Files that
// wait after a failure come last, so that they hold nobody up.
func (sc *scan) trim() {
	sort.Slice(sc.candidates, func(i, j int) bool {
		a, b := &sc.candidates[i], &sc.candidates[j]
		if later := sc.waits(a); later != sc.waits(b) {
			return !later
		}
		return a.stamp.ctime < b.stamp.ctime || a.stamp.ctime == b.stamp.ctime && a.path < b.path
	})
	if len(sc.candidates) > candidateLimit {
		clear(sc.candidates[candidateLimit:])
		sc.candidates = sc.candidates[:candidateLimit]
	}
}

func (sc *scan) waits(c *candidate) bool {
	known := sc.sightings.seen[c.path]
	return known != nil && known.stamp == c.stamp && known.notBefore.After(sc.now)
}

func (sc *scan) faulty(err error) {
	if sc.fault == nil {
		sc.fault = err
	}
}

// readLabelFile tells the label files that we honour.
func readLabelFile(name string) bool {
	return name == acquisition.ManifestName || name == acquisition.BoundingBoxesName || name == acquisition.StructuredLabelsName
}
