package spool

import (
	"testing/synctest"

	"pgregory.net/rapid"
)

// check compares everything that the spool shows with the model.
func (m *modelRun) check(t *rapid.T) {
	synctest.Wait()
	m.observe(t, m.s)
	var records, size int64
	first := m.s.Stats().NextSequence
	for _, r := range m.recs {
		if r.written && !r.gone {
			records++
			size += r.Size
			first = min(first, r.Sequence)
		}
	}
	s := m.s.Stats()
	if s.Records != records || s.Bytes != size || s.FirstSequence != first || s.Duplicates != m.duplicates ||
		s.Lost != m.lost || s.Damaged != m.damaged || s.Quarantined != 0 || s.ReadOnly {
		t.Fatalf("figures are %+v, want %d records of %d bytes from %d, %d duplicates, %d lost, %d damaged",
			s, records, size, first, m.duplicates, m.lost, m.damaged)
	}
	if s.DiskBytes > int64(m.conf.MaxBytes)+m.s.table.shape.disk() { // one segment more than the cap, at most
		t.Fatalf("the spool takes %d bytes, the cap is %d", s.DiskBytes, m.conf.MaxBytes)
	}
	if n := len(m.s.Streams()); n != len(m.streams) {
		t.Fatalf("%d streams, want %d", n, len(m.streams))
	}
	for _, st := range m.streams {
		m.checkStream(t, st)
	}
}

func (m *modelRun) checkStream(t *rapid.T, st *modelStream) {
	want := StreamInfo{Name: st.name, Dataset: st.dataset, Next: st.next, Totals: st.totals, Exceptions: int64(len(st.exceptions)), Pinned: st.pin}
	for _, r := range m.ahead(st) {
		if st.settled[r.Sequence] == 0 {
			want.Backlog++
			want.BacklogBytes += r.Size
		}
	}
	got := st.st.info()
	if got.Next < st.next && m.stopsAt(st, got.Next) {
		want.Next = got.Next
	}
	if got != want {
		t.Fatalf("stream is %+v, want %+v", got, want)
	}
}

// stopsAt takes over that a cursor waits before rejected records of an earlier
// life, until a Fetch has told that nothing is between, although all that the
// spool has up to where the model's is was settled.
func (m *modelState) stopsAt(st *modelStream, next uint64) bool {
	for _, r := range m.recs {
		if r.Sequence < next || r.Sequence >= st.next || !r.written || r.gone || r.Dataset != st.dataset {
			continue
		}
		i, ok := st.st.find(r.Sequence)
		if !ok || !st.st.window[i].done {
			return false
		}
		st.settled[r.Sequence] = st.st.window[i].fate
	}
	st.next = next
	if st.safe.next > next {
		st.safe = m.row(st)
	}
	return st.st.gaps
}

// checkSeen asks for the identity of a number.
func (m *modelState) checkSeen(t *rapid.T, s *Spool, number int) {
	identity := sha256Sum(modelBody(number))
	got, ok := s.Seen(identity)
	r := m.known[identity]
	switch {
	case r == nil:
		if ok {
			t.Fatalf("number %d is seen as %d, and is not known", number, got)
		}
	case ok && got != r.Sequence:
		t.Fatalf("number %d is seen as %d, want %d", number, got, r.Sequence)
	case ok != r.written:
		t.Fatalf("number %d, record %d: seen is %v, written is %v", number, r.Sequence, ok, r.written)
	}
}
