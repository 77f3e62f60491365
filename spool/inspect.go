package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// Inspect looks into a spool and reads every record and every body. It changes
// nothing, not a byte, needs no place to write, and works beside an agent.
func Inspect(ctx context.Context, path string) (Report, error) {
	v, err := openView(path, true)
	if err != nil {
		return Report{}, err
	}
	defer v.close()
	r := Report{
		Path: path, Held: v.held, DiskBytes: treeBytes(path), Datasets: []DatasetReport{}, Segments: []SegmentReport{},
		Streams: []StreamReport{}, Exceptions: []ExceptionReport{}, Damage: []Damage{}, Quarantine: []QuarantineReport{},
		Leftovers: leftovers(path),
	}
	if v.format != nil {
		r.addDamage("FORMAT", v.format)
	}
	r.addFacts(v.meta)
	r.NextSequence = v.nextSequence()
	r.FirstSequence = r.NextSequence
	for _, st := range v.stores {
		if err := r.addSegment(ctx, v, st); err != nil {
			return Report{}, err
		}
	}
	sort.Slice(r.Datasets, func(i, j int) bool { return r.Datasets[i].Name < r.Datasets[j].Name })
	r.addStreams(v)
	r.addHistory(path)
	r.addDetections(path)
	r.addRuns(path, v.spool.codec.epoch)
	return r, r.addQuarantine(ctx, v)
}

func (r *Report) addDamage(part string, cause error) {
	r.Damage = append(r.Damage, Damage{Segment: part, Reason: cause.Error()})
}

func (r *Report) addFacts(f viewedFacts) {
	if f.cause != nil {
		r.addDamage(f.name, f.cause)
	}
}

// addSegment counts a segment's records and reads each of them.
func (r *Report) addSegment(ctx context.Context, v *view, st *viewedStore) error {
	seg := SegmentReport{
		Name: st.id.name(), First: st.row.ID.First, Last: st.row.Last, Records: st.row.Count, Bytes: st.row.Bytes,
		DiskBytes: st.row.Disk, Closed: !hasKeyLog(st.dir),
	}
	if st.cause != nil {
		r.addDamage(seg.Name, st.cause)
	}
	for name, set := range st.row.Sets {
		r.FirstSequence = min(r.FirstSequence, set.First)
		r.addDataset(name, set)
	}
	lose := func(head block, cause error) {
		r.Damage = append(r.Damage, Damage{
			Segment: seg.Name, Dataset: head.name, First: head.first, Last: head.last, Records: int64(head.count), Reason: cause.Error(),
		})
	}
	for _, head := range st.lost {
		lose(head, fmt.Errorf("%w: no whole block in the value log has these records", ErrDamaged))
	}
	if more := st.sealed.Count - st.row.Count; more > 0 {
		seg.Records += more
		r.Damage = append(r.Damage, Damage{
			Segment: seg.Name, First: st.sealed.ID.First, Last: st.sealed.Last, Records: more,
			Reason: "meta knows of more records than the segment has",
		})
	}
	buf := make([]byte, 32<<10)
	err := v.walkStore(ctx, st, func(rec *stored) error {
		if err := v.readWhole(ctx, rec, buf); err != nil && ctx.Err() == nil {
			lose(block{first: rec.sequence, last: rec.sequence, count: 1}, err)
		} else {
			seg.Readable++
		}
		return ctx.Err()
	}, lose)
	r.Segments = append(r.Segments, seg)
	r.Records += seg.Records
	r.Readable += seg.Readable
	r.Bytes += seg.Bytes
	return err
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
func (v *view) readWhole(ctx context.Context, rec *stored, buf []byte) error {
	r, err := v.record(rec)
	if err != nil {
		return err
	}
	return r.Body.(*keptBody).check(ctx, buf)
}

// addStreams lists the streams.
func (r *Report) addStreams(v *view) {
	_ = eachOf(v.meta.pairs, []byte{metaStream}, func(key, value []byte) error {
		var row streamRow
		if err := envelopeDec.Unmarshal(value, &row); err != nil {
			r.addDamage(v.meta.name, fmt.Errorf("%w: stream row: %v", ErrDamaged, err))
			return nil
		}
		s := StreamReport{
			Name: string(key[1:]), Dataset: row.Dataset, Next: row.Next, Stored: row.Totals.Stored,
			AlreadyThere: row.Totals.AlreadyThere, Rejected: row.Totals.Rejected, Lost: row.Totals.Lost, Exceptions: row.Exceptions,
		}
		s.Backlog, s.BacklogBytes = v.backlog(row)
		r.Streams = append(r.Streams, s)
		return nil
	})
}

// addHistory reads the exceptions.
func (r *Report) addHistory(path string) {
	names, _ := os.ReadDir(filepath.Join(path, "hist"))
	for _, d := range names {
		if !d.IsDir() || !isStoreName(d.Name()) {
			continue
		}
		f := viewFacts(filepath.Join(path, "hist", d.Name()))
		r.addFacts(f)
		_ = eachOf(f.pairs, []byte{histException}, func(key, value []byte) error {
			stream := string(key[2 : 2+int(key[1])])
			if e, err := decodeException(stream, value); err == nil && len(r.Exceptions) < exceptionsShown {
				r.Exceptions = append(r.Exceptions, ExceptionReport{
					Stream: stream, Sequence: binary.BigEndian.Uint64(key[2+len(stream):]), Name: e.Record.Name,
					Status: e.Outcome.Status, Reason: e.Outcome.Reason, At: e.Outcome.At,
				})
			}
			return nil
		})
	}
}

// addDetections counts the detections.
func (r *Report) addDetections(path string) {
	dir := filepath.Join(path, "det")
	names, _ := os.ReadDir(dir)
	for _, d := range names {
		if !isStoreName(d.Name()) {
			continue
		}
		f := viewFacts(filepath.Join(dir, d.Name()))
		r.addFacts(f)
		found := &r.Detections
		_ = eachOf(f.pairs, []byte{detectionKind}, func(_, value []byte) error {
			if h, err := parseDetectionHead(value); err == nil && h.first > found.Last {
				found.Detections, found.Last = found.Detections+int64(h.count), h.last
				if found.First == 0 {
					found.First = h.first
				}
			}
			return nil
		})
	}
	r.Detections.DiskBytes = treeBytes(dir)
}

// addRuns reads the runs of the duplicate index.
func (r *Report) addRuns(path string, epoch uint64) {
	runs, _ := filepath.Glob(filepath.Join(path, "seen", "*.run"))
	for _, path := range runs {
		run, err := openRun(path, epoch)
		if err == nil {
			err = run.check()
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			r.addDamage("seen/"+filepath.Base(path), err)
		}
	}
}

// addQuarantine counts what can be read of what was set aside.
func (r *Report) addQuarantine(ctx context.Context, v *view) error {
	names, err := os.ReadDir(filepath.Join(v.path, "quarantine"))
	if err != nil {
		return nil // there is none
	}
	for _, d := range names {
		dir := filepath.Join(v.path, "quarantine", d.Name())
		q := QuarantineReport{Name: d.Name(), DiskBytes: treeBytes(dir)}
		err := v.salvageStore(ctx, dir, func(Record) error { q.Readable++; return nil })
		if err != nil {
			return err
		}
		r.Quarantine = append(r.Quarantine, q)
	}
	return nil
}

// nextSequence is the first that the next start may give.
func (v *view) nextSequence() uint64 {
	next := uint64(1)
	for _, p := range v.meta.pairs {
		var counters counterRow
		var stream streamRow
		switch {
		case p.key[0] == metaCounters && envelopeDec.Unmarshal(p.value, &counters) == nil:
			next = max(next, counters.NextSequence)
		case p.key[0] == metaStream && envelopeDec.Unmarshal(p.value, &stream) == nil:
			next = max(next, stream.Next)
		}
	}
	for _, st := range v.stores {
		next = max(next, st.row.Last+1, st.sealed.Last+1, st.id.First)
	}
	return next
}

// backlog is what a stream has not passed, damaged records too.
func (v *view) backlog(row streamRow) (records, bytes int64) {
	for _, st := range v.stores {
		heads := slices.Clone(st.lost)
		for _, place := range st.chunks {
			if place.head.name == row.Dataset && place.head.first < row.Next && place.head.last >= row.Next {
				n, size := v.behind(place, row.Next)
				records, bytes = records+n, bytes+size
				continue
			}
			heads = append(heads, place.head)
		}
		for _, head := range heads {
			if head.name == row.Dataset && head.last >= row.Next {
				records += min(int64(head.count), int64(head.last-row.Next+1))
				bytes += head.bytes
			}
		}
	}
	return records, bytes
}

// behind counts what of a chunk lies at or behind a sequence.
func (v *view) behind(place blockPlace, from uint64) (records, bytes int64) {
	b, err := v.read(place)
	if err != nil {
		return 0, 0
	}
	recs, _ := decodeChunk(&b)
	for i := range recs {
		if r, err := recs[i].record(); err == nil && r.Sequence >= from {
			records, bytes = records+1, bytes+r.Size
		}
	}
	return records, bytes
}
