package acquisition

import (
	"fmt"
	"hash"
	"io"
)

// tapeWindow is how many bytes of a document are in memory at a time.
const tapeWindow = 32 << 10

// A tape gives a document's bytes from front to back and hashes them as they
// pass, with zeros in the place of the signature. The first fault stays and
// makes every later call give nothing, so that parsers need not ask each time.
type tape struct {
	r      io.Reader // nil once all there is stands in buf
	buf    []byte
	pos    int   // buf[pos:] is not read yet
	base   int64 // offset of buf[0] in the document
	macs   []hash.Hash
	hashed int // buf[:hashed] is in macs
	err    error
}

func newTape(r io.Reader, macs []hash.Hash) *tape {
	return &tape{r: r, buf: make([]byte, 0, tapeWindow), macs: macs}
}

// tapeOf reads bytes where they lie.
func tapeOf(raw []byte, macs []hash.Hash) *tape { return &tape{buf: raw, macs: macs} }

func (t *tape) offset() int64 { return t.base + int64(t.pos) }

// fail notes that the document is malformed here.
func (t *tape) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf("%w: at byte %d: %s", ErrMalformed, t.offset(), fmt.Sprintf(format, args...))
	}
}

// ahead returns up to n unread bytes, fewer only at the end of the document.
// They are good until the next call; n is at most tapeWindow.
func (t *tape) ahead(n int) []byte {
	if t.err != nil {
		return nil
	}
	if len(t.buf)-t.pos < n && t.r != nil {
		t.fill(n)
	}
	return t.buf[t.pos:min(t.pos+n, len(t.buf))]
}

func (t *tape) fill(n int) {
	t.hash()
	rest := copy(t.buf[:cap(t.buf)], t.buf[t.pos:])
	t.base += int64(t.pos)
	t.pos, t.hashed = 0, 0
	more, err := io.ReadAtLeast(t.r, t.buf[rest:cap(t.buf)], n-rest)
	t.buf = t.buf[:rest+more]
	switch {
	case t.base+int64(len(t.buf)) > MaxDocument:
		t.fail("documents of more than %d bytes are refused", MaxDocument)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		t.r = nil
	case err != nil:
		t.err = err
	}
}

// hash hashes what was read and is not hashed yet.
func (t *tape) hash() {
	for _, m := range t.macs {
		m.Write(t.buf[t.hashed:t.pos])
	}
	t.hashed = t.pos
}

// peek returns the next byte without reading it.
func (t *tape) peek() (b byte, ok bool) {
	if t.pos < len(t.buf) {
		return t.buf[t.pos], true
	}
	return t.peekAhead()
}

func (t *tape) peekAhead() (b byte, ok bool) {
	if len(t.ahead(1)) == 0 {
		return 0, false
	}
	return t.buf[t.pos], true
}

// next reads one byte; the end of the document is a fault.
func (t *tape) next() byte {
	b, ok := t.peek()
	if !ok {
		t.fail("it ends too early")
		return 0
	}
	t.pos++
	return b
}

// take reads n bytes, at most tapeWindow, or none at all.
func (t *tape) take(n int) []byte {
	b := t.ahead(n)
	if len(b) < n {
		t.fail("it ends too early")
		return nil
	}
	t.pos += n
	return b
}

// drop reads n bytes of any number without keeping them.
func (t *tape) drop(n uint64) {
	for n > 0 && t.err == nil {
		step := int(min(n, tapeWindow))
		t.take(step)
		n -= uint64(step)
	}
}

// takeSealed reads the signature: bytes that are hashed as zeros.
func (t *tape) takeSealed() []byte {
	t.hash()
	text := t.take(signatureLength)
	for _, m := range t.macs {
		m.Write([]byte(zeroSignature))
	}
	t.hashed = t.pos
	return text
}
