package acquisition

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// ParseBoundingBoxes reads a bounding_boxes.labels file: the boxes of each
// image by file name. An empty list means that the image shows background.
// Limits are those of ParseManifest.
func ParseBoundingBoxes(r io.Reader) (map[string][]Box, error) {
	return parseCompanion(r, companion{BoundingBoxesName, "bounding-box-labels", "boundingBoxes"}, checkBoxes)
}

// ParseStructuredLabels reads a structured_labels.labels file: the labelled
// stretches of each sample by file name. CheckSegments tells whether they fit
// a sample. Limits are those of ParseManifest.
func ParseStructuredLabels(r io.Reader) (map[string][]Segment, error) {
	return parseCompanion(r, companion{StructuredLabelsName, "structured-labels", "structuredLabels"}, checkSegments)
}

// A companion names one kind of label file: file name, type, and the key that
// the labels stand under.
type companion struct{ name, kind, key string }

func parseCompanion[T any](r io.Reader, c companion, check func([]T) error) (map[string][]T, error) {
	l := newLabelReader(r)
	labels := make(map[string][]T)
	var version, kind bool
	err := l.object(func(key string) error {
		switch key {
		case "version":
			version = true
			return l.version()
		case "type":
			kind = true
			var got string
			if err := l.value(&got); err != nil {
				return err
			}
			if got != c.kind {
				return fmt.Errorf("%w: type %q instead of %q", ErrLabelFile, got, c.kind)
			}
			return nil
		case c.key:
			return l.object(func(file string) error {
				list, err := parseLabels(l, file, check)
				labels[file] = list
				return err
			})
		}
		return l.skip()
	})
	switch {
	case err != nil:
	case !version || !kind:
		err = fmt.Errorf("%w: no version or no type", ErrLabelFile)
	default:
		err = l.end()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.name, err)
	}
	return labels, nil
}

func parseLabels[T any](l *labelReader, file string, check func([]T) error) ([]T, error) {
	raw, err := l.oneFile()
	if err != nil {
		return nil, err
	}
	list := []T{}
	if err = json.Unmarshal(raw, &list); err == nil {
		err = check(list)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLabelFile, file, err)
	}
	return nonNil(list), nil
}

func checkBoxes(boxes []Box) error {
	for i, b := range boxes {
		if !(b.Width > 0) || !(b.Height > 0) || math.IsInf(b.Width, 0) || math.IsInf(b.Height, 0) {
			return fmt.Errorf("box %d is %v by %v pixels", i+1, b.Width, b.Height)
		}
	}
	return nil
}

// BoundingBoxes is the bounding_boxes.labels companion that goes with one
// image in its request; no boxes mean background.
func BoundingBoxes(fileName string, boxes []Box) ([]byte, error) {
	if err := checkBoxes(boxes); err != nil {
		return nil, fmt.Errorf("write %s: %s: %w", BoundingBoxesName, fileName, err)
	}
	return marshalJSON(struct {
		Version int              `json:"version"`
		Type    string           `json:"type"`
		Boxes   map[string][]Box `json:"boundingBoxes"`
	}{1, "bounding-box-labels", map[string][]Box{fileName: nonNil(boxes)}})
}

// StructuredLabels is the structured_labels.labels companion that goes with
// one sample in its request.
func StructuredLabels(fileName string, segments []Segment) ([]byte, error) {
	if err := checkSegments(segments); err != nil {
		return nil, fmt.Errorf("write %s: %s: %w", StructuredLabelsName, fileName, err)
	}
	return marshalJSON(struct {
		Version  int                  `json:"version"`
		Type     string               `json:"type"`
		Segments map[string][]Segment `json:"structuredLabels"`
	}{1, "structured-labels", map[string][]Segment{fileName: nonNil(segments)}})
}
