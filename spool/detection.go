package spool

import "time"

// A Detection is a scored result about a record, whatever came to it: a
// detector of a source, a model, or a service that was asked. It is kept longer
// than the record.
type Detection struct {
	// ID is the detection's number, from 1; given by the spool, rising, and
	// never given twice.
	ID uint64 `cbor:"1,keyasint"`
	// Sequence is that of the record that it is about, 0 if there is none in
	// the spool.
	Sequence uint64 `cbor:"2,keyasint,omitempty"`
	// Dataset, Name, ContentType, Source, Size and SHA256 are the record's as
	// they were.
	Dataset     string   `cbor:"3,keyasint,omitempty"`
	Name        string   `cbor:"4,keyasint,omitempty"`
	ContentType string   `cbor:"5,keyasint,omitempty"`
	Source      string   `cbor:"6,keyasint,omitempty"`
	Size        int64    `cbor:"7,keyasint,omitempty"`
	SHA256      [32]byte `cbor:"8,keyasint"`
	// Model and ModelVersion name what judged, such as "statistics" and "1".
	Model        string `cbor:"9,keyasint"`
	ModelVersion string `cbor:"10,keyasint,omitempty"`
	// Score is how sure it is that the record is an anomaly, 0 to 1.
	Score float64 `cbor:"11,keyasint"`
	// Classification is a free word for the record as a whole, such as the
	// label with the highest probability.
	Classification string `cbor:"12,keyasint,omitempty"`
	// Labels are predicted labels with their probabilities.
	Labels []PredictedLabel `cbor:"13,keyasint,omitempty"`
	// Checks are the single findings behind the score.
	Checks []Check `cbor:"14,keyasint,omitempty"`
	// Reasons say in words why, for a person.
	Reasons []string `cbor:"15,keyasint,omitempty"`
	// Tags are free pairs, by which the history can be filtered.
	Tags map[string]string `cbor:"16,keyasint,omitempty"`
	// At is when it was judged, in the spool's own time (see Record.CreatedAt);
	// set by the spool if zero.
	At time.Time `cbor:"17,keyasint"`
}

// A PredictedLabel is what a record may show; Name has a part for each level
// of a label in a hierarchy.
type PredictedLabel struct {
	Name        []string `cbor:"1,keyasint"`
	Probability float64  `cbor:"2,keyasint"` // 0 to 1
}

// A Check is one finding behind a detection's score.
type Check struct {
	Type    string  `cbor:"1,keyasint"` // such as THRESHOLD or SPECTRUM
	Passed  bool    `cbor:"2,keyasint"`
	Details string  `cbor:"3,keyasint,omitempty"`
	Score   float64 `cbor:"4,keyasint,omitempty"` // 0 to 1
}
