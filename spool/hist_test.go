package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// openTestHistory opens a history that takes nothing for damaged.
func openTestHistory(t *testing.T, dir string) *history {
	t.Helper()
	h, err := openHistory(dir, 1<<20, &faultLog{log: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	h.damaged = func(dir string, cause error) error {
		t.Errorf("%s is damaged: %v", dir, cause)
		return nil
	}
	h.dropped = func(map[string]int64) {}
	return h
}

// TestHistoryOutlivesManyStarts: a board that is switched on every morning
// goes on with the same small history for years, and the plug is pulled now
// and then.
func TestHistoryOutlivesManyStarts(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "0")
	const starts, cuts = 215, 5 // a store without compactors stalls at 200 tables
	for i := range starts {
		h := openTestHistory(t, dir)
		if err := h.put(metaPair{exceptionKey("studio/training", uint64(i+1)), []byte("kept")}); err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		if i >= starts-cuts {
			after := filepath.Join(root, strconv.Itoa(i))
			pullPlug(t, h, after)
			dir = after
		}
		if err := h.close(); err != nil {
			t.Fatal(err)
		}
	}
	h := openTestHistory(t, dir)
	defer h.close()
	found := 0
	err := h.each([]byte{histException}, nil, func(_, _ []byte) error { found++; return nil })
	if err != nil || found != starts {
		t.Errorf("found %d exceptions (%v), want %d", found, err, starts)
	}
}

// pullPlug copies an open history as a power cut would leave it, once Badger
// has flushed what it took over from the run before.
func pullPlug(t *testing.T, h *history, to string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if logs, _ := filepath.Glob(filepath.Join(h.dir, "*", "*.mem")); len(logs) == 1 {
			break
		}
		<-tick.C
	}
	for _, n := range h.numbers {
		if err := copyStore(h.path(n), filepath.Join(to, filepath.Base(h.path(n)))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHistoryRotates rejects more than the history keeps: the oldest goes, and
// what is counted is what is there.
func TestHistoryRotates(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	s.hist.limit = 64 << 10 // room for some 15 exceptions
	st := mustStream(t, s, "studio/training", "training")
	reason := string(noise(1, reasonLimit))
	const records = 200
	for i := range records {
		mustAppend(t, s, sample("training", i))
	}
	for recs := mustFetch(t, st, 10); len(recs) > 0; recs = mustFetch(t, st, 10) {
		var out []Outcome
		for _, r := range recs {
			out = append(out, Outcome{Sequence: r.Sequence, Fate: FateRejected, Status: 400, Reason: reason})
		}
		if err := st.Settle(t.Context(), out...); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.hist.numbers); n != histStores {
		t.Errorf("%d history stores, want %d", n, histStores)
	}
	kept, err := st.Exceptions(t.Context(), 0, records)
	if err != nil || len(kept) == 0 || len(kept) == records || kept[len(kept)-1].Record.Sequence != records {
		t.Fatalf("%d exceptions kept (%v), want some and the newest", len(kept), err)
	}
	if n := s.Streams()[0].Exceptions; n != int64(len(kept)) {
		t.Errorf("the stream counts %d exceptions, %d are there", n, len(kept))
	}
	if st.Totals().Rejected != records {
		t.Errorf("%d rejected in all, want %d", st.Totals().Rejected, records)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	if n := s.Streams()[0].Exceptions; n != int64(len(kept)) {
		t.Errorf("after a restart the stream counts %d exceptions, %d are there", n, len(kept))
	}
}

// TestQuarantineIsBounded sets more aside than an eighth of the cap.
func TestQuarantineIsBounded(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 48 << 20 })
	const stores = 5
	for i := range stores {
		dir := filepath.Join(s.conf.Path, "hist", fmt.Sprintf("%08d", 100+i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "000001.vlog"), noise(i, 2<<20), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.setAside(dir, ErrDamaged); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.quarantine, "*"))
	if err != nil || len(left) == 0 || len(left) == stores || treeBytes(s.quarantine) > 6<<20 {
		t.Errorf("quarantine holds %v, %d bytes (%v)", left, treeBytes(s.quarantine), err)
	}
	if newest, _ := filepath.Glob(filepath.Join(s.quarantine, "*00000104*")); len(newest) != 1 {
		t.Error("the newest store is not in quarantine")
	}
	if n := s.Stats().Quarantined; n != len(left) {
		t.Errorf("figures say %d in quarantine, want %d", n, len(left))
	}
}

// TestOutcomesOfAStretchAreOneRow where the far side gave them no names.
func TestOutcomesOfAStretchAreOneRow(t *testing.T) {
	h := openTestHistory(t, t.TempDir())
	now := time.Now()
	var out []Outcome
	for sequence := range uint64(500) {
		o := Outcome{Sequence: 1 + sequence, Fate: FateStored, At: now}
		if sequence == 300 {
			o.Fate = FateAlreadyThere
		}
		out = append(out, o)
	}
	h.note("a", out)
	want := []outcomeRow{{Sequence: 1, Last: 300}, {Sequence: 301}, {Sequence: 302, Last: 500}}
	rows := h.noted["a"].rows
	if len(rows) != len(want) || h.waiting != len(want) {
		t.Fatalf("%d rows wait, %d are counted, want %d", len(rows), h.waiting, len(want))
	}
	for i, r := range rows {
		if r.Sequence != want[i].Sequence || r.Last != want[i].Last {
			t.Errorf("row %d stands for %d to %d, want %d to %d", i, r.Sequence, r.Last, want[i].Sequence, want[i].Last)
		}
	}
}
