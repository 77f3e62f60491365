package spool

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// exceptionsShown bounds the exceptions in a Report.
const exceptionsShown = 1000

// A Report is what Inspect finds in a spool.
type Report struct {
	Path          string            `json:"path"`
	Records       int64             `json:"records"`
	Bytes         int64             `json:"bytes"`      // of bodies
	DiskBytes     int64             `json:"disk_bytes"` // of the whole folder
	FirstSequence uint64            `json:"first_sequence"`
	NextSequence  uint64            `json:"next_sequence"`
	Datasets      []DatasetReport   `json:"datasets"`
	Segments      []SegmentReport   `json:"segments"`
	Streams       []StreamReport    `json:"streams"`
	Exceptions    []ExceptionReport `json:"exceptions"` // the first 1000
	Damage        []Damage          `json:"damage"`
	Quarantine    []string          `json:"quarantine"` // what was set aside
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
	Records   int64  `json:"records"`
	Bytes     int64  `json:"bytes"`
	DiskBytes int64  `json:"disk_bytes"`
	Closed    bool   `json:"closed"`
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

// Damage is a stretch of records, or a whole segment, that cannot be read.
type Damage struct {
	Segment string `json:"segment"`
	Dataset string `json:"dataset,omitempty"`
	First   uint64 `json:"first_sequence"`
	Last    uint64 `json:"last_sequence"`
	Records int64  `json:"records"`
	Reason  string `json:"reason"`
}

// Inspect looks into a spool that no agent holds and reads every record and
// every body. It changes nothing, not a byte.
func Inspect(ctx context.Context, path string) (Report, error) {
	s, closer, err := view(path)
	if err != nil {
		return Report{}, err
	}
	defer closer()
	r := Report{
		Path: path, DiskBytes: treeBytes(path), Datasets: []DatasetReport{}, Segments: []SegmentReport{},
		Streams: []StreamReport{}, Exceptions: []ExceptionReport{}, Damage: []Damage{}, Quarantine: []string{},
	}
	if err := s.loadBoots(); err != nil && s.meta.db != nil {
		return Report{}, fmt.Errorf("look into spool %s: %w", path, err)
	}
	r.NextSequence = max(s.nextSeq, s.writtenSeq+1)
	r.FirstSequence = r.NextSequence
	for _, seg := range s.table.list() {
		if err := r.addSegment(ctx, s, seg); err != nil {
			return Report{}, err
		}
	}
	slices.SortFunc(r.Datasets, func(a, b DatasetReport) int { return strings.Compare(a.Name, b.Name) })
	if s.meta.db != nil {
		r.addStreams(s)
	}
	if names, err := os.ReadDir(filepath.Join(path, "quarantine")); err == nil {
		for _, d := range names {
			r.Quarantine = append(r.Quarantine, d.Name())
		}
	}
	return r, nil
}

// addSegment counts a segment's records and reads each of them.
func (r *Report) addSegment(ctx context.Context, s *Spool, seg *segment) error {
	row := s.table.row(seg)
	r.Segments = append(r.Segments, SegmentReport{
		Name: seg.id.name(), First: row.ID.First, Last: row.Last, Records: row.Count, Bytes: row.Bytes,
		DiskBytes: row.Disk, Closed: clean(seg.dir),
	})
	if seg.broken != nil {
		r.Damage = append(r.Damage, Damage{Segment: seg.id.name(), First: row.ID.First, Last: row.Last, Reason: seg.broken.Error()})
		return nil
	}
	r.Records += row.Count
	r.Bytes += row.Bytes
	for name, set := range row.Sets {
		r.FirstSequence = min(r.FirstSequence, set.First)
		r.addDataset(name, set)
	}
	buf := make([]byte, 32<<10)
	return s.walkSegment(ctx, seg, func(rec *stored) error {
		if err := s.readWhole(ctx, rec, buf); err != nil && ctx.Err() == nil {
			r.Damage = append(r.Damage, Damage{Segment: seg.id.name(), First: rec.sequence, Last: rec.sequence, Records: 1, Reason: err.Error()})
		}
		return ctx.Err()
	}, func(head block, cause error) {
		r.Damage = append(r.Damage, Damage{
			Segment: seg.id.name(), Dataset: head.name, First: head.first, Last: head.last, Records: int64(head.count), Reason: cause.Error(),
		})
	})
}

func (r *Report) addDataset(name string, set setRow) {
	i := slices.IndexFunc(r.Datasets, func(d DatasetReport) bool { return d.Name == name })
	if i < 0 {
		r.Datasets = append(r.Datasets, DatasetReport{Name: name, First: set.First})
		i = len(r.Datasets) - 1
	}
	d := &r.Datasets[i]
	d.Records += set.Count
	d.Bytes += set.Bytes
	d.Last = max(d.Last, set.Last)
}

// readWhole reads a record's envelope and body and compares the hash.
func (s *Spool) readWhole(ctx context.Context, rec *stored, buf []byte) error {
	r, err := rec.record()
	if err != nil {
		return err
	}
	body := &keptBody{spool: s, inline: rec.inline, parts: rec.parts, size: r.Size, sum: r.SHA256}
	return body.check(ctx, buf)
}

// addStreams lists the streams and their exceptions.
func (r *Report) addStreams(s *Spool) {
	if err := s.loadStreams(); err != nil {
		r.Damage = append(r.Damage, Damage{Segment: "meta", Reason: err.Error()})
	}
	for _, st := range s.Streams() {
		r.Streams = append(r.Streams, StreamReport{
			Name: st.Name, Dataset: st.Dataset, Next: st.Next, Backlog: st.Backlog, BacklogBytes: st.BacklogBytes,
			Stored: st.Totals.Stored, AlreadyThere: st.Totals.AlreadyThere, Rejected: st.Totals.Rejected,
			Lost: st.Totals.Lost, Exceptions: st.Exceptions,
		})
	}
	err := s.hist.each([]byte{histException}, func(key, value []byte) error {
		stream := string(key[2 : 2+int(key[1])])
		if e, err := decodeException(stream, value); err == nil && len(r.Exceptions) < exceptionsShown {
			r.Exceptions = append(r.Exceptions, ExceptionReport{
				Stream: stream, Sequence: binary.BigEndian.Uint64(key[2+len(stream):]), Name: e.Record.Name,
				Status: e.Outcome.Status, Reason: e.Outcome.Reason, At: e.Outcome.At,
			})
		}
		return nil
	})
	if err != nil {
		r.Damage = append(r.Damage, Damage{Segment: "hist", Reason: err.Error()})
	}
}
