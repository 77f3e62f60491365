package acquisition

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// binaryPrefix begins the only value of a document whose samples stand behind
// it; the element type follows.
const binaryPrefix = "Ref-BINARY-"

// reference reads the text that says which samples stand behind the document.
func (p *parser) reference() {
	text := p.text("a value")
	tag, ok := strings.CutPrefix(strings.TrimRight(text, " "), binaryPrefix)
	if !ok || tag == "" || p.sum.Rows > 0 {
		p.t.fail("values holds the text %.40q", text)
		return
	}
	p.sum.Binary = tag
}

// samples reads what follows the document: nothing, or the samples.
func (p *parser) samples() {
	if p.t.err != nil {
		return
	}
	if p.sum.Binary == "" {
		p.in.end()
		if _, ok := p.t.peek(); ok {
			p.t.fail("more bytes follow the document")
		}
		return
	}
	size, read := sampleType(p.sum.Binary)
	if size == 0 { // an image or the like, behind the document or apart from it
		for rest := p.t.ahead(tapeWindow); len(rest) > 0; rest = p.t.ahead(tapeWindow) {
			p.t.pos += len(rest)
		}
		return
	}
	p.row = slices.Grow(p.row[:0], len(p.sum.Sensors))[:len(p.sum.Sensors)]
	for p.t.err == nil {
		raw := p.t.ahead(size * len(p.row))
		if len(raw) == 0 {
			break
		}
		if len(raw) < size*len(p.row) {
			p.t.fail("the samples end within a row")
			break
		}
		for i := range p.row {
			p.row[i] = read(raw[i*size:])
		}
		p.t.pos += len(raw)
		p.emit(len(p.row) == 1)
	}
}

// sampleType is the size of a binary sample and how it is read: little
// endian, as the format's documentation has it. Size 0: not one of these.
func sampleType(tag string) (size int, read func([]byte) float64) {
	le := binary.LittleEndian
	switch tag {
	case "u8":
		return 1, func(b []byte) float64 { return float64(b[0]) }
	case "i8":
		return 1, func(b []byte) float64 { return float64(int8(b[0])) }
	case "u16":
		return 2, func(b []byte) float64 { return float64(le.Uint16(b)) }
	case "i16":
		return 2, func(b []byte) float64 { return float64(int16(le.Uint16(b))) }
	case "u32":
		return 4, func(b []byte) float64 { return float64(le.Uint32(b)) }
	case "i32":
		return 4, func(b []byte) float64 { return float64(int32(le.Uint32(b))) }
	case "f32":
		return 4, func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) }
	}
	return 0, nil
}
