package spool

import (
	"context"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// modelStreams are the streams that a run may have, and what they read.
var modelStreams = map[string]string{"a": "training", "b": "training", "c": "testing", "d": "anomaly"}

// pick draws one of the streams that there are.
func (m *modelRun) pick(t *rapid.T) *modelStream {
	if len(m.streams) == 0 {
		t.Skip("no stream")
	}
	return m.streams[rapid.SampledFrom(slices.Sorted(maps.Keys(m.streams))).Draw(t, "stream")]
}

// stream opens or creates a stream, or changes whether it pins.
func (m *modelRun) stream(t *rapid.T) {
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(modelStreams))).Draw(t, "name")
	o := StreamOptions{Pin: rapid.Bool().Draw(t, "pin"), FromNow: rapid.Bool().Draw(t, "from now")}
	m.openStream(t, name, o)
}

func (m *modelRun) openStream(t *rapid.T, name string, o StreamOptions) {
	st, err := m.s.Stream(name, modelStreams[name], o)
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	ms := m.streams[name]
	if ms == nil {
		ms = &modelStream{
			name: name, dataset: modelStreams[name], fetched: map[uint64]bool{}, settled: map[uint64]Fate{},
			rejected:   map[uint64]bool{},
			exceptions: map[uint64]Outcome{},
		}
		ms.next = 1
		if o.FromNow {
			ms.next = m.s.Stats().NextSequence
		}
		ms.safe = m.row(ms)
		m.streams[name] = ms
	}
	if ms.pin != o.Pin {
		ms.safe = m.row(ms)
	}
	ms.st, ms.pin = st, o.Pin
}

func (m *modelRun) remove(t *rapid.T) {
	st := m.pick(t)
	if err := m.s.RemoveStream(st.name); err != nil {
		t.Fatalf("remove stream: %v", err)
	}
	delete(m.streams, st.name)
}

// fetch wants exactly the next unsettled records that fit, at least one.
func (m *modelRun) fetch(t *rapid.T) {
	st := m.pick(t)
	limit := Limit{
		Records: rapid.SampledFrom([]int{1, 3, 10, 100}).Draw(t, "records"),
		Bytes:   rapid.SampledFrom([]int64{1, 2000, 1 << 30}).Draw(t, "bytes"),
	}
	recs, err := st.st.Fetch(context.Background(), limit)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	var bytes int64
	n := 0
	full := false
	for _, r := range m.ahead(st) {
		switch {
		case st.settled[r.Sequence] != 0:
			continue
		case r.broken: // behind a full batch it may have been met, or not
			if i, ok := st.st.find(r.Sequence); n == 0 || ok && st.st.window[i].done {
				m.spoil(st, r)
			} else {
				full = true
			}
			continue
		}
		if full = full || n > 0 && (n >= limit.Records || bytes+r.Size > limit.Bytes); full {
			break
		}
		if n >= len(recs) {
			t.Fatalf("fetch %+v gives %v; record %d is missing", limit, sequences(recs), r.Sequence)
		}
		r.compare(t, &recs[n], rapid.IntRange(0, 3).Draw(t, "read") == 0)
		m.checkDated(t, &recs[n])
		st.fetched[r.Sequence] = true
		bytes += r.Size
		n++
	}
	if n != len(recs) {
		t.Fatalf("fetch %+v gives %v, want %d records", limit, sequences(recs), n)
	}
	m.advance(st)
	m.offer(recs)
}

// delivered tells whether every destination has passed a record; without one,
// any reader counts for what is kept longer.
func (m *modelRun) delivered(r *modelRecord) bool {
	var pinned, read []uint64
	for _, st := range m.streams {
		if st.dataset == r.Dataset && st.pin {
			pinned = append(pinned, st.next)
		} else if st.dataset == r.Dataset && m.s.keptLonger(r.Dataset) {
			read = append(read, st.next)
		}
	}
	if len(pinned) > 0 {
		return slices.Min(pinned) > r.Sequence
	}
	return len(read) > 0 && slices.Max(read) > r.Sequence
}

// spoil counts a record whose body's parts went to make room.
func (m *modelRun) spoil(st *modelStream, r *modelRecord) {
	if !m.delivered(r) {
		if !r.forgotten {
			m.forget(r)
		}
		if st.pin {
			m.lost++
		}
	}
	st.totals.Lost++
	st.settled[r.Sequence] = FateLost
	delete(st.fetched, r.Sequence)
}

func (m *modelRun) settle(t *rapid.T) {
	st := m.pick(t)
	if len(st.fetched) == 0 {
		t.Skip("nothing is fetched")
	}
	var outcomes []Outcome
	for _, sequence := range slices.Sorted(maps.Keys(st.fetched)) {
		if rapid.IntRange(0, 2).Draw(t, "leave") == 0 {
			continue
		}
		fate := rapid.SampledFrom([]Fate{FateStored, FateStored, FateAlreadyThere, FateRejected, FateLost}).Draw(t, "fate")
		outcomes = append(outcomes, Outcome{Sequence: sequence, Fate: fate, Status: 400 + int(sequence%100), Reason: "as drawn"})
	}
	if rapid.Bool().Draw(t, "stranger") { // one that was not fetched changes nothing
		outcomes = append(outcomes, Outcome{Sequence: st.next + 100_000, Fate: FateRejected}, Outcome{Sequence: st.next - 1, Fate: FateLost})
	}
	slices.Reverse(outcomes)
	m.settleOutcomes(t, st, outcomes)
}

// settleAll is what most batches come to.
func (m *modelRun) settleAll(t *rapid.T) {
	st := m.pick(t)
	var outcomes []Outcome
	for _, sequence := range slices.Sorted(maps.Keys(st.fetched)) {
		outcomes = append(outcomes, Outcome{Sequence: sequence, Fate: FateStored})
	}
	m.settleOutcomes(t, st, outcomes)
}

func (m *modelRun) settleOutcomes(t *rapid.T, st *modelStream, outcomes []Outcome) {
	if err := st.st.Settle(context.Background(), outcomes...); err != nil {
		t.Fatalf("settle: %v", err)
	}
	var rejected []*modelRecord
	for _, o := range outcomes {
		r := m.find(o.Sequence)
		if r == nil || !st.fetched[o.Sequence] {
			continue
		}
		delete(st.fetched, o.Sequence)
		st.settled[o.Sequence] = o.Fate
		switch o.Fate {
		case FateStored:
			st.totals.Stored++
			st.totals.BytesStored += uint64(r.Size)
		case FateAlreadyThere:
			st.totals.AlreadyThere++
		case FateRejected:
			st.totals.Rejected++
			st.exceptions[o.Sequence] = o
			st.rejected[o.Sequence] = true
			rejected = append(rejected, r)
		case FateLost:
			m.spoilSettled(st, r)
		}
	}
	for _, r := range rejected {
		if m.rejectedByAll(st, r) && !r.forgotten {
			m.forget(r)
		}
	}
	m.advance(st)
	if len(rejected) > 0 {
		st.safe = m.row(st)
	}
}

func (m *modelState) spoilSettled(st *modelStream, r *modelRecord) {
	st.totals.Lost++
	if !r.forgotten {
		m.damaged++
		m.forget(r)
	}
}

// rejectedByAll tells whether no pinning stream took a record or still may.
func (m *modelState) rejectedByAll(st *modelStream, r *modelRecord) bool {
	for _, o := range m.streams {
		_, rejected := o.exceptions[r.Sequence]
		if o != st && o.pin && o.dataset == st.dataset && !rejected {
			return false
		}
	}
	return true
}

func (m *modelRun) sync(t *rapid.T) {
	st := m.pick(t)
	if err := st.st.Sync(context.Background()); err != nil {
		t.Fatalf("sync: %v", err)
	}
	st.safe = m.row(st)
}

func (m *modelRun) reset(t *rapid.T) {
	st := m.pick(t)
	next := m.s.Stats().NextSequence
	to := uint64(rapid.Int64Range(0, int64(next)+3).Draw(t, "to"))
	if err := st.st.Reset(context.Background(), to); err != nil {
		t.Fatalf("reset: %v", err)
	}
	clear(st.fetched)
	clear(st.settled)
	clear(st.rejected)
	st.next = max(1, min(to, next))
	st.safe = m.row(st)
}

// exceptions wants every record that was rejected, with its reason.
func (m *modelRun) exceptions(t *rapid.T) {
	st := m.pick(t)
	got, err := st.st.Exceptions(context.Background(), 0, 1<<30)
	if err != nil {
		t.Fatalf("list exceptions: %v", err)
	}
	if len(got) != len(st.exceptions) {
		t.Fatalf("stream %s lists %d exceptions, want %d", st.name, len(got), len(st.exceptions))
	}
	for i := range got {
		o := got[i].Outcome
		want, ok := st.exceptions[o.Sequence]
		if !ok || o.Status != want.Status || o.Reason != want.Reason || o.Fate != FateRejected {
			t.Fatalf("stream %s lists exception %+v, want %+v", st.name, o, want)
		}
		r := m.find(o.Sequence)
		if r == nil {
			t.Fatalf("exception %d is of no record", o.Sequence)
		}
		r.compare(t, &got[i].Record, got[i].Record.Body != nil)
		if gone := r.gone || r.broken; gone == (got[i].Record.Body != nil) {
			t.Fatalf("exception %d: its bytes are there: %v, its segment is gone: %v", o.Sequence, !gone, gone)
		}
	}
}

// slept notes what has become durable by itself.
func (m *modelRun) slept(d time.Duration) {
	if d >= time.Second && !m.mayRefuse() { // the commit interval
		for _, r := range m.recs {
			r.promised = true
		}
	}
	if d > choresAfter {
		for _, st := range m.streams {
			st.safe = m.row(st)
		}
	}
}

// saved: cursors and counters are durable now.
func (m *modelState) saved() {
	for _, st := range m.streams {
		st.safe = m.row(st)
	}
	m.safe.duplicates, m.safe.damaged, m.safe.lost = m.duplicates, m.damaged, m.lost
}

// markBoot dates this boot.
func (m *modelRun) markBoot(t *rapid.T) {
	boot := [16]byte{m.clock.boot}
	offset := time.Unix(0, 1_700_000_000e9+int64(m.clock.boot)*1e9).UTC()
	if err := m.s.MarkBootTime(boot, offset); err != nil {
		t.Fatalf("mark boot: %v", err)
	}
	if _, known := m.boots[boot]; !known {
		m.boots[boot] = bootRow{Offset: offset.UnixNano(), From: m.offered + 1}
	}
}

// clock sets the wall clock: nowhere, right, far ahead, or back.
func (m *modelRun) setClock(t *rapid.T) {
	m.clock.offset = rapid.SampledFrom([]int64{0, 1_700_000_000e9, 4_000_000_000e9, 1_699_990_000e9}).Draw(t, "wall")
	m.clock.vouched = rapid.SampledFrom([]ClockState{ClockUnknown, ClockSynchronised}).Draw(t, "vouched")
}

// checkDated wants a record dated if its own clock was good, or if its boot
// was dated before any record up to it was offered without a date.
func (m *modelRun) checkDated(t *rapid.T, got *Record) {
	var want time.Time
	row, known := m.boots[got.Time.Boot]
	switch {
	case got.Time.State == ClockSynchronised:
		want = time.Unix(0, got.Time.Wall).UTC()
	case known && got.Sequence >= row.From:
		want = time.Unix(0, row.Offset+int64(got.Time.Since)).UTC()
	}
	if date, ok := m.s.Dated(got); ok != !want.IsZero() || !date.Equal(want) {
		t.Fatalf("record %d of %+v is dated %v (%v), want %v", got.Sequence, got.Time, date, ok, want)
	}
}

// offer notes which records were handed out without a date.
func (m *modelRun) offer(recs []Record) {
	for i := range recs {
		if _, dated := m.s.Dated(&recs[i]); !dated {
			m.offered = max(m.offered, recs[i].Sequence)
		}
	}
}
