package spool

import "time"

// exceptionsShown bounds the exceptions in a Report.
const exceptionsShown = 1000

// A Report is what Inspect finds in a spool.
type Report struct {
	Path          string             `json:"path"`
	Held          bool               `json:"held"`       // by an agent: the figures are those of a moment
	Records       int64              `json:"records"`    // damaged ones too
	Readable      int64              `json:"readable"`   // of those
	Bytes         int64              `json:"bytes"`      // of bodies
	DiskBytes     int64              `json:"disk_bytes"` // of the whole folder
	FirstSequence uint64             `json:"first_sequence"`
	NextSequence  uint64             `json:"next_sequence"`
	Datasets      []DatasetReport    `json:"datasets"`
	Segments      []SegmentReport    `json:"segments"`
	Streams       []StreamReport     `json:"streams"`
	Exceptions    []ExceptionReport  `json:"exceptions"` // the first 1000
	Detections    DetectionReport    `json:"detections"`
	Damage        []Damage           `json:"damage"`
	Quarantine    []QuarantineReport `json:"quarantine"` // what was set aside
	Leftovers     []string           `json:"leftovers"`  // what the next start ends or removes, and what is not the spool's
}

// A DatasetReport counts the records of one dataset.
type DatasetReport struct {
	Name    string `json:"name"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
	First   uint64 `json:"first_sequence"`
	Last    uint64 `json:"last_sequence"`
}

// A SegmentReport describes one segment. Closed: it needs no mending.
type SegmentReport struct {
	Name      string `json:"name"`
	First     uint64 `json:"first_sequence"`
	Last      uint64 `json:"last_sequence"`
	Records   int64  `json:"records"`  // damaged ones too
	Readable  int64  `json:"readable"` // of those
	Bytes     int64  `json:"bytes"`
	DiskBytes int64  `json:"disk_bytes"`
	Closed    bool   `json:"closed"`
}

// A QuarantineReport describes what was set aside. Readable are the records
// that Salvage finds in it; they are in the spool as well if it was built anew.
type QuarantineReport struct {
	Name      string `json:"name"`
	Readable  int64  `json:"readable"`
	DiskBytes int64  `json:"disk_bytes"`
}

// A StreamReport describes one stream.
type StreamReport struct {
	Name         string `json:"name"`
	Dataset      string `json:"dataset"`
	Next         uint64 `json:"next_sequence"`
	Backlog      int64  `json:"backlog"`
	BacklogBytes int64  `json:"backlog_bytes"`
	Stored       uint64 `json:"stored"`
	AlreadyThere uint64 `json:"already_there"`
	Rejected     uint64 `json:"rejected"`
	Lost         uint64 `json:"lost"`
	Exceptions   int64  `json:"exceptions"`
}

// An ExceptionReport is a record set aside on a stream.
type ExceptionReport struct {
	Stream   string    `json:"stream"`
	Sequence uint64    `json:"sequence"`
	Name     string    `json:"name"`
	Status   int       `json:"status"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// A DetectionReport counts the detections that can be read.
type DetectionReport struct {
	Detections int64  `json:"detections"`
	First      uint64 `json:"first_id"`
	Last       uint64 `json:"last_id"`
	DiskBytes  int64  `json:"disk_bytes"`
}

// Damage is a stretch of records, a whole segment or another part of the spool
// that cannot be read as it should. A segment that is damaged and still has all
// its records is built anew from them at the next start, or when it is read.
type Damage struct {
	Segment string `json:"segment"` // or the file or store
	Dataset string `json:"dataset,omitempty"`
	First   uint64 `json:"first_sequence"`
	Last    uint64 `json:"last_sequence"`
	Records int64  `json:"records"` // lost by it
	Reason  string `json:"reason"`
}
