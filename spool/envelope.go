package spool

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// CBOR's major types (RFC 8949, section 3.1).
const (
	cborUint  = 0 << 5
	cborNeg   = 1 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborNull  = 7<<5 | 22
)

// appendEnvelope appends what a chunk keeps of a record beside its body: the
// very CBOR that the field tags of Record ask for, with the keys of metadata in
// order. Written out, because a reflecting encoder took most of the time of an
// append. CreatedAt is null: it stands in the chunk.
func appendEnvelope(b []byte, r *Record) ([]byte, error) {
	at := len(b)
	b, pairs := append(b, cborMap), 0
	key := func(n byte) {
		b = append(b, n) // all of ours are below 24
		pairs++
	}
	key(1)
	b = appendHead(b, cborUint, uint64(r.Kind))
	key(2)
	b = appendBytes(b, r.Identity[:])
	key(3)
	b = appendBytes(b, r.SHA256[:])
	key(4)
	b = appendText(b, r.Name)
	key(5)
	b = appendText(b, r.Dataset)
	var err error
	if !r.Label.IsZero() {
		key(6)
		b, err = appendLabel(b, r.Label)
	}
	key(7)
	b = appendText(b, r.ContentType)
	key(8)
	b = appendText(b, r.Source)
	if len(r.Metadata) > 0 {
		key(9)
		b = appendTexts(b, r.Metadata)
	}
	key(10)
	b = appendInstant(b, r.Time)
	key(11)
	b = appendInt(b, r.Size)
	if len(r.Companions) > 0 {
		key(12)
		b = appendHead(b, cborArray, uint64(len(r.Companions)))
		for _, c := range r.Companions {
			b = appendText(append(b, cborMap|3, 1), c.Name)
			b = appendText(append(b, 2), c.ContentType)
			b = appendBytes(append(b, 3), c.Bytes)
		}
	}
	if r.DeviceName != "" {
		key(13)
		b = appendText(b, r.DeviceName)
	}
	if r.DeviceType != "" {
		key(14)
		b = appendText(b, r.DeviceType)
	}
	key(15)
	b = append(b, cborNull)
	if r.Length != 0 {
		key(16)
		b = appendInt(b, int64(r.Length))
	}
	b[at] |= byte(pairs)
	return b, err
}

// appendLabel writes a text by itself, and leaves the rare shapes to the library.
func appendLabel(b []byte, l Label) ([]byte, error) {
	if len(l.Segments) == 0 && len(l.Pairs) == 0 && len(l.Boxes) == 0 {
		return appendText(append(b, cborMap|1, 1), l.Text), nil
	}
	data, err := envelopeEnc.Marshal(l)
	if err != nil {
		return b, fmt.Errorf("pack label: %w", err)
	}
	return append(b, data...), nil
}

func appendInstant(b []byte, t Instant) []byte {
	pairs := byte(3)
	if t.State != 0 {
		pairs++
	}
	b = appendBytes(append(b, cborMap|pairs, 1), t.Boot[:])
	b = appendInt(append(b, 2), int64(t.Since))
	b = appendInt(append(b, 3), t.Wall)
	if t.State != 0 {
		b = appendHead(append(b, 4), cborUint, uint64(t.State))
	}
	return b
}

func appendTexts(b []byte, texts map[string]string) []byte {
	b = appendHead(b, cborMap, uint64(len(texts)))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		b = appendText(appendText(b, name), texts[name])
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

func appendBytes(b, data []byte) []byte {
	if data == nil {
		return append(b, cborNull)
	}
	return append(appendHead(b, cborBytes, uint64(len(data))), data...)
}

func appendInt(b []byte, v int64) []byte {
	if v < 0 {
		return appendHead(b, cborNeg, uint64(^v))
	}
	return appendHead(b, cborUint, uint64(v))
}

// appendHead writes a major type and its argument, as short as it goes.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch be := binary.BigEndian; {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return be.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return be.AppendUint32(append(b, major|26), uint32(n))
	default:
		return be.AppendUint64(append(b, major|27), n)
	}
}
