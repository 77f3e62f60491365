package acquisition

import (
	"fmt"
	"io"
)

// MaxDecode is the length in bytes up to which Decode takes a document into
// memory; longer ones go through Inspect or Validate.
const MaxDecode = 8 << 20

// InspectOptions say what Inspect does beside reading.
type InspectOptions struct {
	// Key is the HMAC key as text; nil leaves the signature unchecked.
	Key []byte
	// Rows, if set, is called with each row in order. The slice is reused;
	// an error ends the reading and is returned. A fault further on shows
	// only after the calls.
	Rows func(row []float64) error
}

// Inspect reads a document of either encoding to its end, in memory that does
// not depend on its length: every part is checked, and the signature with the
// key. A document that is none fails with ErrMalformed; a signature that does
// not hold is no error.
func Inspect(r io.Reader, o InspectOptions) (Summary, error) {
	s, err := inspect(newTape(r, nil), o)
	if err != nil {
		return Summary{}, fmt.Errorf("read document: %w", err)
	}
	return s, nil
}

// Validate reads a document of size bytes (negative: unknown) to its end and
// tells whether Edge Impulse would take it, in memory that does not depend on
// its length. The signature stays unchecked.
func Validate(r io.Reader, size int64) (Summary, error) {
	if size > MaxDocument {
		return Summary{}, fmt.Errorf("read document: %w: documents of more than %d bytes are refused", ErrMalformed, MaxDocument)
	}
	return Inspect(r, InspectOptions{})
}

// Verify tells whether the signature of a document holds; see Summary.
func Verify(raw, key []byte) (Signature, error) {
	s, err := inspect(tapeOf(raw, nil), InspectOptions{Key: key})
	if err != nil {
		return "", fmt.Errorf("verify document: %w", err)
	}
	return s.Signature, nil
}

// Decode reads a whole document of at most MaxDecode bytes. With a nil key
// the signature stays unchecked.
func Decode(raw, key []byte) (Document, error) {
	if len(raw) > MaxDecode {
		return Document{}, fmt.Errorf("decode document: %w: %d bytes are more than %d", ErrMalformed, len(raw), MaxDecode)
	}
	var d Document
	var err error
	d.Summary, err = inspect(tapeOf(raw, nil), InspectOptions{Key: key, Rows: func(row []float64) error {
		d.Values = append(d.Values, row...)
		return nil
	}})
	if err != nil {
		return Document{}, fmt.Errorf("decode document: %w", err)
	}
	return d, nil
}

func inspect(t *tape, o InspectOptions) (Summary, error) {
	keys, err := newKeyring(o.Key)
	if err != nil {
		return Summary{}, err
	}
	t.macs = keys.macs
	p := &parser{t: t, rows: o.Rows}
	p.document()
	p.samples()
	p.conclude()
	if t.err != nil {
		return Summary{}, t.err
	}
	p.sum.Size = t.offset()
	t.hash()
	keys.judge(&p.sum)
	return p.sum, nil
}
