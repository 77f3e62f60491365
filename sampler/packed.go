package sampler

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A part is where in packed bytes a sensor's value lies, and how it is written.
type part struct {
	offset int
	size   int  // in bytes
	kind   byte // u, i or f: without sign, with one, IEEE 754
	big    bool // the high byte comes first
}

// kinds are the types that a part can have.
const kinds = "u8, i8, u16, i16, u24, i24, u32, i32, u64, i64, f32 or f64"

// parsePart reads TYPE[le|be][@OFFSET]; without an offset it follows on after.
func parsePart(text string, big bool, after int) (p part, ok bool) {
	kind, at, placed := strings.Cut(text, "@")
	p = part{offset: after, big: big}
	if n := len(kind) - 2; n > 0 && (kind[n:] == "le" || kind[n:] == "be") {
		kind, p.big = kind[:n], kind[n:] == "be"
	}
	if placed {
		n, err := strconv.ParseUint(at, 0, 12)
		if err != nil {
			return p, false
		}
		p.offset = int(n)
	}
	if len(kind) < 2 {
		return p, false
	}
	p.kind = kind[0]
	switch kind[1:] {
	case "8", "16", "24", "32", "64":
		bits, _ := strconv.Atoi(kind[1:])
		p.size = bits / 8
	}
	whole := p.kind == 'u' || p.kind == 'i'
	return p, p.size > 0 && (whole || p.kind == 'f' && p.size >= 4)
}

// raw is what stands there, without regard to signs.
func (p part) raw(b []byte) (v uint64) {
	for i := range p.size {
		at := p.size - 1 - i
		if p.big {
			at = i
		}
		v = v<<8 | uint64(b[p.offset+at])
	}
	return v
}

// value reads a part that lies in b and applies the sensor's scale and offset.
func (p part) value(b []byte, s *Sensor) (float64, bool) {
	raw, free := p.raw(b), 64-8*p.size
	var v float64
	switch {
	case p.kind == 'u':
		v = float64(raw)
	case p.kind == 'i':
		v = float64(int64(raw<<free) >> free)
	case p.size == 8:
		v = math.Float64frombits(raw)
	default:
		v = float64(math.Float32frombits(uint32(raw)))
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	if s.plain() {
		return v, true
	}
	step := 1.0
	if p.kind == 'f' {
		step = math.Abs(v) * 1e-6 // what a float32 holds
	}
	if p.size == 8 {
		step = 0
	}
	return s.convert(v, step)
}

// parsePacked takes one reading of packed bytes.
func (l *Layout) parsePacked(b []byte, r *Reading) error {
	if len(b) == 0 {
		return ErrNoReading
	}
	r.open(len(l.sensors))
	for i, p := range l.parts {
		if p.offset+p.size > len(b) {
			return &LineFault{Problem: "frame is too short for sensor " + l.sensors[i].Name, Got: len(b), Want: p.offset + p.size}
		}
		v, ok := p.value(b, &l.sensors[i])
		if !ok {
			return &LineFault{Problem: "value of sensor " + l.sensors[i].Name + " is not a number"}
		}
		r.Values[i] = v
	}
	return nil
}

// Pack is the configuration of a source that puts its readings together
// itself: packed bytes with one field, such as u16be@0, for each sensor.
func (c ReadingConfig) Pack(fields []string) ReadingConfig {
	c.Format, c.packed = FormatFrames, true
	c.Sensors = append([]Sensor(nil), c.Sensors...)
	for i, f := range fields {
		c.Sensors[i].Field = f
	}
	return c
}

// parts are the parts of all sensors; fault is called for fields that are none.
func (c *ReadingConfig) parts(fault func(field, problem, remedy string)) (all []part) {
	after, limit := c.Frame.header(), c.Frame.payload()
	for i, s := range c.Sensors {
		p, ok := parsePart(s.Field, c.Frame.Endian == "big", after)
		at := fmt.Sprintf("sensors[%d].field", i)
		switch {
		case !ok:
			fault(at, fmt.Sprintf("%q says not where the value lies", s.Field), "write TYPE@OFFSET such as i16@4 or f32be@0; types are "+kinds)
		case limit > 0 && p.offset+p.size > limit:
			fault(at, fmt.Sprintf("it ends at byte %d, but the values end at %d", p.offset+p.size, limit), "count offsets from 0 at the frame's first byte, or raise frame.size")
		}
		all, after = append(all, p), p.offset+p.size
	}
	return all
}

// hexBytes reads bytes such as "b5 62".
func hexBytes(text string) ([]byte, bool) {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "0x", "").Replace(text))
	return b, err == nil
}
