package spool

import (
	"bytes"
	"io"
	"time"
)

// A Kind says how a record's bytes are meant.
type Kind uint8

const (
	// KindFile is a whole file, kept and sent byte for byte.
	KindFile Kind = 1
	// KindWindow is the payload of an acquisition document; the destination
	// adds the envelope (protected, signature) when it sends.
	KindWindow Kind = 2
)

// A Record is a sample as the spool keeps it: envelope and bytes. A source
// fills in everything but Sequence and CreatedAt, which the spool gives.
type Record struct {
	// Sequence is the record's place in the spool's order, from 1; never
	// reused, never goes back. Zero until appended.
	Sequence uint64 `cbor:"-"`
	// Kind says whether Body is a whole file or a window's payload.
	Kind Kind `cbor:"1,keyasint"`
	// Identity is what makes the record the same as another one: SHA-256 of
	// a file's bytes, or of a window's payload, source and capture instant.
	Identity [32]byte `cbor:"2,keyasint"`
	// SHA256 is the hash of Body's bytes; it equals Identity for a file.
	SHA256 [32]byte `cbor:"3,keyasint"`
	// Name is the file name the record came with or is to go under.
	Name string `cbor:"4,keyasint"`
	// Dataset is the list the record belongs to: a category or a namespace.
	Dataset string `cbor:"5,keyasint"`
	// Label is what the record shows; its zero value means "not labelled".
	Label Label `cbor:"6,keyasint,omitzero"`
	// ContentType is the MIME type of Body, such as application/cbor.
	ContentType string `cbor:"7,keyasint"`
	// Source is the name of the source the record came from.
	Source string `cbor:"8,keyasint"`
	// Metadata are the configured pairs and those that came with the record.
	Metadata map[string]string `cbor:"9,keyasint,omitempty"`
	// Time is when the record was captured, as the board knew it.
	Time Instant `cbor:"10,keyasint"`
	// Size is the length of Body in bytes.
	Size int64 `cbor:"11,keyasint"`
	// Companions travel with the record in the same request, such as
	// bounding_boxes.labels for an image.
	Companions []Companion `cbor:"12,keyasint,omitempty"`
	// DeviceName and DeviceType are the device's as they were at capture.
	DeviceName string `cbor:"13,keyasint,omitempty"`
	DeviceType string `cbor:"14,keyasint,omitempty"`
	// CreatedAt is the spool's own time of the record: it never goes back,
	// and takes wall time only while the clock is synchronised.
	CreatedAt time.Time `cbor:"15,keyasint"`
	// Length is how long a window lasts; zero for a file.
	Length time.Duration `cbor:"16,keyasint,omitempty"`
	// Body gives the bytes. In a record handed to Append it comes from
	// Bytes or from Spool.Stage; in a fetched record it reads the spool.
	Body Body `cbor:"-"`
}

// ID is the record's short name: the first 12 bytes of Identity in hex.
func (r *Record) ID() string { return hexPrefix(r.Identity) }

// A Label is one text for the whole sample, or a structured label.
type Label struct {
	// Text is the label of the whole sample; empty means none.
	Text string `cbor:"1,keyasint,omitempty"`
	// Segments label stretches of rows; both ends are row indices from 0,
	// the end is inclusive.
	Segments []Segment `cbor:"2,keyasint,omitempty"`
	// Pairs are key-value labels.
	Pairs map[string]string `cbor:"3,keyasint,omitempty"`
	// Boxes mark objects in an image; an empty non-nil list does not
	// survive storage, so a background image carries a companion instead.
	Boxes []Box `cbor:"4,keyasint,omitempty"`
}

// Unlabelled tells whether nothing at all is known of what the sample shows.
func (l Label) Unlabelled() bool {
	return l.Text == "" && len(l.Segments) == 0 && len(l.Pairs) == 0 && len(l.Boxes) == 0
}

// IsZero lets the encoder leave out a label that says nothing.
func (l Label) IsZero() bool { return l.Unlabelled() }

// A Segment labels the rows Start to End, both from 0, End inclusive.
type Segment struct {
	Start int               `cbor:"1,keyasint"`
	End   int               `cbor:"2,keyasint"`
	Text  string            `cbor:"3,keyasint"`
	Map   map[string]string `cbor:"4,keyasint,omitempty"`
}

// A Box marks an object in an image, in pixels.
type Box struct {
	Label  string  `cbor:"1,keyasint"`
	X      float64 `cbor:"2,keyasint"`
	Y      float64 `cbor:"3,keyasint"`
	Width  float64 `cbor:"4,keyasint"`
	Height float64 `cbor:"5,keyasint"`
}

// A Companion is a small further part that rides in the record's request.
type Companion struct {
	Name        string `cbor:"1,keyasint"`
	ContentType string `cbor:"2,keyasint"`
	Bytes       []byte `cbor:"3,keyasint"`
}

// A ClockState says how far the wall clock could be trusted at an instant.
type ClockState uint8

const (
	// ClockUnknown means that nothing vouches for the wall time.
	ClockUnknown ClockState = 0
	// ClockSynchronised means that the kernel or the time service vouches.
	ClockSynchronised ClockState = 1
)

// An Instant is one moment as the board knew it. Order and ages go by Boot
// and Since; Wall is a claim that State vouches for or not.
type Instant struct {
	// Boot is the kernel's id of this boot.
	Boot [16]byte `cbor:"1,keyasint"`
	// Since is CLOCK_BOOTTIME: the time since that boot, sleep included.
	Since time.Duration `cbor:"2,keyasint"`
	// Wall is the claimed wall time in nanoseconds since 1970 UTC.
	Wall int64 `cbor:"3,keyasint"`
	// State says whether Wall was vouched for.
	State ClockState `cbor:"4,keyasint,omitempty"`
}

// A Body gives a record's bytes, as often as it is asked.
type Body interface {
	// Size is the number of bytes that a reader from Open will give.
	Size() int64
	// SHA256 is the hash of those bytes.
	SHA256() [32]byte
	// Open starts a new reader at the first byte. A read error that is a
	// damaged record satisfies errors.Is(err, ErrDamaged). The readers of the
	// spool's own bodies are io.Seekers as well.
	Open() (io.ReadCloser, error)
}

// Bytes makes a Body of bytes in memory, which must not change afterwards.
// Meant for small bodies; whole files go through Spool.Stage.
func Bytes(b []byte) Body { return memoryBody{bytes: b, sum: sha256Sum(b)} }

type memoryBody struct {
	bytes []byte
	sum   [32]byte
}

func (b memoryBody) Size() int64      { return int64(len(b.bytes)) }
func (b memoryBody) SHA256() [32]byte { return b.sum }
func (b memoryBody) Open() (io.ReadCloser, error) {
	return bodyInMemory{bytes.NewReader(b.bytes)}, nil
}
