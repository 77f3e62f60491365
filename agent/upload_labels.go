package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/sampler/directory"
)

// checkManifests reads every info.labels once before anything is sent: half
// an upload with labels and half without would be worse than none.
func checkManifests(paths []string) error {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return fmt.Errorf("find files: %w", err)
		}
		if !info.IsDir() && filepath.Base(p) != acquisition.ManifestName {
			continue
		}
		err = filepath.WalkDir(p, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return fmt.Errorf("find label files: %w", err)
			}
			switch {
			case e.IsDir() && hidden(e.Name()) && e.Name() != ".":
				return fs.SkipDir
			case e.IsDir() || e.Name() != acquisition.ManifestName:
				return nil
			}
			return checkManifest(p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkManifest(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read label file: %w", err)
	}
	defer f.Close()
	if err := acquisition.ReadManifest(f, func(acquisition.ManifestFile) error { return nil }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// A besideFile is what the label files beside a file say, kept for the next
// file of the same folder.
type besideFile struct {
	dir      string
	boxes    map[string][]acquisition.Box
	segments map[string][]acquisition.Segment
}

// said is what label files say of a file; listed is the manifest's part.
func (g *gathering) said(p string, listed *acquisition.ManifestFile) (directory.Said, error) {
	dir, name := filepath.Split(p)
	if g.beside == nil || g.beside.dir != dir {
		fresh := &besideFile{dir: dir}
		if err := fresh.read(); err != nil {
			return directory.Said{}, err
		}
		g.beside = fresh
	}
	s := directory.Said{Listed: listed, Boxes: g.beside.boxes[name], Segments: g.beside.segments[name]}
	if listed != nil && listed.Boxes != nil {
		s.Boxes = listed.Boxes
	}
	return s, nil
}

func (b *besideFile) read() (err error) {
	if b.boxes, err = labelFile(filepath.Join(b.dir, acquisition.BoundingBoxesName), acquisition.ParseBoundingBoxes); err != nil {
		return err
	}
	b.segments, err = labelFile(filepath.Join(b.dir, acquisition.StructuredLabelsName), acquisition.ParseStructuredLabels)
	return err
}

// labelFile parses a label file; one that is not there says nothing.
func labelFile[T any](name string, parse func(io.Reader) (map[string][]T, error)) (map[string][]T, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read label file: %w", err)
	}
	defer f.Close()
	return parse(f)
}
