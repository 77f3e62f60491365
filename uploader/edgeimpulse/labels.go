package edgeimpulse

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// A labelKind is one kind of label file that rides in a request: its fixed
// name, its type, and the key under which labels stand by file name.
type labelKind struct{ file, kind, key string }

var labelKinds = [...]labelKind{
	{acquisition.BoundingBoxesName, "bounding-box-labels", "boundingBoxes"},
	{acquisition.StructuredLabelsName, "structured-labels", "structuredLabels"},
	{"label_map.labels", "label-map-labels", "labels"},
	{"attachments.labels", "attachments", "attachments"},
}

// attachmentsKind is the place of attachments.labels in labelKinds.
const attachmentsKind = 3

// labelFiles gathers what the label files of one request say, by kind and
// file name. The zero value is empty.
type labelFiles [len(labelKinds)]map[string]json.RawMessage

func hasLabelFiles(rec *spool.Record) bool {
	return len(rec.Companions) > 0 || len(rec.Label.Boxes) > 0 || len(rec.Label.Segments) > 0 || len(rec.Label.Pairs) > 0
}

func (l *labelFiles) empty() bool {
	for _, labels := range l {
		if len(labels) > 0 {
			return false
		}
	}
	return true
}

// add takes a record's labels under the name that it goes by. What came as a
// label file of its own wins.
func (l *labelFiles) add(rec *spool.Record, name string) {
	if len(rec.Label.Boxes) > 0 {
		boxes := make([]acquisition.Box, len(rec.Label.Boxes))
		for i, b := range rec.Label.Boxes {
			boxes[i] = acquisition.Box(b)
		}
		l.put(0, name, boxes)
	}
	if len(rec.Label.Segments) > 0 {
		segments := make([]acquisition.Segment, len(rec.Label.Segments))
		for i, s := range rec.Label.Segments {
			segments[i] = acquisition.Segment(s)
		}
		l.put(1, name, segments)
	}
	if len(rec.Label.Pairs) > 0 {
		l.put(2, name, rec.Label.Pairs)
	}
	for _, c := range rec.Companions {
		l.adopt(rec, c, name)
	}
	if attached := attachments(rec); len(attached) > 0 {
		l.put(attachmentsKind, name, attached)
	}
}

func (l *labelFiles) put(kind int, name string, labels any) {
	if l[kind] == nil {
		l[kind] = make(map[string]json.RawMessage)
	}
	if raw, ok := labels.(json.RawMessage); ok {
		l[kind][name] = raw
		return
	}
	if raw, err := json.Marshal(labels); err == nil {
		l[kind][name] = raw
	}
}

// adopt takes the record's part out of a label file that came with it.
// Attachments have names of their own, and are seen to by themselves.
func (l *labelFiles) adopt(rec *spool.Record, c spool.Companion, name string) {
	for kind, k := range labelKinds[:attachmentsKind] {
		if raw := k.about(rec, c); raw != nil {
			l.put(kind, name, raw)
		}
	}
}

// about is what a companion of this kind says of its record; nil: nothing.
func (k labelKind) about(rec *spool.Record, c spool.Companion) json.RawMessage {
	var file, labels map[string]json.RawMessage
	if c.Name != k.file || json.Unmarshal(c.Bytes, &file) != nil || json.Unmarshal(file[k.key], &labels) != nil {
		return nil
	}
	if raw, ok := labels[rec.Name]; ok || len(labels) != 1 {
		return raw
	}
	for _, raw := range labels {
		return raw
	}
	return nil
}

// addTo adds the label files as the last parts of the form. They get no place
// in the answer.
func (l *labelFiles) addTo(f *form) {
	for kind, labels := range l {
		if len(labels) == 0 {
			continue
		}
		k := labelKinds[kind]
		text, err := json.Marshal(map[string]any{"version": 1, "type": k.kind, k.key: labels})
		if err != nil {
			continue // every value was valid JSON when it was taken
		}
		f.add(k.file, "application/json", part{size: int64(len(text)), record: -1, open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(text)), nil
		}})
	}
}
