package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"
)

// A modelRecord is what the model knows of a record.
type modelRecord struct {
	Record
	written   bool        // a segment has it
	promised  bool        // somebody was told that it is durable
	gone      bool        // retention took it
	forgotten bool        // its identity may come again
	broken    bool        // retention took parts of its body
	segment   segmentID   // that has it
	parts     []segmentID // that have its body
	created   int64
}

// A modelCursor is what of a stream goes into its row.
type modelCursor struct {
	next   uint64
	totals Totals
}

// A modelStream is what the model knows of a stream.
type modelStream struct {
	modelCursor
	st         *Stream
	name       string
	dataset    string
	pin        bool
	fetched    map[uint64]bool // and not settled
	settled    map[uint64]Fate // at or behind the cursor
	rejected   map[uint64]bool // since the last reset
	exceptions map[uint64]Outcome
	safe       modelCursor // what must survive a crash, at least
}

// row is what of the stream may become durable now: the cursor, and what was
// counted before it. Rejected records are never offered again.
func (m *modelState) row(st *modelStream) modelCursor {
	row := st.modelCursor
	for sequence, fate := range st.settled {
		switch fate {
		case FateStored:
			row.totals.Stored--
			row.totals.BytesStored -= uint64(m.find(sequence).Size)
		case FateAlreadyThere:
			row.totals.AlreadyThere--
		case FateLost:
			row.totals.Lost--
		}
	}
	return row
}

// A modelState is the whole model: plain lists and maps.
type modelState struct {
	recs       []*modelRecord // by sequence
	known      map[[32]byte]*modelRecord
	streams    map[string]*modelStream
	segments   map[segmentID][2]int64 // and how many records they had, and what they took of the disk
	fresh      int
	duplicates uint64
	lost       uint64
	damaged    uint64
	safe       struct{ duplicates, damaged, lost uint64 }
	small      bool // the cap is
	clock      modelClock
	boots      map[[16]byte]bootRow
	offered    uint64
}

func newModelState() *modelState {
	return &modelState{
		known: map[[32]byte]*modelRecord{}, streams: map[string]*modelStream{}, segments: map[segmentID][2]int64{},
		clock: newModelClock(), boots: map[[16]byte]bootRow{},
	}
}

// modelLarge: one number in so many has a body that is kept in parts.
const modelLarge = 24

// modelBody is the body of a number.
func modelBody(number int) []byte {
	size := 8 + number*131%1500
	if number%modelLarge == 7 {
		size = 70<<10 + number*8191%(250<<10)
	}
	body := make([]byte, size)
	x := uint64(number)*0x9e3779b97f4a7c15 + 1
	for i := 0; i+8 <= size; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(body[i:], x)
	}
	binary.LittleEndian.PutUint64(body, uint64(number))
	return body
}

// record makes a record of a number; repeats of it may differ by the variant.
func (m *modelState) record(number, variant int) Record {
	return Record{
		Kind: KindFile, Name: fmt.Sprintf("%d.csv", number), Dataset: []string{"training", "testing", "anomaly"}[variant%3],
		Label: Label{Text: []string{"idle", "shake"}[variant/6]}, ContentType: "text/csv", Source: "model",
		Body: Bytes(modelBody(number)), Time: m.clock.now(variant),
	}
}

func (m *modelState) find(sequence uint64) *modelRecord {
	i, ok := slices.BinarySearchFunc(m.recs, sequence, func(r *modelRecord, s uint64) int {
		return int(int64(r.Sequence) - int64(s))
	})
	if !ok {
		return nil
	}
	return m.recs[i]
}

// appended takes what Append answered: new records get the next sequences,
// known ones that of the first.
func (m *modelState) appended(t rapid.TB, s *Spool, recs []Record, results []Result) {
	for i, r := range recs {
		got := results[i]
		r.SHA256 = r.Body.SHA256()
		r.Identity, r.Size = r.SHA256, r.Body.Size()
		if first := m.known[r.Identity]; first != nil {
			m.duplicates++
			same := first.Name == r.Name && first.Dataset == r.Dataset && first.Label.Text == r.Label.Text
			want := Result{Sequence: first.Sequence, Duplicate: true, Relabelled: !same && !first.gone}
			if got != want {
				t.Fatalf("append %s again gives %+v, want %+v", r.Name, got, want)
			}
			continue
		}
		if got.Duplicate || got.Relabelled || got.Sequence == 0 {
			t.Fatalf("append new %s gives %+v", r.Name, got)
		}
		if n := len(m.recs); n > 0 && got.Sequence <= m.recs[n-1].Sequence {
			t.Fatalf("append gives sequence %d after %d", got.Sequence, m.recs[n-1].Sequence)
		}
		r.Sequence = got.Sequence
		rec := &modelRecord{Record: r, created: m.clock.stamp(r.Time)}
		m.recs = append(m.recs, rec)
		m.known[r.Identity] = rec
	}
}

// promise notes that a receipt was waited for.
func (m *modelState) promise(sequence uint64) {
	if r := m.find(sequence); r != nil {
		r.promised = true
	}
}

// forget lets a record's sample come again.
func (m *modelState) forget(r *modelRecord) {
	r.forgotten = true
	if m.known[r.Identity] == r {
		delete(m.known, r.Identity)
	}
}

// compare wants a fetched record to be the one that was appended.
func (r *modelRecord) compare(t rapid.TB, got *Record, body bool) {
	if got.Sequence != r.Sequence || got.Name != r.Name || got.Dataset != r.Dataset || got.Label.Text != r.Label.Text ||
		got.Identity != r.Identity || got.SHA256 != r.SHA256 || got.Size != r.Size || got.Time != r.Time ||
		got.CreatedAt.UnixNano() != r.created {
		t.Fatalf("record %d came back as %+v, want %+v, created %d", r.Sequence, got, r.Record, r.created)
	}
	if !body {
		return
	}
	rd, err := got.Body.Open()
	if err != nil {
		t.Fatalf("open body of %d: %v", r.Sequence, err)
	}
	data, err := io.ReadAll(rd)
	_ = rd.Close()
	var number int
	if _, serr := fmt.Sscanf(r.Name, "%d.csv", &number); serr != nil || err != nil || !bytes.Equal(data, modelBody(number)) {
		t.Fatalf("body of %d (%s) is %d bytes and another one: %v", r.Sequence, r.Name, len(data), err)
	}
}

// observe finds out what is in the segments, and what retention took since
// the last look.
func (m *modelState) observe(t rapid.TB, s *Spool) {
	s.mu.Lock()
	written, durable := s.writtenSeq, s.durable
	s.mu.Unlock()
	segs := s.table.list()
	for i := len(m.recs) - 1; i >= 0 && !m.recs[i].written; i-- {
		if r := m.recs[i]; r.Sequence <= written {
			m.place(t, s, r, segs)
		}
		if r := m.recs[i]; r.promised && r.Sequence > durable {
			t.Fatalf("record %d was acknowledged, durable are those up to %d", r.Sequence, durable)
		}
	}
	m.retired(t, s, segs)
}

// place notes which segments have a record and its body.
func (m *modelState) place(t rapid.TB, s *Spool, r *modelRecord, segs []*segment) {
	r.written = true
	for _, seg := range segs {
		if first, last := s.table.bounds(seg); first <= r.Sequence && r.Sequence <= last {
			r.segment = seg.id
		}
	}
	if r.Size > inlineLimit {
		st, err := s.stored(r.Dataset, r.Sequence)
		if err != nil {
			t.Fatalf("find record %d: %v", r.Sequence, err)
		}
		for _, run := range st.parts.runs {
			r.parts = append(r.parts, run.segment)
		}
	}
}

// retired applies what the segments have lost to streams and identities.
func (m *modelState) retired(t rapid.TB, s *Spool, segs []*segment) {
	now := map[segmentID][2]int64{}
	for _, seg := range segs {
		row := s.table.row(seg)
		now[seg.id] = [2]int64{row.Count, row.Disk}
	}
	var changed []segmentID
	for id, had := range m.segments {
		if has, there := now[id]; !there || has[0] < had[0] || has[1] < had[1] {
			changed = append(changed, id)
		}
	}
	slices.SortFunc(changed, compareIDs)
	for _, id := range changed {
		left := map[uint64]bool{}
		if seg := s.table.find(id); seg != nil {
			left = modelSequences(t, s, seg)
		}
		m.retire(t, s, id, left)
	}
	m.segments = now
	for _, r := range m.recs {
		touched := slices.ContainsFunc(r.parts, func(id segmentID) bool { return slices.Contains(changed, id) })
		if touched && !r.gone && !r.broken {
			r.broken = lacksParts(s, r, now)
		}
	}
}

// lacksParts tells whether parts of a body are gone.
func lacksParts(s *Spool, r *modelRecord, segments map[segmentID][2]int64) bool {
	for _, id := range r.parts {
		if _, there := segments[id]; !there {
			return true
		}
	}
	st, err := s.stored(r.Dataset, r.Sequence)
	for number := uint32(0); err == nil && int64(number)*partBytes < r.Size; number++ {
		_, err = s.readPart(st.parts, number)
	}
	return err != nil
}

// modelSequences reads which records a segment has.
func modelSequences(t rapid.TB, s *Spool, seg *segment) map[uint64]bool {
	found := map[uint64]bool{}
	first, last := s.table.bounds(seg)
	for dataset := range s.table.row(seg).Sets {
		err := s.table.view(seg, func(db *badger.DB) error {
			return eachChunk(db, dataset, 0, func(_ block, item *badger.Item) (bool, error) {
				recs, err := s.readChunk(item)
				for _, r := range recs {
					if found[r.sequence] {
						t.Fatalf("record %d is twice in segment %s", r.sequence, seg.id.name())
					}
					found[r.sequence] = first <= r.sequence && r.sequence <= last
				}
				return false, err
			})
		})
		if err != nil {
			t.Fatalf("read segment %s: %v", seg.id.name(), err)
		}
	}
	maps.DeleteFunc(found, func(_ uint64, believed bool) bool { return !believed })
	return found
}

// retire takes records of one segment away.
func (m *modelState) retire(t rapid.TB, s *Spool, id segmentID, left map[uint64]bool) {
	gone := map[string][]*modelRecord{}
	for _, r := range m.recs {
		if r.written && !r.gone && r.segment == id && !left[r.Sequence] {
			r.gone = true
			gone[r.Dataset] = append(gone[r.Dataset], r)
		}
	}
	for dataset, recs := range gone {
		delivered := uint64(0)
		for _, st := range m.streams {
			if st.dataset == dataset {
				delivered = max(delivered, st.next)
				m.lose(t, s, st, recs)
			}
		}
		for _, r := range recs {
			if r.Sequence >= delivered && !r.forgotten {
				m.forget(r)
			}
		}
	}
	if len(gone) > 0 {
		m.safe.lost = m.lost
	}
}

// lose takes records that went off a stream.
func (m *modelState) lose(t rapid.TB, s *Spool, st *modelStream, recs []*modelRecord) {
	last := recs[len(recs)-1].Sequence
	if st.next > last {
		return
	}
	if st.pin && (s.conf.WhenFull == refuse || !m.small) {
		t.Fatalf("record %d went although stream %s is at %d", last, st.name, st.next)
	}
	for _, r := range recs {
		if r.Sequence >= st.next && st.settled[r.Sequence] == 0 {
			st.totals.Lost++
			if st.pin {
				m.lost++
			}
		}
	}
	for _, r := range recs {
		delete(st.fetched, r.Sequence)
		delete(st.settled, r.Sequence)
	}
	// Nothing tells whether a cursor before a gap moved over it.
	if next := st.st.cursor.Load(); next > st.next && !m.holdsBetween(st, next) {
		st.move(next)
	}
	st.safe = m.row(st)
}

// holdsBetween tells whether the spool has records from the cursor up to
// there.
func (m *modelState) holdsBetween(st *modelStream, next uint64) bool {
	ahead := m.ahead(st)
	return len(ahead) > 0 && ahead[0].Sequence < next
}

// move sets the cursor and forgets what lies before it.
func (st *modelStream) move(next uint64) {
	st.next = next
	maps.DeleteFunc(st.fetched, func(sequence uint64, _ bool) bool { return sequence < next })
	maps.DeleteFunc(st.settled, func(sequence uint64, _ Fate) bool { return sequence < next })
}

// ahead lists the records that the stream has not passed, in order.
func (m *modelState) ahead(st *modelStream) []*modelRecord {
	i, _ := slices.BinarySearchFunc(m.recs, st.next, func(r *modelRecord, s uint64) int { return int(int64(r.Sequence) - int64(s)) })
	var out []*modelRecord
	for _, r := range m.recs[i:] {
		if r.written && !r.gone && r.Dataset == st.dataset {
			out = append(out, r)
		}
	}
	return out
}

// advance moves the cursor behind settled records.
func (m *modelState) advance(st *modelStream) {
	for _, r := range m.ahead(st) {
		if st.settled[r.Sequence] == 0 {
			return
		}
		st.move(r.Sequence + 1)
	}
}
