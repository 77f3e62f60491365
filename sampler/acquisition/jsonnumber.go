package acquisition

import (
	"bytes"
	"math"
	"strconv"
)

// maxNumber is how many characters a number may have.
const maxNumber = 1 << 10

func (j *jsonFormat) number() float64 {
	j.blank()
	j.scratch = j.scratch[:0]
	for {
		b, ok := j.peek()
		if !ok || b != '-' && b != '+' && b != '.' && b != 'e' && b != 'E' && (b < '0' || b > '9') {
			break
		}
		if j.scratch = append(j.scratch, b); len(j.scratch) > maxNumber {
			j.fail("a number of more than %d characters", maxNumber)
			return 0
		}
		j.pos++
	}
	if !isJSONNumber(j.scratch) {
		j.fail("%.40q is no number", j.scratch)
		return 0
	}
	// Beyond the range it becomes infinite, as it does in JavaScript.
	v, _ := strconv.ParseFloat(string(j.scratch), 64)
	return v
}

// isJSONNumber checks the grammar, which is narrower than strconv's.
func isJSONNumber(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("-"))
	whole := digits(b)
	if whole == 0 || whole > 1 && b[0] == '0' {
		return false
	}
	if b = b[whole:]; len(b) > 0 && b[0] == '.' {
		fraction := digits(b[1:])
		if fraction == 0 {
			return false
		}
		b = b[1+fraction:]
	}
	if len(b) == 0 {
		return true
	}
	if b[0]|0x20 != 'e' {
		return false
	}
	if b = b[1:]; len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	return len(b) > 0 && digits(b) == len(b)
}

// digits counts the digits that b begins with.
func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}

// appendJSONNumber writes a number as JavaScript does.
func appendJSONNumber(dst []byte, v float64) []byte {
	size := math.Abs(v)
	if size == 0 || 1e-6 <= size && size < 1e21 {
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-07 is e-7
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}
