package acquisition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// The file names that label files have beside the samples.
const (
	ManifestName         = "info.labels"
	BoundingBoxesName    = "bounding_boxes.labels"
	StructuredLabelsName = "structured_labels.labels"
)

// What label files may hold, so that a hostile one costs bounded memory.
const (
	maxLabelFile  = 64 << 20 // bytes of a whole label file
	maxLabelFiles = 200_000  // files that one label file speaks of
	maxLabelText  = 1 << 20  // bytes about one of them
)

// ErrLabelFile is what errors.Is finds in every complaint about a label file
// that could be read but does not say what it should.
var ErrLabelFile = errors.New("label file is not as it should be")

// A Manifest is an info.labels file: which files there are and what they show.
type Manifest struct {
	Files []ManifestFile
}

// A ManifestFile is what a manifest says of one file.
type ManifestFile struct {
	// Path leads to the file from the manifest's folder, with slashes; the
	// parser makes sure that it stays inside.
	Path string `json:"path"`
	// Name is what the sample is to be called; the uploader adds the
	// extension of Path. Empty: the last element of Path.
	Name string `json:"name,omitempty"`
	// Category is training, testing, validation, post-processing, anomaly
	// or split, as written; empty if the manifest does not say.
	Category string            `json:"category"`
	Label    Label             `json:"label"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// Boxes mark objects in an image; empty and not nil means background.
	Boxes []Box `json:"boundingBoxes,omitzero"`
	// Attachments are paths like Path.
	Attachments []string `json:"attachments,omitempty"`
}

// ParseManifest reads an info.labels file: version 1, as one JSON object or in
// the line form that large exports have. A manifest of more than 64 MiB, of
// more than 200,000 files or with more than 1 MiB about one file is refused.
func ParseManifest(r io.Reader) (Manifest, error) {
	var m Manifest
	err := ReadManifest(r, func(f ManifestFile) error {
		m.Files = append(m.Files, f)
		return nil
	})
	if err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// ReadManifest is ParseManifest for manifests that should not be in memory as
// a whole: each is called with one file after another, and its error ends the
// reading and is returned. Faults that show late come after calls to each.
func ReadManifest(r io.Reader, each func(ManifestFile) error) error {
	l := newLabelReader(r)
	take := func(raw json.RawMessage) error {
		f, err := parseManifestFile(raw)
		if err != nil {
			return fmt.Errorf("%w: file %d: %w", ErrLabelFile, l.count, err)
		}
		return each(f)
	}
	var header struct{ version, files, lines bool }
	err := l.object(func(key string) error {
		switch key {
		case "version":
			header.version = true
			return l.version()
		case "__ndjson":
			return l.value(&header.lines)
		case "files":
			header.files = true
			return l.list(take)
		}
		return l.skip()
	})
	switch {
	case err != nil:
	case !header.version:
		err = fmt.Errorf("%w: no version", ErrLabelFile)
	case header.lines:
		err = l.lines("files", take)
	case !header.files:
		err = fmt.Errorf("%w: no files", ErrLabelFile)
	default:
		err = l.end()
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", ManifestName, err)
	}
	return nil
}

func parseManifestFile(raw json.RawMessage) (ManifestFile, error) {
	var wire struct {
		ManifestFile
		Metadata map[string]looseText `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return ManifestFile{}, err
	}
	f := wire.ManifestFile
	if f.Label.Type == "" {
		f.Label.Type = LabelNone
	}
	if len(wire.Metadata) > 0 {
		f.Metadata = make(map[string]string, len(wire.Metadata))
		for k, v := range wire.Metadata {
			f.Metadata[k] = string(v)
		}
	}
	if f.Path == "" {
		return ManifestFile{}, errors.New("no path")
	}
	for _, p := range append([]string{f.Path}, f.Attachments...) {
		if !filepath.IsLocal(filepath.FromSlash(p)) {
			return ManifestFile{}, fmt.Errorf("path %q leaves the folder of the manifest", p)
		}
	}
	if err := checkBoxes(f.Boxes); err != nil {
		return ManifestFile{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	return f, nil
}

// looseText takes numbers and truth values as they are written, since people
// write {"site": 4} by hand.
type looseText string

func (t *looseText) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case '{', '[':
		return errors.New("metadata may hold texts only")
	case '"', 'n':
		return json.Unmarshal(raw, (*string)(t)) // null leaves it empty
	}
	*t = looseText(raw)
	return nil
}

// WriteTo writes the manifest as one JSON object, a file a line.
func (m Manifest) WriteTo(w io.Writer) (int64, error) {
	mw := NewManifestWriter(w)
	for _, f := range m.Files {
		if err := mw.Add(f); err != nil {
			return mw.written, err
		}
	}
	return mw.written, mw.Close()
}

// A ManifestWriter writes a manifest file by file, so that a large one is
// never whole in memory. Nothing is buffered: give it a bufio.Writer.
type ManifestWriter struct {
	w       io.Writer
	written int64
	begun   bool
}

// NewManifestWriter starts a manifest on w; Close ends it.
func NewManifestWriter(w io.Writer) *ManifestWriter { return &ManifestWriter{w: w} }

// Add writes one file.
func (m *ManifestWriter) Add(f ManifestFile) error {
	text, err := marshalJSON(f)
	if err != nil {
		return fmt.Errorf("write %s: %s: %w", ManifestName, f.Path, err)
	}
	return m.write(append(m.separator(), text...))
}

// Close ends the manifest; it does not close the writer.
func (m *ManifestWriter) Close() error {
	end := []byte("\n]}\n")
	if !m.begun {
		end = []byte(`{"version":1,"files":[]}` + "\n")
	}
	return m.write(end)
}

func (m *ManifestWriter) separator() []byte {
	if m.begun {
		return []byte(",\n")
	}
	m.begun = true
	return []byte(`{"version":1,"files":[` + "\n")
}

func (m *ManifestWriter) write(b []byte) error {
	n, err := m.w.Write(b)
	m.written += int64(n)
	if err != nil {
		return fmt.Errorf("write %s: %w", ManifestName, err)
	}
	return nil
}

// marshalJSON writes <, > and & as they are, as the vendor's clients do.
func marshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
