package directory

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
)

// labelFiles keeps the label files that were read, until they change.
type labelFiles struct {
	read  map[string]*labelFile
	files int // that they speak of together
}

// labelFilesLimit bounds how many files the kept label files speak of: one of
// the largest allowed, and some.
const labelFilesLimit = 250_000

// A labelFile is one label file as it was read; err if it is malformed.
type labelFile struct {
	stamp    stamp
	listed   map[string]acquisition.ManifestFile // info.labels, by path
	boxes    map[string][]acquisition.Box
	segments map[string][]acquisition.Segment
	err      error
}

func (l *labelFile) size() int { return len(l.listed) + len(l.boxes) + len(l.segments) }

// Said is what label files say of one file; the zero value: nothing.
type Said struct {
	// Listed is what the nearest info.labels says that lists the file.
	Listed *acquisition.ManifestFile
	// Boxes mark objects; empty and not nil means background.
	Boxes []acquisition.Box
	// Segments are labelled stretches of rows.
	Segments []acquisition.Segment
}

// said asks the label files beside and above a file. It fails with errBusy
// while one of them is being written, and with acquisition.ErrLabelFile if
// one is malformed: a file with a wrong label is worse than one that waits.
func (sc *scan) said(file string) (Said, error) {
	var what Said
	dir, name := filepath.Split(file)
	dir = filepath.Clean(dir)
	boxes, err := sc.labelFile(filepath.Join(dir, acquisition.BoundingBoxesName))
	if err != nil {
		return Said{}, err
	}
	segments, err := sc.labelFile(filepath.Join(dir, acquisition.StructuredLabelsName))
	if err != nil {
		return Said{}, err
	}
	what.Boxes, what.Segments = boxes.boxes[name], segments.segments[name]
	// The nearest manifest that lists the file wins.
	for above := dir; sc.folders[above]; above = filepath.Dir(above) {
		manifest, err := sc.labelFile(filepath.Join(above, acquisition.ManifestName))
		if err != nil {
			return Said{}, err
		}
		rel, err := filepath.Rel(above, file)
		if err != nil {
			return Said{}, fmt.Errorf("find file in manifest: %w", err)
		}
		if listed, ok := manifest.listed[filepath.ToSlash(rel)]; ok {
			what.Listed = &listed
			if listed.Boxes != nil {
				what.Boxes = listed.Boxes
			}
			if listed.Label.Type == acquisition.LabelSegments {
				what.Segments = listed.Label.Segments
			}
			return what, nil
		}
	}
	return what, nil
}

// labelFile is the label file at path as it is now; empty if there is none.
func (sc *scan) labelFile(path string) (*labelFile, error) {
	at, there := sc.labelFiles[path]
	if !there {
		return &labelFile{}, nil
	}
	if known := sc.labels.read[path]; known != nil && known.stamp == at {
		return known, known.err
	}
	f, err := sc.openSettled(path, sc.sightings.seen[path])
	if err != nil {
		return nil, fmt.Errorf("read label file: %w", err)
	}
	defer f.Close()
	fresh := &labelFile{stamp: at}
	fresh.err = fresh.parse(f)
	if after, _, err := fstat(f); err != nil || after != at {
		return nil, fmt.Errorf("read label file: %w", errBusy)
	}
	if fresh.err != nil {
		fresh.err = fmt.Errorf("%s: %w", path, fresh.err)
		if !errors.Is(fresh.err, acquisition.ErrLabelFile) {
			return nil, fresh.err
		}
		sc.setup.Log.Warn("label file is malformed, the files that it is about wait until it is corrected or removed",
			"source", sc.setup.Name, "error", fresh.err)
	}
	sc.labels.keep(path, fresh)
	sc.warnOfAttachments(path, fresh)
	return fresh, fresh.err
}

// warnOfAttachments tells of what a label file lists and this source does not
// take along. It is told once for each state of the file.
func (sc *scan) warnOfAttachments(path string, fresh *labelFile) {
	with := 0
	for _, listed := range fresh.listed {
		if len(listed.Attachments) > 0 {
			with++
		}
	}
	if with == 0 {
		return
	}
	sc.setup.Log.Warn("label file lists attachments, which are left behind: the files themselves are taken; post what has attachments to a source of type ingestion",
		"source", sc.setup.Name, "file", path, "files_with_attachments", with)
	sc.setup.Progress.Update(func(p *sampler.Snapshot) {
		p.LastBad = fmt.Sprintf("%s: the attachments of %d of its files are left behind", path, with)
	})
}

func (l *labelFile) parse(f *os.File) (err error) {
	switch filepath.Base(f.Name()) {
	case acquisition.BoundingBoxesName:
		l.boxes, err = acquisition.ParseBoundingBoxes(f)
	case acquisition.StructuredLabelsName:
		l.segments, err = acquisition.ParseStructuredLabels(f)
	default:
		l.listed = make(map[string]acquisition.ManifestFile)
		err = acquisition.ReadManifest(f, func(m acquisition.ManifestFile) error {
			l.listed[path.Clean(m.Path)] = m
			return nil
		})
	}
	return err
}

func (l *labelFiles) keep(path string, fresh *labelFile) {
	if old := l.read[path]; old != nil {
		l.files -= old.size()
	}
	if l.read == nil || l.files+fresh.size() > labelFilesLimit {
		l.read, l.files = make(map[string]*labelFile), 0
	}
	l.read[path] = fresh
	l.files += fresh.size()
}

// sweep forgets label files that are gone.
func (l *labelFiles) sweep(there map[string]stamp) {
	for path, old := range l.read {
		if _, ok := there[path]; !ok {
			l.files -= old.size()
			delete(l.read, path)
		}
	}
}
