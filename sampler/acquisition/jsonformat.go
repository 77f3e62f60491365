package acquisition

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// jsonFormat reads JSON (RFC 8259) piece by piece.
type jsonFormat struct {
	*tape
	frames  [maxDepth]jsonFrame
	depth   int
	scratch []byte
}

// A jsonFrame is an array or object that is being read.
type jsonFrame struct {
	closing byte
	begun   bool
}

// blank reads white space.
func (j *jsonFormat) blank() {
	for {
		b, ok := j.peek()
		if !ok || b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return
		}
		j.pos++
	}
}

func (j *jsonFormat) kind() kind {
	j.blank()
	b, ok := j.peek()
	switch {
	case !ok:
		return kindOther
	case b == '-' || '0' <= b && b <= '9':
		return kindNumber
	case b == '"':
		return kindText
	case b == 'n':
		return kindNull
	case b == '[':
		return kindArray
	case b == '{':
		return kindObject
	}
	return kindOther
}

func (j *jsonFormat) open() {
	j.blank()
	if j.depth == maxDepth {
		j.fail("nested more than %d deep", maxDepth)
		return
	}
	j.frames[j.depth] = jsonFrame{closing: j.next() + 2} // ] and } are two after [ and {
	j.depth++
}

func (j *jsonFormat) more() bool {
	j.blank()
	if j.err != nil {
		return false
	}
	f := &j.frames[j.depth-1]
	b, _ := j.peek()
	switch {
	case b == f.closing:
		j.next()
		j.depth--
		return false
	case f.begun && b != ',':
		j.fail("no comma where one should be")
		return false
	case f.begun:
		j.next()
	}
	f.begun = true
	return true
}

func (j *jsonFormat) key() []byte {
	text := j.text()
	j.blank()
	if j.next() != ':' {
		j.fail("no colon behind the key %.40q", text)
	}
	return text
}

func (j *jsonFormat) text() []byte {
	j.blank()
	if j.next() != '"' {
		j.fail("no text where one should be")
		return nil
	}
	return j.textRest(true)
}

// textRest reads a text behind its opening quote; keep false only checks it.
func (j *jsonFormat) textRest(keep bool) []byte {
	j.scratch = append(j.scratch[:0], '"')
	escaped := false
	for {
		b := j.next()
		switch {
		case j.err != nil:
			return nil
		case b < ' ':
			j.fail("a control character in a text")
			return nil
		case b == '"':
			if !keep {
				return nil
			}
			return j.unquote(escaped)
		case b == '\\':
			escaped = true
			j.scratch = append(j.scratch, b)
			b = j.escape()
		}
		j.scratch = append(j.scratch, b)
		if len(j.scratch) <= maxText {
			continue
		}
		if keep {
			j.fail("a text of more than %d bytes", maxText)
			return nil
		}
		j.scratch = j.scratch[:1]
	}
}

// escape reads the character behind a backslash and checks what follows it.
func (j *jsonFormat) escape() byte {
	b := j.next()
	hexadecimal := b == 'u'
	for _, digit := range j.ahead(4) {
		hexadecimal = hexadecimal && strings.IndexByte("0123456789abcdefABCDEF", digit) >= 0
	}
	if !hexadecimal && strings.IndexByte(`"\/bfnrt`, b) < 0 {
		j.fail("a text with a bad escape")
	}
	return b
}

func (j *jsonFormat) unquote(escaped bool) []byte {
	if !escaped {
		return j.scratch[1:]
	}
	var text string
	if err := json.Unmarshal(append(j.scratch, '"'), &text); err != nil || !utf8.Valid(j.scratch) {
		j.fail("a text that is not UTF-8 or has a bad escape")
	}
	return []byte(text)
}

func (j *jsonFormat) null() { j.word("null") }

func (j *jsonFormat) word(want string) {
	j.blank()
	for i := range len(want) {
		if j.next() != want[i] {
			j.fail("no value where one should be")
			return
		}
	}
}

func (j *jsonFormat) skip() {
	switch j.kind() {
	case kindNumber:
		j.number()
	case kindText:
		j.next()
		j.textRest(false)
	case kindNull:
		j.null()
	case kindArray:
		for j.open(); j.more(); {
			j.skip()
		}
	case kindObject:
		for j.open(); j.more(); {
			j.skipKey()
			j.skip()
		}
	default:
		if b, _ := j.peek(); b == 't' {
			j.word("true")
		} else {
			j.word("false")
		}
	}
}

func (j *jsonFormat) skipKey() {
	j.blank()
	if j.next() != '"' {
		j.fail("no key where one should be")
		return
	}
	j.textRest(false)
	j.blank()
	if j.next() != ':' {
		j.fail("no colon behind a key")
	}
}

// signature reads the value of "signature" and has it hashed as zeros.
func (j *jsonFormat) signature() []byte {
	j.blank()
	b := j.ahead(signatureLength + 2)
	if len(b) == signatureLength+2 && b[0] == '"' && isSignature(b[1:signatureLength+1]) && b[signatureLength+1] == '"' {
		j.next()
		text := j.takeSealed()
		j.next()
		return text
	}
	return j.text()
}

func (j *jsonFormat) end() { j.blank() }
