package spool

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// rejectSome settles so many records of a stream; every third is rejected.
func rejectSome(t *testing.T, st *Stream, n int) (rejected []uint64) {
	t.Helper()
	var out []Outcome
	for i, r := range mustFetch(t, st, n) {
		o := Outcome{Sequence: r.Sequence, Fate: FateStored, RemoteID: r.Name}
		if i%3 == 2 {
			o = Outcome{Sequence: r.Sequence, Fate: FateRejected, Status: 400, Reason: "too short"}
			rejected = append(rejected, r.Sequence)
		}
		out = append(out, o)
	}
	if err := st.Settle(t.Context(), out...); err != nil {
		t.Fatal(err)
	}
	return rejected
}

func sequencesOf(recs []Record) (all []uint64) {
	for _, r := range recs {
		all = append(all, r.Sequence)
	}
	return all
}

func exceptionsOf(t *testing.T, st *Stream) (all []uint64) {
	t.Helper()
	found, err := st.Exceptions(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		all = append(all, e.Outcome.Sequence)
	}
	return all
}

// TestRetriedExceptionComesOnceMore on its own stream only, over a restart, and
// is no exception once it is taken.
func TestRetriedExceptionComesOnceMore(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st, err := s.Stream("studio/training", "training", StreamOptions{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Stream("archive/training", "training", StreamOptions{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		mustAppend(t, s, sample("training", i))
	}
	rejected := rejectSome(t, st, 9)
	for _, r := range mustFetch(t, other, 9) {
		if err := other.Settle(t.Context(), Outcome{Sequence: r.Sequence, Fate: FateStored}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Retry(t.Context(), 1); !errors.Is(err, ErrNoException) {
		t.Errorf("retried what was stored: %v", err)
	}
	ready := st.Ready()
	if err := st.Retry(t.Context(), rejected[2], rejected[0]); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready:
	default:
		t.Error("nobody who waits for records is told")
	}
	again := []uint64{rejected[0], rejected[2]}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openAt(t, dir, nil)
	if st, err = s.Stream("studio/training", "training", StreamOptions{Pin: true}); err != nil {
		t.Fatal(err)
	}
	if other, err = s.Stream("archive/training", "training", StreamOptions{Pin: true}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, sample("training", 9))
	for range 2 { // the same until it is settled
		if got := sequencesOf(mustFetch(t, st, 10)); !slices.Equal(got, append(slices.Clone(again), 10)) {
			t.Fatalf("fetched %v, want %v and the new one", got, again)
		}
	}
	if got := sequencesOf(mustFetch(t, other, 10)); !slices.Equal(got, []uint64{10}) {
		t.Errorf("the other stream gets %v, want the new one only", got)
	}
	if n, _ := st.Backlog(); n != 3 {
		t.Errorf("%d records wait, want 3", n)
	}
	err = st.Settle(t.Context(), Outcome{Sequence: again[0], Fate: FateStored}, Outcome{Sequence: again[1], Fate: FateRejected, Reason: "still too short"},
		Outcome{Sequence: 10, Fate: FateStored})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openAt(t, dir, nil)
	if st, err = s.Stream("studio/training", "training", StreamOptions{Pin: true}); err != nil {
		t.Fatal(err)
	}
	if got := mustFetch(t, st, 10); len(got) > 0 {
		t.Errorf("fetched %v once more", sequencesOf(got))
	}
	if got := exceptionsOf(t, st); !slices.Equal(got, rejected[1:]) {
		t.Errorf("exceptions are %v, want %v", got, rejected[1:])
	}
	if n := s.Streams()[1].Exceptions; n != 2 {
		t.Errorf("%d exceptions are counted, want 2", n)
	}
	checkOutcomes(t, st, again)
}

// checkOutcomes: what became of each record can be asked for, retries included.
func checkOutcomes(t *testing.T, st *Stream, again []uint64) {
	t.Helper()
	all, err := st.Outcomes(t.Context(), OutcomeQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	fates := map[uint64][]Fate{}
	for _, o := range all {
		for n := o.Sequence; n <= max(o.Sequence, o.Last); n++ {
			fates[n] = append(fates[n], o.Fate)
		}
		if o.Fate == FateRejected && o.Sequence != again[0] && o.Reason == "" {
			t.Errorf("the rejection of %d has no reason", o.Sequence)
		}
	}
	if len(fates) != 10 || !slices.Equal(fates[again[0]], []Fate{FateRejected, FateStored}) || !slices.Equal(fates[again[1]], []Fate{FateRejected, FateRejected}) ||
		!slices.Equal(fates[1], []Fate{FateStored}) {
		t.Errorf("outcomes are %v", fates)
	}
	some, err := st.Outcomes(t.Context(), OutcomeQuery{After: 4, Limit: 2})
	if err != nil || len(some) != 2 || some[0].Sequence != 5 || some[1].Sequence != 6 {
		t.Errorf("two outcomes behind 4: %v, %v", some, err)
	}
	some, err = st.Outcomes(t.Context(), OutcomeQuery{Of: again[0], Limit: 100})
	if err != nil || len(some) != 2 || some[0].Status != 400 || some[1].Fate != FateStored {
		t.Errorf("outcomes of %d: %v, %v", again[0], some, err)
	}
}

// TestRetryHoldsItsRecord: retention does not take what is to be sent again, and
// what it took before cannot be retried.
func TestRetryHoldsItsRecord(t *testing.T) {
	s := openAt(t, t.TempDir(), nil)
	st, err := s.Stream("studio/training", "training", StreamOptions{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	rejected := rejectSome(t, st, 3)
	if err := st.Retry(t.Context(), rejected...); err != nil {
		t.Fatal(err)
	}
	if at := s.pins()["training"]; at != rejected[0] {
		t.Errorf("the stream holds what is at %d and later, want %d", at, rejected[0])
	}
	for i := range 40 {
		mustAppend(t, s, sampleOf("training", 100+i, noise(100+i, 60<<10)))
		for _, r := range mustFetch(t, st, 100) {
			if r.Sequence != rejected[0] {
				if err := st.Settle(t.Context(), Outcome{Sequence: r.Sequence, Fate: FateStored}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if got := sequencesOf(mustFetch(t, st, 10)); !slices.Equal(got, rejected) {
		t.Fatalf("fetched %v, want %v", got, rejected)
	}
	if err := st.Settle(t.Context(), Outcome{Sequence: rejected[0], Fate: FateRejected, Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	if at := s.pins()["training"]; at != 44 {
		t.Errorf("the stream holds what is at %d and later, want 44", at)
	}
	for _, seg := range s.table.list() {
		if s.table.row(seg).Sealed {
			if err := s.retire(seg); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := st.Retry(t.Context(), rejected...); !errors.Is(err, ErrUnknownRecord) {
		t.Errorf("retried what has gone: %v, want %v", err, ErrUnknownRecord)
	}
	if got := exceptionsOf(t, st); !slices.Equal(got, rejected) {
		t.Errorf("exceptions are %v, want %v", got, rejected)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := st.Retry(ended, rejected...); !errors.Is(err, context.Canceled) {
		t.Errorf("retried when nobody waited any more: %v", err)
	}
}

// TestRetryBehindWhatWaits: what was rejected while an earlier record has no
// end yet is offered again in its place.
func TestRetryBehindWhatWaits(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st, err := s.Stream("studio/training", "training", StreamOptions{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		mustAppend(t, s, sample("training", i))
	}
	mustFetch(t, st, 3)
	if err := st.Settle(t.Context(), Outcome{Sequence: 2, Fate: FateRejected, Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	if got := sequencesOf(mustFetch(t, st, 3)); !slices.Equal(got, []uint64{1, 3}) {
		t.Fatalf("fetched %v, want 1 and 3", got)
	}
	if err := st.Retry(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	if st, err = s.Stream("studio/training", "training", StreamOptions{Pin: true}); err != nil {
		t.Fatal(err)
	}
	if got := sequencesOf(mustFetch(t, st, 3)); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Fatalf("fetched %v, want all three", got)
	}
	for n := range uint64(3) {
		if err := st.Settle(t.Context(), Outcome{Sequence: 1 + n, Fate: FateStored}); err != nil {
			t.Fatal(err)
		}
	}
	if got := exceptionsOf(t, st); len(got) > 0 || st.info().Exceptions != 0 {
		t.Errorf("exceptions are %v, and %d are counted", got, st.info().Exceptions)
	}
}

// TestDroppedHistoryKeepsTheCount: an exception that was tried again counts
// once, however many stores it is in.
func TestDroppedHistoryKeepsTheCount(t *testing.T) {
	h := openTestHistory(t, t.TempDir())
	var gone map[string]int64
	h.dropped = func(of map[string]int64) { gone = of }
	put := func(sequence uint64, fate Fate) {
		t.Helper()
		data, err := exceptionValue(sequence, fate)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.put(metaPair{exceptionKey("a", sequence), data}); err != nil {
			t.Fatal(err)
		}
	}
	for sequence := range uint64(4) {
		put(sequence, FateRejected)
	}
	h.torn = true // the next one goes to a new store
	put(1, FateStored)
	put(2, FateRejected)
	h.most = 2
	h.torn = true
	put(9, FateRejected)
	if gone["a"] != 2 { // 0 and 3
		t.Errorf("%d exceptions are said to be gone, want 2", gone["a"])
	}
}

func exceptionValue(sequence uint64, fate Fate) ([]byte, error) {
	return cbor.Marshal(exceptionRow{Outcome: outcomeRow{Sequence: sequence, Fate: fate}})
}
