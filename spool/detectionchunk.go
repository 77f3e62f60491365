package spool

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Detections are kept some at a time, as the value of one key, in two parts:
// rows of what the history is filtered and ordered by, whose texts stand once in
// front of them, and behind them the findings. So a filter reads short rows and
// unpacks no finding.
const (
	detectionVersion = 1
	detectionHeader  = 64
	// detectionsPerChunk and detectionBytes bound a chunk, and detectionLimit
	// what one detection takes.
	detectionsPerChunk = 256
	detectionBytes     = 64 << 10
	detectionLimit     = 32 << 10
	detectionTags      = 64
)

// The flags of a chunk of detections.
const (
	rowsPacked     = 1 << 0
	findingsPacked = 1 << 1
)

// A detectionHead says what is in a chunk of detections, so that one in which
// nothing can match is passed over unread.
type detectionHead struct {
	flags             byte
	count             int
	first, last       uint64 // ids
	from, to          int64  // of At, ns since 1970
	lowest, highest   float64
	rows, rowsPlain   int // bytes
	findings, findRaw int
}

// findings is what only the detection itself shows.
type findings struct {
	Sequence uint64           `cbor:"1,keyasint,omitempty"`
	SHA256   []byte           `cbor:"2,keyasint,omitempty"`
	Labels   []PredictedLabel `cbor:"3,keyasint,omitempty"`
	Checks   []Check          `cbor:"4,keyasint,omitempty"`
	Reasons  []string         `cbor:"5,keyasint,omitempty"`
}

// detectionKey names a chunk of detections in its store.
func detectionKey(first, last uint64) []byte {
	key := binary.BigEndian.AppendUint64([]byte{detectionKind}, first)
	return binary.BigEndian.AppendUint64(key, last)
}

const detectionKind = 'd'

// encodeDetections packs detections, whose ids rise, into one value.
func encodeDetections(c *codec, all []Detection, pack bool) ([]byte, error) {
	h := detectionHead{count: len(all), first: all[0].ID, last: all[len(all)-1].ID}
	h.from, h.lowest, h.to, h.highest = math.MaxInt64, math.Inf(1), math.MinInt64, math.Inf(-1)
	texts := newTextTable()
	var rows, found []byte
	id, at := h.first, all[0].At.UnixNano()
	base := at
	for i := range all {
		d := &all[i]
		data, err := packFindings(d)
		if err != nil {
			return nil, err
		}
		found = append(found, data...)
		ns := d.At.UnixNano()
		rows = appendCount(rows, d.ID-id)
		rows = binary.AppendVarint(rows, ns-at)
		rows = appendRow(rows, d, texts, len(data))
		id, at = d.ID, ns
		h.from, h.to = min(h.from, ns), max(h.to, ns)
		h.lowest, h.highest = min(h.lowest, d.Score), max(h.highest, d.Score)
	}
	rows = append(texts.append(binary.AppendVarint(nil, base)), rows...)
	h.rowsPlain, h.findRaw = len(rows), len(found)
	if pack && len(rows)+len(found) >= 256 {
		rows = packWhereWorth(c, rows, rowsPacked, &h.flags)
		found = packWhereWorth(c, found, findingsPacked, &h.flags)
	}
	h.rows, h.findings = len(rows), len(found)
	return append(append(h.append(make([]byte, 0, detectionHeader+len(rows)+len(found))), rows...), found...), nil
}

func packWhereWorth(c *codec, plain []byte, flag byte, flags *byte) []byte {
	packed := c.enc.EncodeAll(plain, nil)
	if len(packed) > worthIt(len(plain)) {
		return plain
	}
	*flags |= flag
	return packed
}

func packFindings(d *Detection) ([]byte, error) {
	f := findings{Sequence: d.Sequence, Labels: d.Labels, Checks: d.Checks, Reasons: d.Reasons}
	if d.SHA256 != ([32]byte{}) {
		f.SHA256 = d.SHA256[:]
	}
	data, err := cbor.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("pack detection: %w", err)
	}
	return data, nil
}

// appendRow appends a row without its id and time.
func appendRow(b []byte, d *Detection, texts *textTable, found int) []byte {
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(d.Score))
	b = binary.AppendVarint(b, d.Size)
	for _, text := range []string{d.Dataset, d.Name, d.ContentType, d.Source, d.Model, d.ModelVersion, d.Classification} {
		b = appendCount(b, texts.number(text))
	}
	names := make([]string, 0, len(d.Tags))
	for name := range d.Tags {
		names = append(names, name)
	}
	slices.Sort(names)
	b = appendCount(b, uint64(len(names)))
	for _, name := range names {
		b = appendCount(appendCount(b, texts.number(name)), texts.number(d.Tags[name]))
	}
	return appendCount(b, uint64(found))
}

// appendCount appends a uvarint. It is called in many places, none of them busy:
// not to have it in each saves a small board some KB.
//
//go:noinline
func appendCount(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

// A textTable numbers texts; 0 is the empty one.
type textTable struct {
	numbers map[string]uint64
	all     []string
}

func newTextTable() *textTable { return &textTable{numbers: map[string]uint64{"": 0}} }

func (t *textTable) number(text string) uint64 {
	n, known := t.numbers[text]
	if !known {
		t.all = append(t.all, text)
		n = uint64(len(t.all))
		t.numbers[text] = n
	}
	return n
}

// append writes the number of texts, their lengths, and the texts.
func (t *textTable) append(b []byte) []byte {
	b = appendCount(b, uint64(len(t.all)))
	for _, text := range t.all {
		b = appendCount(b, uint64(len(text)))
	}
	for _, text := range t.all {
		b = append(b, text...)
	}
	return b
}

func (h *detectionHead) append(b []byte) []byte {
	be := binary.BigEndian
	b = be.AppendUint16(append(b, detectionVersion, h.flags), uint16(h.count))
	for _, n := range [...]uint64{h.first, h.last, uint64(h.from), uint64(h.to), math.Float64bits(h.lowest), math.Float64bits(h.highest)} {
		b = be.AppendUint64(b, n)
	}
	for _, n := range [...]int{h.rows, h.rowsPlain, h.findRaw} {
		b = be.AppendUint32(b, uint32(n))
	}
	return b
}

// parseDetectionHead reads the head of a chunk of detections.
func parseDetectionHead(value []byte) (h detectionHead, err error) {
	if len(value) < detectionHeader {
		return h, fmt.Errorf("%w: detections are cut short", ErrDamaged)
	}
	if value[0] > detectionVersion {
		return h, fmt.Errorf("read detections of version %d: %w", value[0], ErrNewer)
	}
	be := binary.BigEndian
	h = detectionHead{
		flags: value[1], count: int(be.Uint16(value[2:])), first: be.Uint64(value[4:]), last: be.Uint64(value[12:]),
		from: int64(be.Uint64(value[20:])), to: int64(be.Uint64(value[28:])),
		lowest: math.Float64frombits(be.Uint64(value[36:])), highest: math.Float64frombits(be.Uint64(value[44:])),
		rows: int(be.Uint32(value[52:])), rowsPlain: int(be.Uint32(value[56:])), findRaw: int(be.Uint32(value[60:])),
	}
	h.findings = len(value) - detectionHeader - h.rows
	if value[0] == 0 || h.count == 0 || h.count > detectionsPerChunk || h.first == 0 || h.last < h.first ||
		h.rows < 0 || h.findings < 0 || h.rowsPlain > maxRaw || h.findRaw > maxRaw {
		return h, fmt.Errorf("%w: detections that cannot be", ErrDamaged)
	}
	return h, nil
}

// unpackPart gives a part of a chunk as it was before it was packed.
func unpackPart(c *codec, part []byte, packed bool, plain int, into []byte) ([]byte, error) {
	if !packed {
		if len(part) != plain {
			return nil, fmt.Errorf("%w: detections are not as long as they say", ErrDamaged)
		}
		return part, nil
	}
	out, err := c.dec.DecodeAll(part, into[:0])
	if err != nil || len(out) != plain {
		return nil, fmt.Errorf("%w: unpack detections: %v", ErrDamaged, err)
	}
	return out, nil
}

// detectionsIn unpacks the detections of a chunk that wanted picks by their ids.
func detectionsIn(c *codec, value []byte, wanted func(id uint64) bool) ([]Detection, error) {
	rows, err := openRows(c, value, nil)
	if err != nil {
		return nil, err
	}
	h := rows.head
	found, err := unpackPart(c, value[detectionHeader+h.rows:], h.flags&findingsPacked != 0, h.findRaw, nil)
	if err != nil {
		return nil, err
	}
	var all []Detection
	for rows.next() {
		if rows.found > uint64(len(found)) {
			return nil, fmt.Errorf("%w: detections without their findings", ErrDamaged)
		}
		data := found[:rows.found]
		found = found[rows.found:]
		if !wanted(rows.row.ID) {
			continue
		}
		d, err := rows.row.detection(data)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.err
}

// detection puts a row and its findings together, in memory of its own.
func (r *DetectionRow) detection(data []byte) (Detection, error) {
	var f findings
	if err := envelopeDec.Unmarshal(data, &f); err != nil {
		return Detection{}, fmt.Errorf("%w: findings of detection %d: %v", ErrDamaged, r.ID, err)
	}
	o := r.clone()
	d := Detection{
		ID: o.ID, Sequence: f.Sequence, Dataset: o.Dataset, Name: o.Name, ContentType: o.ContentType, Source: o.Source,
		Size: o.Size, Model: o.Model, ModelVersion: o.ModelVersion, Score: o.Score, Classification: o.Classification,
		Labels: f.Labels, Checks: f.Checks, Reasons: f.Reasons, At: time.Unix(0, o.at).UTC(),
	}
	copy(d.SHA256[:], f.SHA256)
	for _, t := range r.Tags {
		if d.Tags == nil {
			d.Tags = make(map[string]string, len(r.Tags))
		}
		d.Tags[string([]byte(t.Name))] = string([]byte(t.Value))
	}
	return d, nil
}
