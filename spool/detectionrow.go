package spool

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A DetectionRow is what a detection can be filtered and ordered by. Its texts
// and tags are good until the function that was given it returns.
type DetectionRow struct {
	ID             uint64
	Score          float64
	Size           int64
	Dataset        string
	Name           string
	ContentType    string
	Source         string
	Model          string
	ModelVersion   string
	Classification string
	Tags           []DetectionTag // in the order of their names

	at int64
}

// A DetectionTag is one of a detection's free pairs.
type DetectionTag struct{ Name, Value string }

// At is when it was judged.
func (r *DetectionRow) At() time.Time { return time.Unix(0, r.at).UTC() }

// Tag is the value of a tag.
func (r *DetectionRow) Tag(name string) (value string, ok bool) {
	for _, t := range r.Tags {
		if t.Name == name {
			return t.Value, true
		}
	}
	return "", false
}

// clone is the row without its tags, in one piece of memory of its own.
func (r *DetectionRow) clone() *DetectionRow {
	o := *r
	o.Tags = nil
	texts := [...]*string{&o.Dataset, &o.Name, &o.ContentType, &o.Source, &o.Model, &o.ModelVersion, &o.Classification}
	var all strings.Builder
	for _, text := range texts {
		all.WriteString(*text)
	}
	rest := all.String()
	for _, text := range texts {
		*text, rest = rest[:len(*text)], rest[len(*text):]
	}
	return &o
}

// detectionRows reads the rows of a chunk one after the other.
type detectionRows struct {
	head  detectionHead
	texts []string
	data  []byte
	left  int
	row   DetectionRow
	found uint64 // bytes of the row's findings
	err   error
	tags  [detectionTags]DetectionTag
	plain []byte
}

// openRows unpacks the rows of a chunk; reuse, if not nil, gives its memory.
func openRows(c *codec, value []byte, reuse *detectionRows) (*detectionRows, error) {
	h, err := parseDetectionHead(value)
	if err != nil {
		return nil, err
	}
	r := reuse
	if r == nil {
		r = &detectionRows{}
	}
	rows, err := unpackPart(c, value[detectionHeader:detectionHeader+h.rows], h.flags&rowsPacked != 0, h.rowsPlain, r.plain)
	if err != nil {
		return nil, err
	}
	if h.flags&rowsPacked != 0 {
		r.plain = rows
	}
	r.head, r.left, r.err = h, h.count, nil
	in := chunkReader{data: rows}
	at := in.varint()
	if err := r.readTexts(&in); err != nil {
		return nil, err
	}
	r.data, r.row = in.data, DetectionRow{ID: h.first, at: at}
	return r, nil
}

// readTexts reads the texts of a chunk into one piece of memory.
func (r *detectionRows) readTexts(in *chunkReader) error {
	n := in.uvarint()
	if n > uint64(len(in.data)) {
		in.fail()
		n = 0
	}
	lengths := chunkReader{data: in.data, err: in.err}
	total := uint64(0)
	for range n {
		length := in.uvarint()
		if total += length; length > maxRaw || total > maxRaw {
			in.fail()
			break
		}
	}
	all := string(in.bytes(total))
	r.texts = append(slices.Grow(r.texts[:0], int(n)+1), "")
	if in.err != nil {
		return in.err
	}
	for range n {
		length := lengths.uvarint()
		r.texts = append(r.texts, all[:length])
		all = all[length:]
	}
	return nil
}

// next reads the next row; false at the end, or where err says why.
func (r *detectionRows) next() bool {
	if r.left == 0 || r.err != nil {
		return false
	}
	r.left--
	in := chunkReader{data: r.data}
	row := &r.row
	row.ID += in.uvarint()
	row.at += in.varint()
	if score := in.bytes(8); in.err == nil {
		row.Score = math.Float64frombits(binary.BigEndian.Uint64(score))
	}
	row.Size = in.varint()
	for _, text := range [...]*string{&row.Dataset, &row.Name, &row.ContentType, &row.Source, &row.Model, &row.ModelVersion, &row.Classification} {
		*text = r.text(&in)
	}
	tags := in.uvarint()
	if tags > detectionTags {
		in.fail()
		tags = 0
	}
	row.Tags = r.tags[:tags]
	for i := range row.Tags {
		row.Tags[i] = DetectionTag{r.text(&in), r.text(&in)}
	}
	r.found = in.uvarint()
	r.data = in.data
	last := r.left == 0
	if in.err != nil || last && row.ID != r.head.last || row.ID < r.head.first || row.ID > r.head.last {
		r.err = fmt.Errorf("%w: a row of detections that cannot be", ErrDamaged)
		return false
	}
	return true
}

func (r *detectionRows) text(in *chunkReader) string {
	var n uint64
	if len(in.data) > 0 && in.data[0] < 0x80 { // of one byte, as most are
		n, in.data = uint64(in.data[0]), in.data[1:]
	} else {
		n = in.uvarint()
	}
	if n >= uint64(len(r.texts)) {
		in.fail()
		return ""
	}
	return r.texts[n]
}
