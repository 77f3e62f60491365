// Package acquisition holds the data acquisition format of Edge Impulse: the
// signed document around a sample (CBOR or JSON), encoded, signed, decoded
// and verified, and the label files that lie beside samples. Same input, same
// bytes. It imports nothing of ours, so that anyone may import it.
//
// Sources: docs.edgeimpulse.com, data acquisition format; the layout of what
// is written here is that of edgeimpulse/ingestion-sdk-c.
package acquisition

import "errors"

// ErrMalformed is what errors.Is finds in every complaint about bytes that
// are no acquisition document. Other errors come from the reader below.
var ErrMalformed = errors.New("not an acquisition document")

// MaxDocument is the length in bytes of the largest file that Edge Impulse
// takes: its own uploader refuses 104,857,600 bytes and more.
const MaxDocument = 100<<20 - 1

// A Sensor is one axis of a sample: its name and its unit, a SenML symbol
// such as m/s2 (free text passes as well).
type Sensor struct {
	Name  string `json:"name"`
	Units string `json:"units"`
}

// A PayloadHeader is what a payload says before its values.
type PayloadHeader struct {
	// DeviceName is globally unique, such as a MAC address; may be empty.
	DeviceName string
	DeviceType string
	// IntervalMS is the time between two rows in milliseconds: 16 for
	// 62.5 Hz. Zero for images.
	IntervalMS float64
	// Sensors name the axes, in the order of a row's values.
	Sensors []Sensor
}

// An Encoding is how a document is written.
type Encoding string

// The encodings of documents.
const (
	CBOR Encoding = "cbor"
	JSON Encoding = "json"
)

// A Signature says what is known of a document's signature.
type Signature string

const (
	// Valid: made with the key in hand, over exactly these bytes.
	Valid Signature = "valid"
	// Invalid: not made with the key in hand, or the bytes were changed.
	Invalid Signature = "invalid"
	// Unsigned: the document says that it is not signed (alg none).
	Unsigned Signature = "unsigned"
	// Unchecked: it is signed and no key is in hand.
	Unchecked Signature = "unchecked"
)

// A Summary is all that a document says, but for its values.
type Summary struct {
	PayloadHeader
	Encoding  Encoding
	Algorithm string // HS256 or none
	// IssuedAt is protected.iat in seconds since 1970, 0 if there is none.
	IssuedAt float64
	// Metadata are the texts of payload.metadata.
	Metadata map[string]string
	// Rows is how many rows of len(Sensors) values there are.
	Rows int64
	// Binary is what follows "Ref-BINARY-" where the samples stand behind
	// the document instead of in it, such as i16; otherwise empty.
	Binary string
	// Size is the length of the whole document in bytes.
	Size int64
	// Signature and SignatureText say whether it holds and how it reads.
	Signature     Signature
	SignatureText string
	// Warnings are remarks on what is allowed but hardly meant.
	Warnings []string
}

// A Document is a decoded document.
type Document struct {
	Summary
	// Values are Rows rows of len(Sensors) values, one after another.
	Values []float64
}

// Row returns row i of the values.
func (d *Document) Row(i int) []float64 {
	n := len(d.Sensors)
	return d.Values[i*n : (i+1)*n : (i+1)*n]
}
