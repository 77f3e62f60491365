package demo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// leastWindows is how many windows must have arrived for the demo to have
// shown anything.
const leastWindows = 5

// One in leastShare readings must have arrived: a kill costs seconds, but not
// all that comes after it.
const leastShare = 2

// A row is one line of the table.
type row struct {
	what                                         string
	made, spooled, uploaded, duplicate, rejected int
}

// A verdict is what the check found.
type verdict struct {
	rows     []row
	signed   int      // documents that arrived with a signature that holds
	readings int      // that the accelerometer gave somebody
	sampled  int      // of these, in a window that arrived
	proofs   []string // of what became of the shaking
	faults   []string
}

func (v *verdict) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// An arrival is a file in the folder of the service.
type arrival struct {
	path  string
	label string
	body  []byte
	sum   [32]byte
	// explained: something that was made is this file.
	explained bool
}

func (a *arrival) category() string { return filepath.ToSlash(filepath.Dir(a.path)) }

// A kept is a record in a spool, the agent's or the service's.
type kept struct {
	id, name, dataset string
	sequence          uint64
	sum               [32]byte
	window            bool
}

// check compares what was made, what the agent's spool holds and what the
// service received. Both must have been stopped.
func check(ctx context.Context, s *site, made []fallen, seen sighting) (*verdict, error) {
	arrived, err := arrivals(s.received())
	if err != nil {
		return nil, err
	}
	records, err := spooled(ctx, s.spool())
	if err != nil {
		return nil, err
	}
	received, err := spooled(ctx, s.receivedSpool())
	if err != nil {
		return nil, err
	}
	v := &verdict{readings: s.sensor.Written()}
	v.rows = append(v.rows, v.windows(s, records, arrived))
	for _, kind := range kinds {
		v.rows = append(v.rows, v.recordings(s, kind, made, records, arrived))
	}
	for _, a := range arrived {
		if !a.explained {
			v.fault("%s arrived, which nobody made", a.path)
		}
		v.signature(s, a)
	}
	v.shaking(seen, records, received)
	return v, nil
}

// spooled lists the records in a spool that no agent holds.
func spooled(ctx context.Context, dir string) ([]kept, error) {
	var all []kept
	err := spool.Walk(ctx, dir, func(r spool.Record) error {
		all = append(all, kept{id: r.ID(), name: r.Name, dataset: r.Dataset, sequence: r.Sequence, sum: r.SHA256, window: r.Kind == spool.KindWindow})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look into spool %s: %w", dir, err)
	}
	return all, nil
}

// undelivered is how many records of a spool that no agent holds were not
// delivered yet.
func undelivered(ctx context.Context, dir string) (records int64, err error) {
	r, err := spool.Inspect(ctx, dir)
	if err != nil {
		return 0, fmt.Errorf("look into the agent's spool: %w", err)
	}
	for _, s := range r.Streams {
		records += s.Backlog
	}
	return records, nil
}

// nextSequence is that of the next record of a spool that no agent holds.
func nextSequence(ctx context.Context, dir string) (uint64, error) {
	r, err := spool.Inspect(ctx, dir)
	if err != nil {
		return 0, fmt.Errorf("look into the service's spool: %w", err)
	}
	return r.NextSequence, nil
}

// arrivals reads the folder of the service and its manifest.
func arrivals(dir string) ([]*arrival, error) {
	f, err := os.Open(filepath.Join(dir, acquisition.ManifestName))
	if err != nil {
		return nil, fmt.Errorf("read what arrived: %w", err)
	}
	defer f.Close()
	manifest, err := acquisition.ParseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("read what arrived: %w", err)
	}
	labels := make(map[string]string, len(manifest.Files))
	for _, m := range manifest.Files {
		labels[m.Path] = m.Label.Text
	}
	var all []*arrival
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case e.IsDir() || strings.HasPrefix(e.Name(), ".") || e.Name() == acquisition.ManifestName:
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		rel = filepath.ToSlash(rel)
		all = append(all, &arrival{path: rel, label: labels[rel], body: body, sum: sha256.Sum256(body)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what arrived: %w", err)
	}
	return all, nil
}

// windows checks that every window in the spool arrived once, with readings
// in the order in which the accelerometer gave them, each in one window only.
func (v *verdict) windows(s *site, records []kept, arrived []*arrival) row {
	r := row{what: "accelerometer"}
	used := make(map[int]string) // the window that has a line
	for _, k := range records {
		if !k.window {
			continue
		}
		r.made++
		r.spooled++
		fits := func(a *arrival) bool { return strings.Contains(a.path, k.id) }
		for _, a := range v.once("window "+k.id, arrived, fits) {
			r.uploaded++
			v.label(a, k.dataset, windowLabel)
			v.readingsOf(s, a, used)
		}
	}
	v.sampled = len(used)
	switch {
	case r.uploaded < leastWindows:
		v.fault("only %d windows arrived", r.uploaded)
	case v.sampled*leastShare < v.readings:
		v.fault("only %d of %d readings arrived", v.sampled, v.readings)
	}
	return r
}

// readingsOf checks that the rows of a window are lines that follow each other.
func (v *verdict) readingsOf(s *site, a *arrival, used map[int]string) {
	d, err := acquisition.Decode(a.body, s.hmacKey)
	if err != nil {
		v.fault("%s: %v", a.path, err)
		return
	}
	before := -1
	for i := range int(d.Rows) {
		line, ok := s.sensor.Place(d.Row(i))
		switch {
		case !ok:
			v.fault("%s: reading %d was never given", a.path, i)
			return
		case i > 0 && line != before+1:
			v.fault("%s: reading %d does not follow the one before it", a.path, i)
			return
		case used[line] != "":
			v.fault("%s: reading %d is in %s already", a.path, i, used[line])
			return
		}
		used[line], before = a.path, line
	}
}

// recordings checks that every recording of a kind arrived once.
func (v *verdict) recordings(s *site, kind string, made []fallen, records []kept, arrived []*arrival) row {
	r := row{what: kind}
	seen := make(map[[32]byte]bool)
	for _, f := range made {
		sum := sha256.Sum256(f.body)
		switch {
		case f.kind != kind:
			continue
		case f.malformed:
			r.made, r.rejected = r.made+1, r.rejected+1
			v.setAside(s, f)
			continue
		case seen[sum]:
			r.made, r.duplicate = r.made+1, r.duplicate+1
			continue
		}
		seen[sum] = true
		r.made++
		copies := 0
		for _, k := range records {
			if k.sum == sum {
				copies++
			}
		}
		if r.spooled += copies; copies != 1 {
			v.fault("%s is in the spool %d times", f.path(), copies)
		}
		for _, a := range v.once(f.path(), arrived, func(a *arrival) bool { return a.sum == sum }) {
			r.uploaded++
			v.label(a, f.category, f.label)
		}
	}
	return r
}

// setAside checks that a malformed file lies in the failed folder with its
// reason.
func (v *verdict) setAside(s *site, f fallen) {
	for _, name := range []string{f.name, f.name + ".reason.txt"} {
		if _, err := os.Stat(filepath.Join(s.watched(), ".edgespool", "failed", name)); err != nil {
			v.fault("%s was not set aside: %v", f.path(), err)
		}
	}
}

// once finds the arrivals of one sample, of which there must be one.
func (v *verdict) once(what string, arrived []*arrival, fits func(*arrival) bool) (found []*arrival) {
	for _, a := range arrived {
		if fits(a) {
			a.explained = true
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		v.fault("%s arrived %d times", what, len(found))
	}
	return found
}

func (v *verdict) label(a *arrival, category, label string) {
	if a.category() != category || a.label != label {
		v.fault("%s arrived as %s labelled %q, expected %s labelled %q", a.path, a.category(), a.label, category, label)
	}
}

// signature checks the signature of a document.
func (v *verdict) signature(s *site, a *arrival) {
	if ext := filepath.Ext(a.path); ext != ".cbor" && ext != ".json" {
		return
	}
	state, err := acquisition.Verify(a.body, s.hmacKey)
	if err == nil && state != acquisition.Valid {
		err = errors.New("its signature is " + string(state))
	}
	if err != nil {
		v.fault("%s: %v", a.path, err)
		return
	}
	v.signed++
}
