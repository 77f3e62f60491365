package acquisition

import (
	"encoding/binary"
	"math"
)

// cborFormat reads RFC 8949 as far as documents need it: no tags.
type cborFormat struct {
	*tape
	frames [maxDepth]cborFrame
	depth  int
	joined []byte
}

// A cborFrame is an array or map that is being read.
type cborFrame struct {
	left       uint64
	indefinite bool
}

func (c *cborFormat) kind() kind {
	b, ok := c.peek()
	if !ok {
		return kindOther
	}
	switch {
	case b == cborHalf, b == cborSingle, b == cborDouble, b>>5 <= cborNint>>5:
		return kindNumber
	case b == cborOther|22, b == cborOther|23:
		return kindNull
	case b&^31 == cborText:
		return kindText
	case b&^31 == cborArray:
		return kindArray
	case b&^31 == cborMap:
		return kindObject
	}
	return kindOther
}

// head reads a major type and its argument.
func (c *cborFormat) head() (major byte, arg uint64, indefinite bool) {
	b := c.next()
	major = b &^ 31
	switch info := b & 31; {
	case info < 24:
		return major, uint64(info), false
	case info == 24:
		return major, uint64(c.next()), false
	case info == 25:
		if b := c.take(2); b != nil {
			arg = uint64(binary.BigEndian.Uint16(b))
		}
	case info == 26:
		if b := c.take(4); b != nil {
			arg = uint64(binary.BigEndian.Uint32(b))
		}
	case info == 27:
		if b := c.take(8); b != nil {
			arg = binary.BigEndian.Uint64(b)
		}
	case info == cborIndefinite && major >= cborBytes && major <= cborMap:
		return major, 0, true
	default:
		c.fail("byte %#02x begins nothing that CBOR knows", b)
	}
	return major, arg, false
}

func (c *cborFormat) open() {
	_, left, indefinite := c.head()
	if c.depth == maxDepth {
		c.fail("nested more than %d deep", maxDepth)
		return
	}
	c.frames[c.depth] = cborFrame{left, indefinite}
	c.depth++
}

func (c *cborFormat) more() bool {
	if c.err != nil {
		return false
	}
	f := &c.frames[c.depth-1]
	if f.indefinite {
		b, ok := c.peek()
		if !ok || b != cborBreak {
			return true // a document that ends here fails at the next read
		}
		c.next()
	} else if f.left > 0 {
		f.left--
		return true
	}
	c.depth--
	return false
}

func (c *cborFormat) key() []byte { return c.text() }

func (c *cborFormat) text() []byte {
	major, length, indefinite := c.head()
	if major != cborText {
		c.fail("no text where one should be")
		return nil
	}
	if !indefinite {
		return c.chunk(length, 0)
	}
	c.joined = c.joined[:0]
	for c.err == nil {
		if b, _ := c.peek(); b == cborBreak {
			c.next()
			break
		}
		major, length, indefinite := c.head()
		if major != cborText || indefinite {
			c.fail("a text in pieces holds something else")
			return nil
		}
		c.joined = append(c.joined, c.chunk(length, len(c.joined))...)
	}
	return c.joined
}

func (c *cborFormat) chunk(length uint64, before int) []byte {
	if length > uint64(maxText-before) {
		c.fail("a text of more than %d bytes", maxText)
		return nil
	}
	return c.take(int(length))
}

func (c *cborFormat) number() float64 {
	// Nearly all of a document is floats, so they are read where they stand.
	if rest := c.buf[c.pos:]; len(rest) >= 9 {
		switch rest[0] {
		case cborHalf:
			c.pos += 3
			return halfToFloat(binary.BigEndian.Uint16(rest[1:]))
		case cborSingle:
			c.pos += 5
			return float64(math.Float32frombits(binary.BigEndian.Uint32(rest[1:])))
		case cborDouble:
			c.pos += 9
			return math.Float64frombits(binary.BigEndian.Uint64(rest[1:]))
		}
	}
	first, _ := c.peek()
	major, arg, _ := c.head()
	switch {
	case major == cborUint:
		return float64(arg)
	case major == cborNint:
		return -1 - float64(arg)
	case first == cborHalf:
		return halfToFloat(uint16(arg))
	case first == cborSingle:
		return float64(math.Float32frombits(uint32(arg)))
	}
	return math.Float64frombits(arg)
}

func (c *cborFormat) null() { c.next() }

func (c *cborFormat) skip() { c.skipNested(c.depth) }

func (c *cborFormat) skipNested(depth int) {
	if depth > maxDepth {
		c.fail("nested more than %d deep", maxDepth)
		return
	}
	major, arg, indefinite := c.head()
	switch major {
	case cborBytes, cborText:
		if !indefinite {
			c.drop(arg)
			return
		}
	case cborArray:
	case cborMap:
		if arg > math.MaxUint64/2 {
			c.fail("a map of %d pairs", arg)
			return
		}
		arg *= 2
	case cborTag:
		c.fail("CBOR tags are not part of the format")
		return
	default:
		return
	}
	for n := uint64(0); c.err == nil && (indefinite || n < arg); n++ {
		if b, _ := c.peek(); indefinite && b == cborBreak {
			if major == cborMap && n%2 == 1 {
				c.fail("a map ends after a key")
			}
			c.next()
			return
		}
		c.skipNested(depth + 1)
	}
}

// signature reads the value of "signature" and has it hashed as zeros.
func (c *cborFormat) signature() []byte {
	b := c.ahead(2 + signatureLength)
	if len(b) == 2+signatureLength && b[0] == cborText|24 && b[1] == signatureLength && isSignature(b[2:]) {
		c.take(2)
		return c.takeSealed()
	}
	return c.text()
}

// end does nothing: what follows a document of this encoding is the samples.
func (c *cborFormat) end() {}
