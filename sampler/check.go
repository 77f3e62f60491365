package sampler

import (
	"hash/crc32"
	"strings"
)

// A check is the check value at the end of a frame. The zero value is none.
type check struct {
	size int
	big  bool // its high byte comes first
	from int  // where in the frame it begins to count
	sum  func(b []byte) uint32
}

// checkNames are the kinds there are; each may end in -le or -be.
const checkNames = "sum8, xor8, sum16, fletcher16, fletcher8-ubx, crc16-modbus, crc16-ccitt, crc16-xmodem or crc32"

// findCheck finds a check by its name. The order of its bytes is the usual one
// unless the name says another.
func findCheck(name string) (c check, ok bool) {
	base := strings.TrimSuffix(strings.TrimSuffix(name, "-le"), "-be")
	switch base {
	case "sum8":
		c = check{size: 1, sum: addUp}
	case "xor8":
		c = check{size: 1, sum: exclusive}
	case "sum16":
		c = check{size: 2, big: true, sum: addUp}
	case "fletcher16": // modulo 255
		c = check{size: 2, sum: func(b []byte) uint32 { return fletcher(b, 255) }}
	case "fletcher8-ubx": // RFC 1145, modulo 256, as u-blox receivers send it
		c = check{size: 2, sum: func(b []byte) uint32 { return fletcher(b, 256) }}
	case "crc16-modbus":
		c = check{size: 2, sum: func(b []byte) uint32 { return uint32(CRC16Modbus(b)) }}
	case "crc16-ccitt": // also called CCITT-FALSE: begins with ffff
		c = check{size: 2, big: true, sum: func(b []byte) uint32 { return ccitt(b, 0xffff) }}
	case "crc16-xmodem": // begins with 0
		c = check{size: 2, big: true, sum: func(b []byte) uint32 { return ccitt(b, 0) }}
	case "crc32":
		c = check{size: 4, sum: crc32.ChecksumIEEE}
	default:
		return c, false
	}
	if base != name {
		c.big = strings.HasSuffix(name, "-be")
	}
	return c, true
}

// good tells whether a frame, check value included, is as it was sent.
func (c *check) good(frame []byte) bool {
	n := len(frame) - c.size
	if c.size == 0 {
		return true
	}
	if n < c.from {
		return false
	}
	want := part{offset: n, size: c.size, big: c.big}.raw(frame)
	return uint64(c.sum(frame[c.from:n]))&(1<<(8*c.size)-1) == want
}

func addUp(b []byte) (s uint32) {
	for _, c := range b {
		s += uint32(c)
	}
	return s
}

func exclusive(b []byte) (s uint32) {
	for _, c := range b {
		s ^= uint32(c)
	}
	return s
}

// fletcher has the first sum in the low byte, which is sent first.
func fletcher(b []byte, modulus uint32) uint32 {
	var one, two uint32
	for _, c := range b {
		one = (one + uint32(c)) % modulus
		two = (two + one) % modulus
	}
	return two<<8 | one
}

func ccitt(b []byte, crc uint16) uint32 {
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			top := crc >> 15
			crc = crc<<1 ^ 0x1021*top
		}
	}
	return uint32(crc)
}

// CRC16Modbus is the check value of Modbus RTU (MODBUS over Serial Line 1.02,
// 6.2.2); it is sent low byte first.
func CRC16Modbus(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			low := crc & 1
			crc = crc>>1 ^ 0xa001*low
		}
	}
	return crc
}
