package acquisition

import (
	"encoding/binary"
	"math"
)

// The major types of CBOR and what else of RFC 8949 this package writes.
const (
	cborUint  = 0 << 5
	cborNint  = 1 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborTag   = 6 << 5
	cborOther = 7 << 5

	cborIndefinite = 31
	cborBreak      = 0xff
	cborHalf       = cborOther | 25
	cborSingle     = cborOther | 26
	cborDouble     = cborOther | 27
)

// appendHead appends a major type with its argument in the shortest form.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), arg)
}

func appendText(dst []byte, s string) []byte {
	return append(appendHead(dst, cborText, uint64(len(s))), s...)
}

func appendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendHead(dst, cborNint, uint64(-1-v))
	}
	return appendHead(dst, cborUint, uint64(v))
}

// appendFloat appends a finite v in the shortest width that holds it exactly,
// subnormals of the shorter widths excepted: the QCBOR of the vendor's C SDK
// does not use them either.
func appendFloat(dst []byte, v float64) []byte {
	bits := math.Float64bits(v)
	sign := bits >> 63
	exponent := int(bits>>52&0x7ff) - 1023
	fraction := bits & (1<<52 - 1)
	switch {
	case v == 0:
		return append(dst, cborHalf, byte(sign<<7), 0)
	case -14 <= exponent && exponent <= 15 && fraction&(1<<42-1) == 0:
		half := uint16(sign<<15) | uint16(exponent+15)<<10 | uint16(fraction>>42)
		return append(dst, cborHalf, byte(half>>8), byte(half))
	case -126 <= exponent && exponent <= 127 && fraction&(1<<29-1) == 0:
		return binary.BigEndian.AppendUint32(append(dst, cborSingle), math.Float32bits(float32(v)))
	}
	return binary.BigEndian.AppendUint64(append(dst, cborDouble), bits)
}

// halfToFloat widens a half-precision number.
func halfToFloat(h uint16) float64 {
	sign, exponent, fraction := uint64(h>>15), uint64(h>>10&0x1f), uint64(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: multiples of 2 to the -24
		return math.Copysign(math.Ldexp(float64(fraction), -24), 0.5-float64(sign))
	case 0x1f:
		exponent = 0x7ff
	default:
		exponent += 1023 - 15
	}
	return math.Float64frombits(sign<<63 | exponent<<52 | fraction<<42)
}

func finite(v float64) bool { return v-v == 0 }
