package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgespool/edgespool/sampler"
)

// setAside puts a refused file into the failed folder, its reason beside it.
// A file that is never renamed is remembered instead.
func (sc *scan) setAside(t *taken, why *refusal) error {
	if t.claimed() {
		if err := sc.putAside(t, why); err != nil {
			sc.putBack(t)
			return fmt.Errorf("set file aside: %w", err)
		}
	} else if err := sc.setup.Memory.Remember(sc.setup.Name, t.stamp.key()); err != nil {
		return fmt.Errorf("remember refused file: %w", err)
	}
	sc.refused.add(t.path, why)
	sc.setup.Progress.Update(func(p *sampler.Snapshot) {
		p.Rejected++
		p.LastBad = t.path + ": " + why.reason
	})
	sc.sightings.forget(t.path)
	return nil
}

// putAside renames a claimed file into the failed folder. The reason is
// written first: its name keeps the place, and no file is there without one.
func (sc *scan) putAside(t *taken, why *refusal) error {
	dir := t.mount.own("failed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("%s\nwas not taken: %s\n", t.path, why.reason)
	for _, name := range freeNames(filepath.Base(t.path), tagOf(t.stamp.key())) {
		reason := filepath.Join(dir, name+".reason.txt")
		err := writeNew(reason, text)
		if err == nil {
			if err = renameNew(t.lies, filepath.Join(dir, name)); err != nil {
				_ = os.Remove(reason)
			}
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			t.mount.tidy(t.lies)
		}
		return err
	}
	return fmt.Errorf("no free name for %s in %s", filepath.Base(t.path), dir)
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}
