package listener

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// The label files that only requests have; the others are in acquisition.
const (
	labelMapName    = "label_map.labels"
	attachmentsName = "attachments.labels"
)

// Bounds of what goes along with the files of a request.
const (
	mostLabelBytes    = 4 << 20   // of one label file
	mostAttachedBytes = 512 << 10 // of the attachments of one file: half of what a record may say
	mostAttachedInAll = 8 << 20   // of those of all files, which are in memory
)

// labelFiles is what the label files of a request say, by file name. They
// may stand before or behind the files.
type labelFiles struct {
	boxes    map[string][]acquisition.Box
	segments map[string][]acquisition.Segment
	maps     map[string]labelMap
	// attached names the parts that belong to a file.
	attached map[string][]attachment
	// held counts the bytes of attachments taken so far.
	held int64
}

type attachment struct {
	FileName string `json:"filename"`
}

// A labelMap is what label_map.labels says of one file: pairs, or a list.
type labelMap struct {
	pairs map[string]string
	list  []string
}

// UnmarshalJSON takes an object of strings or a list of strings.
func (m *labelMap) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &m.list) == nil {
		return nil
	}
	m.list = nil
	return json.Unmarshal(text, &m.pairs)
}

func isLabelFile(name string) bool {
	switch name {
	case acquisition.BoundingBoxesName, acquisition.StructuredLabelsName, labelMapName, attachmentsName:
		return true
	}
	return false
}

// read takes one label file. A later one of the same name replaces it. It is
// read whole before it is parsed: a JSON decoder that gets its text in small
// pieces looks at long blanks again for each of them.
func (l *labelFiles) read(p *multipart.Part) *refusal {
	text, err := io.ReadAll(io.LimitReader(p, mostLabelBytes+1))
	switch {
	case err != nil:
		return bodyRefusal(err)
	case len(text) > mostLabelBytes:
		return refuse(http.StatusRequestEntityTooLarge, "%s is larger than %d bytes", p.FileName(), mostLabelBytes)
	}
	switch p.FileName() {
	case acquisition.BoundingBoxesName:
		l.boxes, err = acquisition.ParseBoundingBoxes(bytes.NewReader(text))
	case acquisition.StructuredLabelsName:
		l.segments, err = acquisition.ParseStructuredLabels(bytes.NewReader(text))
	case labelMapName:
		err = readLabels(text, "label-map-labels", "labels", &l.maps)
	case attachmentsName:
		err = readLabels(text, "attachments", "attachments", &l.attached)
	}
	if err != nil {
		// The words are those of the service; what follows is for people.
		return refuse(http.StatusBadRequest, "Invalid type (%v)", err)
	}
	return nil
}

// readLabels reads a label file of version 1 and the given type into what
// its key holds.
func readLabels(text []byte, kind, key string, into any) error {
	var head struct {
		Version int    `json:"version"`
		Type    string `json:"type"`
	}
	var keys map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &head), json.Unmarshal(text, &keys)); err != nil {
		return err
	}
	if head.Version != 1 || head.Type != kind || keys[key] == nil {
		return fmt.Errorf("version %d of type %q, expected version 1 of type %q with %s", head.Version, head.Type, kind, key)
	}
	return json.Unmarshal(keys[key], into)
}

// split takes the parts that belong to a file as its attachments out of the
// files. What has attachments of its own is a file.
func (l *labelFiles) split(files []file) (attached map[string]file, rest []file) {
	if len(l.attached) == 0 {
		return nil, files
	}
	attached = make(map[string]file)
	for _, list := range l.attached {
		for _, a := range list {
			attached[a.FileName] = file{}
		}
	}
	rest = slices.DeleteFunc(files, func(f file) bool {
		_, ok := attached[f.name]
		if !ok || l.attached[f.name] != nil {
			return false
		}
		attached[f.name] = f
		return true
	})
	return attached, rest
}

// apply puts what the label files say of a file into its record.
func (l *labelFiles) apply(name string, rec *spool.Record) error {
	for _, s := range l.segments[name] {
		rec.Label.Segments = append(rec.Label.Segments, spool.Segment(s))
	}
	if boxes, ok := l.boxes[name]; ok {
		if err := setBoxes(rec, boxes); err != nil {
			return err
		}
	}
	said := l.maps[name]
	rec.Label.Pairs = said.pairs
	if len(said.list) == 0 {
		return nil
	}
	// A list has no place in a label, and goes along as it came.
	return goAlong(rec, labelMapName, "label-map-labels", "labels", said.list)
}

// setBoxes marks the objects in an image. That there are none is a label as
// well, which only the label file itself can say.
func setBoxes(rec *spool.Record, boxes []acquisition.Box) error {
	rec.Label.Boxes = nil
	for _, b := range boxes {
		rec.Label.Boxes = append(rec.Label.Boxes, spool.Box(b))
	}
	if len(boxes) > 0 {
		return nil
	}
	text, err := acquisition.BoundingBoxes(rec.Name, nil)
	if err != nil {
		return err
	}
	rec.Companions = append(rec.Companions, spool.Companion{
		Name: acquisition.BoundingBoxesName, ContentType: acquisition.ContentType(acquisition.BoundingBoxesName), Bytes: text})
	return nil
}

// goAlong lets a label file about one record travel with it, under the name
// that the record goes by.
func goAlong(rec *spool.Record, name, kind, key string, value any) error {
	text, err := json.Marshal(map[string]any{"version": 1, "type": kind, key: map[string]any{rec.Name: value}})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	rec.Companions = append(rec.Companions, spool.Companion{Name: name, ContentType: acquisition.ContentType(name), Bytes: text})
	return nil
}

// attach lets the attachments of a file travel with its record.
func (l *labelFiles) attach(name string, rec *spool.Record, attached map[string]file) error {
	list := l.attached[name]
	if len(list) == 0 {
		return nil
	}
	if err := goAlong(rec, attachmentsName, "attachments", "attachments", list); err != nil {
		return err
	}
	size := int64(0)
	for _, a := range list {
		f, ok := attached[a.FileName]
		switch {
		case !ok || f.name == "":
			return fileFault(fmt.Sprintf("Its attachment %q is not in the request", a.FileName))
		case f.fault != "":
			return fileFault(fmt.Sprintf("Its attachment %q: %s", a.FileName, f.fault))
		}
		size += f.body.Size()
		if l.held += f.body.Size(); size > mostAttachedBytes || l.held > mostAttachedInAll {
			return fileFault(fmt.Sprintf("Its attachments are too large, the limit is %d bytes", mostAttachedBytes))
		}
		text, err := readBody(f.body)
		if err != nil {
			return fmt.Errorf("read attachment %q: %w", a.FileName, err)
		}
		rec.Companions = append(rec.Companions, spool.Companion{Name: f.name, ContentType: f.contentType, Bytes: text})
	}
	return nil
}

func readBody(b spool.Body) ([]byte, error) {
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
