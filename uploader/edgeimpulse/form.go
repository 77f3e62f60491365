package edgeimpulse

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A form is a multipart body that is never whole in memory and whose length
// is known before its first byte. Every part has the field name "data", as
// the service wants it.
type form struct {
	boundary string
	heads    []byte // of all parts, one after another
	parts    []part
	size     int64

	mu    sync.Mutex
	fault *partFault
}

// A part is one file of the form.
type part struct {
	headEnd int // in form.heads
	size    int64
	open    func() (io.ReadCloser, error)
	record  int // which record of the request it is, -1 for a label file
}

// A partFault says which record's bytes could not be had.
type partFault struct {
	record int
	err    error
}

// errLength: a body is not as long as it said.
var errLength = errors.New("the bytes changed while they were sent")

func newForm() *form {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	return &form{boundary: "edgespool" + hex.EncodeToString(random[:])}
}

func (f *form) contentType() string { return "multipart/form-data; boundary=" + f.boundary }

// tail ends the last part and the form.
func (f *form) tail() string { return "\r\n--" + f.boundary + "--\r\n" }

// add puts one more file into the form; name must be fit for a header.
func (f *form) add(name, contentType string, p part) {
	if len(f.parts) > 0 {
		f.heads = append(f.heads, "\r\n"...)
	}
	start := len(f.heads)
	if n := len(f.parts); n > 0 {
		start = f.parts[n-1].headEnd
	}
	f.heads = append(append(append(f.heads, "--"...), f.boundary...), "\r\nContent-Disposition: form-data; name=\"data\"; filename=\""...)
	f.heads = append(append(append(f.heads, name...), "\"\r\nContent-Type: "...), contentType...)
	f.heads = append(f.heads, "\r\n\r\n"...)
	p.headEnd = len(f.heads)
	f.parts = append(f.parts, p)
	f.size += int64(p.headEnd-start) + p.size
}

// length is the exact length of the body.
func (f *form) length() int64 { return f.size + int64(len(f.tail())) }

// body starts a reader at the first byte.
func (f *form) body() (io.ReadCloser, error) { return &formReader{form: f, next: -1}, nil }

// blame notes the record whose bytes could not be had.
func (f *form) blame(record int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == nil {
		f.fault = &partFault{record, err}
	}
}

func (f *form) faulty() *partFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

// A formReader goes through the parts: head, body, head, body, tail.
type formReader struct {
	form *form
	next int    // the part whose body comes after text; -1 before the first
	text []byte // of a head or the tail
	body io.ReadCloser
	left int64
	done bool
}

func (r *formReader) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		switch {
		case len(r.text) > 0:
			k := copy(p[n:], r.text)
			r.text, n = r.text[k:], n+k
		case r.body != nil:
			var k int
			k, err = r.readBody(p[n:])
			n += k
		case r.done:
			err = io.EOF
		default:
			err = r.advance()
		}
	}
	if n > 0 && err == io.EOF {
		err = nil // said by the next call
	}
	return n, err
}

// advance opens the body whose head is out, or begins the next head.
func (r *formReader) advance() error {
	parts := r.form.parts
	if r.next >= 0 && r.next < len(parts) {
		p := parts[r.next]
		body, err := p.open()
		if err != nil {
			return r.fail(err)
		}
		r.body, r.left = body, p.size
		return nil
	}
	r.next++
	r.begin()
	return nil
}

// begin puts out the head of the part r.next, or the tail behind the last.
func (r *formReader) begin() {
	parts := r.form.parts
	if r.next == len(parts) {
		r.text, r.done = []byte(r.form.tail()), true
		return
	}
	start := 0
	if r.next > 0 {
		start = parts[r.next-1].headEnd
	}
	r.text = r.form.heads[start:parts[r.next].headEnd]
}

// readBody reads of the present body and goes on to the next part behind it.
func (r *formReader) readBody(p []byte) (int, error) {
	k, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(k)
	switch {
	case r.left == 0:
		r.body.Close()
		r.body = nil
		if !r.done { // a bare body has nothing behind it
			r.next++
			r.begin()
		}
		return k, nil
	case err == io.EOF:
		return k, r.fail(errLength)
	case err != nil:
		return k, r.fail(err)
	}
	return k, nil
}

func (r *formReader) fail(err error) error {
	record := r.form.parts[r.next].record
	r.form.blame(record, err)
	return fmt.Errorf("read record: %w", err)
}

func (r *formReader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// bare is the only part's body without a frame.
func (f *form) bare() (io.ReadCloser, error) {
	p := f.parts[0]
	body, err := p.open()
	if err != nil {
		f.blame(p.record, err)
		return nil, err
	}
	return &formReader{form: f, body: body, left: p.size, done: true}, nil
}
