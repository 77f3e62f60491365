package spool

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The plain body of a chunk is its records one after the other, each
//
//	sequence (uvarint, less that of the record before)
//	created_at (varint, ns, less that of the record before)
//	length and bytes of the envelope (CBOR with integer keys)
//	2 and length of the body, which comes behind the last record, or
//	1 and the 8-byte id of a staged body and its runs: number of runs, and for
//	  each run segment (first sequence, ordinal), first part, number of parts
//
// and then the bodies one after the other. Envelopes are much alike and bodies
// often like noise, so the two stretches are compressed one by one.
const (
	bodyHere   = 0 // length and bytes; no more written
	bodyParts  = 1
	bodyBehind = 2

	// inlineLimit is the largest body that rides in its chunk; larger ones
	// are kept in parts.
	inlineLimit = 64 << 10
	// partBytes is the size of a part of a large body.
	partBytes = 256 << 10
	// envelopeLimit bounds the metadata, labels and companions of a record.
	envelopeLimit = 1 << 20
	// envelopeUsual is what most of them take.
	envelopeUsual = 320
	// sliceBytes is how much goes into one transaction before the next.
	sliceBytes = 384 << 10
	// sliceRecords bounds what one transaction's chunks may hold in number,
	// and sliceSets the chunks, as Badger bounds the keys of a transaction.
	sliceRecords = 4096
	sliceSets    = 256
)

// A segmentID names a segment: the sequence that came next when it was begun,
// and an ordinal where earlier segments took parts only and no record.
type segmentID struct {
	First uint64 `cbor:"1,keyasint"`
	Ord   uint32 `cbor:"2,keyasint,omitempty"`
}

func (id segmentID) before(o segmentID) bool {
	return id.First < o.First || id.First == o.First && id.Ord < o.Ord
}

// A partRun says where consecutive parts of a body are.
type partRun struct {
	segment segmentID
	from    uint32
	count   uint32
}

// A partList says where a whole body is.
type partList struct {
	id   string
	runs []partRun
}

// oldest is the first segment that the body needs.
func (p partList) oldest() segmentID { return p.runs[0].segment }

var (
	envelopeEnc = must(cbor.EncOptions{Time: cbor.TimeRFC3339Nano, NilContainers: cbor.NilContainerAsNull}.EncMode())
	// Names and labels may come from file names, which are bytes.
	envelopeDec = must(cbor.DecOptions{
		MaxNestedLevels: 16, MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20, UTF8: cbor.UTF8DecodeInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options written in this file; no input reaches them
	}
	return v
}

// A pending record is one on its way into a chunk.
type pending struct {
	rec      Record // for questions about it until it is durable
	envelope []byte
	sequence uint64
	created  int64
	aged     int64    // the spool's age when it came; see ownTime
	inline   []byte   // body, if small
	parts    partList // where the body is, if not
	large    *memoryBody
}

// weight is about what the record takes in its chunk.
func (p *pending) weight() int { return len(p.envelope) + len(p.inline) + 64 }

// encodeChunk makes the block of one dataset's records, which are in order. Its
// body is in the arena.
func encodeChunk(dataset string, recs []*pending, a *arena) *block {
	first := recs[0]
	b := &block{
		kind: kindChunk, name: dataset, first: first.sequence, last: recs[len(recs)-1].sequence,
		count: uint32(len(recs)), created: first.created,
	}
	size := 0
	for _, p := range recs {
		size += p.weight()
	}
	raw := a.take(size)
	var seq uint64
	var created int64
	for _, p := range recs {
		b.bytes += p.rec.Size
		raw = binary.AppendUvarint(raw, p.sequence-seq)
		raw = binary.AppendVarint(raw, p.created-created)
		seq, created = p.sequence, p.created
		raw = binary.AppendUvarint(raw, uint64(len(p.envelope)))
		raw = append(raw, p.envelope...)
		if p.parts.id == "" {
			raw = binary.AppendUvarint(append(raw, bodyBehind), uint64(len(p.inline)))
			continue
		}
		raw = append(append(raw, bodyParts), p.parts.id...)
		raw = binary.AppendUvarint(raw, uint64(len(p.parts.runs)))
		for _, r := range p.parts.runs {
			raw = binary.AppendUvarint(raw, r.segment.First)
			raw = binary.AppendUvarint(raw, uint64(r.segment.Ord))
			raw = binary.AppendUvarint(raw, uint64(r.from))
			raw = binary.AppendUvarint(raw, uint64(r.count))
		}
	}
	b.split = len(raw)
	for _, p := range recs {
		raw = append(raw, p.inline...)
	}
	b.raw = raw
	return b
}

// A stored record is one as its chunk has it, its envelope still packed.
type stored struct {
	sequence uint64
	created  int64
	envelope []byte
	inline   []byte
	parts    partList
}

// decodeChunk takes a chunk's plain body apart; the slices share its memory.
func decodeChunk(b *block) ([]stored, error) {
	recs, err := readRecords(b)
	switch {
	case err != nil:
		return nil, err
	case len(recs) == 0 || len(recs) != int(b.count) || recs[0].sequence != b.first || recs[len(recs)-1].sequence != b.last:
		return nil, fmt.Errorf("%w: chunk does not hold the records that it names", ErrDamaged)
	}
	return recs, nil
}

// readRecords takes records off a chunk's plain body as far as it can be read.
func readRecords(b *block) ([]stored, error) {
	r := chunkReader{data: b.raw}
	recs := make([]stored, 0, min(b.count, sliceRecords))
	behind := make([]uint64, 0, cap(recs)) // lengths of the bodies behind the last record
	var seq uint64
	var created int64
	for range b.count {
		seq += r.uvarint()
		created += r.varint()
		s := stored{sequence: seq, created: created, envelope: r.bytes(r.uvarint())}
		length := uint64(0)
		switch kind := r.bytes(1); {
		case r.err != nil:
		case kind[0] == bodyParts:
			s.parts = r.partList()
		case kind[0] == bodyBehind:
			length = r.uvarint()
		case kind[0] == bodyHere:
			s.inline = r.bytes(r.uvarint())
		default:
			r.fail()
		}
		if r.err != nil {
			break
		}
		recs, behind = append(recs, s), append(behind, length)
	}
	for i, length := range behind {
		if length == 0 {
			continue
		}
		if recs[i].inline = r.bytes(length); r.err != nil {
			return recs[:i], r.err
		}
	}
	if len(r.data) > 0 {
		r.fail()
	}
	return recs, r.err
}

// record unpacks the envelope.
func (s *stored) record() (Record, error) {
	var r Record
	if err := envelopeDec.Unmarshal(s.envelope, &r); err != nil {
		return Record{}, fmt.Errorf("%w: envelope of record %d: %v", ErrDamaged, s.sequence, err)
	}
	r.Sequence, r.CreatedAt = s.sequence, time.Unix(0, s.created).UTC()
	return r, nil
}

// A chunkReader reads fields until one is missing; then it has an error and
// gives zeros.
type chunkReader struct {
	data []byte
	err  error
}

func (r *chunkReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	return r.advance(v, n)
}

func (r *chunkReader) varint() int64 {
	v, n := binary.Varint(r.data)
	return int64(r.advance(uint64(v), n))
}

func (r *chunkReader) advance(v uint64, n int) uint64 {
	if n <= 0 || r.err != nil {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *chunkReader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *chunkReader) partList() partList {
	p := partList{id: string(r.bytes(8))}
	n := r.uvarint()
	for i := uint64(0); i < n && r.err == nil; i++ {
		run := partRun{segment: segmentID{First: r.uvarint(), Ord: uint32(r.uvarint())}}
		run.from, run.count = uint32(r.uvarint()), uint32(r.uvarint())
		p.runs = append(p.runs, run)
	}
	if len(p.runs) == 0 {
		r.fail()
	}
	return p
}

func (r *chunkReader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("%w: chunk ends inside a record", ErrDamaged)
	}
}
