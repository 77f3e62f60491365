package sampler

import (
	"math"
	"strconv"
)

// A decimal is a number as it stands in a line, before it becomes binary:
// mantissa × 10^exponent, the mantissa without trailing zeros.
type decimal struct {
	mantissa uint64
	digits   int // of the mantissa
	exponent int
	last     int // power of ten of the last digit written, zeros included
	negative bool
	long     bool // has more digits than the mantissa holds
}

// maxDigits is how many decimal digits always fit into the mantissa.
const maxDigits = 19

// scanDecimal reads a whole field: sign, digits with at most one point, and
// an exponent. Everything else that strconv would take (hexadecimal,
// underscores, NaN, Inf) is refused.
func scanDecimal(text []byte) (d decimal, ok bool) {
	i := 0
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		d.negative = text[0] == '-'
		i = 1
	}
	seen, point, zeros, fraction := false, false, 0, 0
	for ; i < len(text); i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		if point {
			fraction++
		}
		switch {
		case c == '0':
			if d.digits > 0 {
				zeros++
			}
		case d.digits+zeros >= maxDigits:
			d.long = true
		default:
			for ; zeros > 0; zeros-- {
				d.mantissa *= 10
				d.digits++
			}
			d.mantissa = d.mantissa*10 + uint64(c-'0')
			d.digits++
		}
	}
	if !seen {
		return d, false
	}
	e, ok := scanExponent(text[i:])
	d.last = e - fraction
	d.exponent = d.last + zeros
	return d, ok
}

// scanExponent reads what may follow the digits: nothing, or e with a sign
// and digits. Exponents beyond every float64 are all the same.
func scanExponent(text []byte) (e int, ok bool) {
	if len(text) == 0 {
		return 0, true
	}
	if text[0] != 'e' && text[0] != 'E' {
		return 0, false
	}
	text = text[1:]
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		if e < 10000 {
			e = e*10 + int(c-'0')
		}
	}
	if negative {
		e = -e
	}
	return e, len(text) > 0
}

// powers are the powers of ten that a float64 holds exactly.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float64 is the nearest float64; text is what d was scanned from. It is
// false beyond the largest one. Where mantissa and power are both exact, one
// operation rounds right (Clinger 1990); the rest is left to strconv.
func (d decimal) float64(text []byte) (float64, bool) {
	if d.long || d.mantissa >= 1<<53 || d.exponent < -22 || d.exponent > 22 {
		v, err := strconv.ParseFloat(string(text), 64)
		return v, err == nil
	}
	v := float64(d.mantissa)
	if d.exponent < 0 {
		v /= powers[-d.exponent]
	} else {
		v *= powers[d.exponent]
	}
	if d.negative {
		v = -v
	}
	return v, true
}

// isSingle tells whether v, which is d, is written as a float32 without
// loss: whether the float32's shortest decimal is d again.
func (d decimal) isSingle(v float64) bool {
	single := float32(v)
	switch {
	case d.long || d.digits > 9 || math.IsInf(float64(single), 0):
		return false // a float32 never needs more than 9 digits
	case d.mantissa == 0:
		return true
	case d.digits <= 6 && d.exponent > -36 && d.exponent < 30:
		return true // 6 digits survive a float32 (FLT_DIG of C)
	}
	var room [32]byte
	shortest, ok := scanDecimal(strconv.AppendFloat(room[:0], float64(single), 'e', -1, 32))
	return ok && shortest.mantissa == d.mantissa && shortest.exponent == d.exponent
}

// parseValue reads a field and applies the sensor's scale and offset. The
// result is a float32's value where that loses nothing of the text, so that
// the encoder writes it short, and a float64 otherwise (GNSS needs it). What
// was scaled has no text of its own: there float32 must be finer than 1/64 of
// the last digit written (see convert).
func parseValue(text []byte, s *Sensor) (float64, bool) {
	d, ok := scanDecimal(text)
	if !ok {
		return 0, false
	}
	v, ok := d.float64(text)
	if !ok {
		return 0, false
	}
	if s.plain() {
		if d.isSingle(v) {
			return float64(float32(v)), true
		}
		return v, true
	}
	return s.convert(v, math.Pow10(d.last))
}

// convert applies scale and offset to a value that is known to a step of its
// own unit. The result is a float32's value if that is fine enough.
func (s *Sensor) convert(v, step float64) (float64, bool) {
	scaled := v*s.scale() + s.Offset
	if math.IsInf(scaled, 0) {
		return 0, false
	}
	step *= math.Abs(s.scale())
	if single := float64(float32(scaled)); math.Abs(single-scaled) < step/64 {
		return single, true
	}
	return scaled, true
}
