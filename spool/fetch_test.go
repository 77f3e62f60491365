package spool

import (
	"bytes"
	"errors"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// TestFetchedRecordWhosePartsGo: a destination that is away has a record in
// hand while the cap takes the segments of its body. It is lost once, and the
// stream goes on.
func TestFetchedRecordWhosePartsGo(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 48 << 20 })
	st := mustStream(t, s, "studio/training", "training")
	large, err := s.Stage(t.Context(), bytes.NewReader(noise(1, 3<<20)), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	rec := sample("training", 1)
	rec.Body = large
	mustAppend(t, s, rec, sample("training", 2))
	if recs := mustFetch(t, st, 10); len(recs) != 2 {
		t.Fatalf("fetched %v, want both records", sequences(recs))
	}
	parts := s.table.list()[0]
	if _, holds := s.table.row(parts).Sets["training"]; holds {
		t.Fatal("the first segment holds records, want parts only")
	}
	if err := s.retire(parts); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		recs := mustFetch(t, st, 10)
		if len(recs) != 1 || recs[0].Sequence != 2 {
			t.Fatalf("fetched %v, want record 2", sequences(recs))
		}
	}
	if lost := st.Totals().Lost; lost != 1 {
		t.Errorf("%d records count as lost, want 1", lost)
	}
	settleAll(t, st, FateStored, mustFetch(t, st, 10))
	if recs := mustFetch(t, st, 10); len(recs) != 0 {
		t.Errorf("the stream still gives %v", sequences(recs))
	}
	if n, _ := st.Backlog(); n != 0 {
		t.Errorf("backlog is %d, want 0", n)
	}
}

// TestFetchedRecordsWhoseSegmentDoesNotOpen are lost once, and do not hold up
// those behind them.
func TestFetchedRecordsWhoseSegmentDoesNotOpen(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "studio/training", "training")
	const records = 40 // of 60 KiB: three segments
	for i := range records {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
	}
	all := mustFetch(t, st, records)
	if len(all) != records {
		t.Fatalf("fetched %d records, want %d", len(all), records)
	}
	settleAll(t, st, FateStored, all[2:3]) // out of order: it stays in the window
	bad := s.table.list()[0]
	open := s.table.open
	s.table.open = func(seg *segment) (*badger.DB, error) {
		if seg == bad {
			return nil, errors.New("bad sector")
		}
		return open(seg)
	}
	if err := bad.close(); err != nil {
		t.Fatal(err)
	}
	want := s.table.row(bad).Count - 1
	for range 2 {
		if left := mustFetch(t, st, records); int64(len(left)) != records-1-want {
			t.Fatalf("fetched %d records, want the %d of the other segments", len(left), records-1-want)
		}
	}
	if lost := st.Totals().Lost; lost != uint64(want) {
		t.Errorf("%d records count as lost, want %d", lost, want)
	}
	settleAll(t, st, FateStored, mustFetch(t, st, records))
	if n, _ := st.Backlog(); n != 0 {
		t.Errorf("backlog is %d, want 0", n)
	}
}
