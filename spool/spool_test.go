package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// openTest opens a spool in a fresh folder, with small segments.
func openTest(t *testing.T, change func(c *Config)) *Spool {
	t.Helper()
	return openAt(t, t.TempDir(), change)
}

func openAt(t *testing.T, dir string, change func(c *Config)) *Spool {
	t.Helper()
	s, err := Open(testConfig(dir, change))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func testConfig(dir string, change func(c *Config)) Config {
	c := DefaultConfig()
	c.Path, c.MinFree, c.AllowVolatile, c.Keep, c.segmentBytes = dir, 0, true, time.Hour, 1<<20
	if change != nil {
		change(&c)
	}
	return c
}

// sample makes a record with a body of its own.
func sample(dataset string, number int) Record {
	return sampleOf(dataset, number, []byte(fmt.Sprintf("%s sample %d", dataset, number)))
}

func sampleOf(dataset string, number int, body []byte) Record {
	return Record{
		Kind: KindFile, Name: fmt.Sprintf("%d.csv", number), Dataset: dataset, Label: Label{Text: "idle"},
		ContentType: "text/csv", Source: "test", Body: Bytes(body),
		Time: Instant{Boot: [16]byte{1}, Since: time.Duration(number) * time.Second},
	}
}

func mustAppend(t *testing.T, s *Spool, recs ...Record) []Result {
	t.Helper()
	r, err := s.Append(t.Context(), recs...)
	if err == nil {
		err = r.Wait(t.Context())
	}
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return r.Results
}

func mustStream(t *testing.T, s *Spool, name, dataset string) *Stream {
	t.Helper()
	st, err := s.Stream(name, dataset, StreamOptions{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func mustFetch(t *testing.T, st *Stream, records int) []Record {
	t.Helper()
	recs, err := st.Fetch(t.Context(), Limit{Records: records, Bytes: 1 << 30})
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return recs
}

func settleAll(t *testing.T, st *Stream, fate Fate, recs []Record) {
	t.Helper()
	var out []Outcome
	for _, r := range recs {
		out = append(out, Outcome{Sequence: r.Sequence, Fate: fate})
	}
	if err := st.Settle(t.Context(), out...); err != nil {
		t.Fatalf("settle: %v", err)
	}
}

func readBody(t *testing.T, r Record) []byte {
	t.Helper()
	rd, err := r.Body.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	data, err := io.ReadAll(rd)
	if err != nil {
		t.Fatalf("read body of %d: %v", r.Sequence, err)
	}
	return data
}

func sequences(recs []Record) []uint64 {
	var out []uint64
	for _, r := range recs {
		out = append(out, r.Sequence)
	}
	return out
}

func TestRecordsComeBackInOrder(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "studio/training", "training")
	for i := range 50 {
		mustAppend(t, s, sample("training", 2*i), sample("testing", 2*i+1))
	}
	recs := mustFetch(t, st, 20)
	if len(recs) != 20 {
		t.Fatalf("got %d records, want 20", len(recs))
	}
	for i, r := range recs {
		if want := uint64(2*i + 1); r.Sequence != want || r.Dataset != "training" {
			t.Errorf("record %d is %d of %s, want %d of training", i, r.Sequence, r.Dataset, want)
		}
		if want := fmt.Sprintf("training sample %d", 2*i); string(readBody(t, r)) != want {
			t.Errorf("body is %q, want %q", readBody(t, r), want)
		}
	}
	settleAll(t, st, FateStored, recs[1:])
	if again := mustFetch(t, st, 1); again[0].Sequence != 1 {
		t.Errorf("the unsettled one is %d, want 1", again[0].Sequence)
	}
	settleAll(t, st, FateStored, recs[:1])
	if n, _ := st.Backlog(); n != 30 {
		t.Errorf("backlog is %d, want 30", n)
	}
	if next := mustFetch(t, st, 100); len(next) != 30 || next[0].Sequence != 41 {
		t.Errorf("then come %d records from %d, want 30 from 41", len(next), next[0].Sequence)
	}
}

// TestRepeatsOpenFewSegments floods a spool with old repeats under another
// label: one of them has its closed segment opened, the others pass for the same.
func TestRepeatsOpenFewSegments(t *testing.T) {
	dir := t.TempDir()
	segmentsOf(t, dir, 12)
	s := openAt(t, dir, func(c *Config) { c.segmentBytes, c.compareEvery = 8<<10, time.Hour })
	opens := countOpens(t, s.table.dir)
	told := 0
	for i := range 10 { // one of each segment
		again := sampleOf("training", 1+7*i, cheapNoise(1+7*i, 1<<10))
		again.Label.Text = "shake"
		got := mustAppend(t, s, again)[0]
		if !got.Duplicate {
			t.Fatalf("record %d comes again as %+v", 1+7*i, got)
		}
		if got.Relabelled {
			told++
		}
	}
	if n := len(opens.take(t)); told != 1 || n != 1 {
		t.Errorf("%d repeats were compared and %d segments opened, want one each", told, n)
	}
}

func TestRepeatsAreSkipped(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	first := mustAppend(t, s, sample("training", 1), sample("training", 2), sample("training", 1))
	if !first[2].Duplicate || first[2].Sequence != 1 || first[2].Relabelled {
		t.Errorf("a repeat in one call gives %+v", first[2])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	again := sample("training", 2)
	again.Label.Text = "shake"
	got := mustAppend(t, s, again, sample("training", 3))
	if !got[0].Duplicate || got[0].Sequence != 2 || !got[0].Relabelled {
		t.Errorf("a relabelled repeat after a restart gives %+v", got[0])
	}
	if got[1].Duplicate || got[1].Sequence != 3 {
		t.Errorf("a new record gives %+v, want sequence 3", got[1])
	}
	if d := s.Stats().Duplicates; d != 2 {
		t.Errorf("%d duplicates counted, want 2", d)
	}
}

func TestLargeBodiesAreStreamed(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	big := bytes.Repeat([]byte("edge spool "), 1<<20)
	for i := range big {
		big[i] ^= byte(i * i >> 7)
	}
	body, err := s.Stage(t.Context(), bytes.NewReader(big), 100<<20)
	if err != nil {
		t.Fatal(err)
	}
	r := sample("training", 1)
	r.Body = body
	mustAppend(t, s, r)
	mustAppend(t, s, sampleOf("training", 2, big[:300<<10]))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	recs := mustFetch(t, mustStream(t, s, "a", "training"), 10)
	if len(recs) != 2 {
		t.Fatalf("got %d records, want 2", len(recs))
	}
	if !bytes.Equal(readBody(t, recs[0]), big) || !bytes.Equal(readBody(t, recs[1]), big[:300<<10]) {
		t.Error("a large body came back changed")
	}
	if _, err := s.Stage(t.Context(), bytes.NewReader(big), 1<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a body over the limit gives %v, want ErrTooLarge", err)
	}
}

func TestLockHoldsOffASecondAgent(t *testing.T) {
	s := openTest(t, nil)
	if _, err := Open(s.conf); !errors.Is(err, ErrLocked) {
		t.Errorf("second open gives %v, want ErrLocked", err)
	}
}

func TestExceptionsSurviveRestarts(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st := mustStream(t, s, "a", "training")
	mustAppend(t, s, sample("training", 1), sample("training", 2))
	err := st.Settle(context.Background(), Outcome{Sequence: 1, Fate: FateRejected})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := st.Exceptions(t.Context(), 0, 10); len(got) != 0 {
		t.Errorf("a record that was not fetched became an exception")
	}
	recs := mustFetch(t, st, 10)
	err = st.Settle(t.Context(), Outcome{Sequence: 1, Fate: FateRejected, Status: 422, Reason: "no sensors"},
		Outcome{Sequence: recs[1].Sequence, Fate: FateStored})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	st = mustStream(t, s, "a", "training")
	got, err := st.Exceptions(t.Context(), 0, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %d exceptions (%v), want 1", len(got), err)
	}
	e := got[0]
	if e.Outcome.Status != 422 || e.Outcome.Reason != "no sensors" || e.Record.Name != "1.csv" || e.Record.Body == nil {
		t.Errorf("exception came back as %+v", e)
	}
	if want := (Totals{Stored: 1, Rejected: 1, BytesStored: uint64(recs[1].Size)}); st.Totals() != want {
		t.Errorf("totals are %+v, want %+v", st.Totals(), want)
	}
}
