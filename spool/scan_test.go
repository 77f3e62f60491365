package spool

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// scanned are the sequences that a scan shows, at most limit of them.
func scanned(t *testing.T, st *Stream, from uint64, limit int) (seen []uint64) {
	t.Helper()
	err := st.Scan(t.Context(), from, func(r *Record) bool {
		seen = append(seen, r.Sequence)
		return len(seen) < limit
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestScanMovesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st, err := s.Stream("api/a", "training", StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)), sample("testing", i))
	}
	if got := s.Stats().Segments; got < 2 {
		t.Fatalf("got %d segments, want some", got)
	}
	all := scanned(t, st, 1, 100)
	if len(all) != 30 || all[0] != 1 || all[29] != 59 || !slices.IsSorted(all) {
		t.Fatalf("scanned %v, want the 30 odd sequences", all)
	}
	if got := scanned(t, st, 31, 3); !slices.Equal(got, []uint64{31, 33, 35}) {
		t.Errorf("scanned %v from 31 on", got)
	}
	if st.Next() != 1 || s.LastSequence() != 60 {
		t.Errorf("the cursor is at %d and the newest record %d, want 1 and 60", st.Next(), s.LastSequence())
	}
	for _, to := range []uint64{40, 7, 1 << 40} {
		if err := s.Move(t.Context(), to, st); err != nil {
			t.Fatal(err)
		}
		want := min(to, 61)
		if st.Next() != want {
			t.Errorf("moved to %d, the cursor is at %d", to, st.Next())
		}
		if got := mustFetch(t, st, 1); want < 60 && (len(got) != 1 || got[0].Sequence != want|1) {
			t.Errorf("fetched %v at %d", got, want)
		}
	}
	if err := s.Move(t.Context(), 11, st); err != nil {
		t.Fatal(err)
	}
	if records, _ := st.Backlog(); records != 25 {
		t.Errorf("backlog is %d at 11, want 25", records)
	}
	r, err := s.Record(t.Context(), 21)
	if err != nil {
		t.Fatal(err)
	}
	body, err := r.Body.Open()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(body); err != nil || string(text) != string(noise(10, 60<<10)) {
		t.Errorf("record 21 is not as it was: %v", err)
	}
	if got, ok := s.Find(r.ID()); !ok || got.Sequence != 21 {
		t.Errorf("record 21 is not found by its id %s: %+v", r.ID(), got)
	}
	for _, id := range []string{"", "x", r.ID()[:22], r.ID() + "00", strings.Repeat("z", 24), strings.Repeat("0", 24)} {
		if _, ok := s.Find(id); ok {
			t.Errorf("the id %q finds a record", id)
		}
	}
	if r, err := s.Record(t.Context(), 22); err != nil || r.Dataset != "testing" {
		t.Errorf("record 22 is of %s, %v; want testing", r.Dataset, err)
	}
	if _, err := s.Record(t.Context(), 1000); !errors.Is(err, ErrUnknownRecord) {
		t.Errorf("a record that there is not gives %v", err)
	}
}

// A position is on the disk when Move returns: the spool is copied as a kill
// would leave it.
func TestMoveIsDurable(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	var streams []*Stream
	for _, name := range []string{"api/b", "api/a"} {
		st, err := s.Stream(name, "training", StreamOptions{FromNow: true})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, st)
	}
	mustAppend(t, s, sample("training", 1), sample("training", 2), sample("training", 3))
	if err := s.Move(t.Context(), 3, streams...); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	copyTree(t, dir, copied)
	o := openAt(t, copied, nil)
	for _, info := range o.Streams() {
		if info.Next != 3 {
			t.Errorf("stream %s is at %d, want 3", info.Name, info.Next)
		}
	}
	if o.LogID() != s.LogID() {
		t.Error("the log has another id after a start")
	}
	if err := s.RemoveStream("api/a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Move(t.Context(), 1, streams...); !errors.Is(err, ErrUnknownStream) || streams[0].Next() != 3 {
		t.Errorf("moving a removed stream gives %v, and the other is at %d", err, streams[0].Next())
	}
}

func TestScanPassesOverDamage(t *testing.T) {
	dir := t.TempDir()
	fillSegments(t, dir, 120)
	flipAt(t, valueLog(t, dir, 0), 100_000)
	s := openAt(t, dir, nil)
	st, err := s.Stream("api/a", "training", StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second look finds nothing more to count
		got := scanned(t, st, 1, 1000)
		if len(got) != 119 || st.Totals().Lost != 1 || s.Stats().Damaged != 1 {
			t.Errorf("scanned %d records, %d lost, %d damaged; want 119, 1, 1", len(got), st.Totals().Lost, s.Stats().Damaged)
		}
	}
}

// Tags outlive a restart, are replaced and taken off, also by later stores, and
// are not those of an earlier stream of the name.
func TestTags(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	st, err := s.Stream("api/a", "training", StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := func() (got []string) {
		t.Helper()
		tags, err := st.Tags(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			got = append(got, tag.UID+"="+tag.Type)
		}
		slices.Sort(got)
		return got
	}
	var many []Tag
	for i := range 300 {
		many = append(many, Tag{UID: fmt.Sprintf("s.%03d", i), Type: "No Prediction"})
	}
	if err := st.Tag(t.Context(), many...); err != nil {
		t.Fatal(err)
	}
	if err := st.Tag(t.Context(), Tag{UID: "s.000", Type: "Wrong Prediction"}); err != nil {
		t.Fatal(err)
	}
	for i := range 298 {
		if err := st.Untag(t.Context(), fmt.Sprintf("s.%03d", i+2), "unknown"); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	if st, err = s.Stream("api/a", "training", StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	got := kinds()
	if len(got) != 296 || got[0] != "s.000=Wrong Prediction" || got[1] != "s.001=No Prediction" || got[2] != "s.006=No Prediction" {
		t.Errorf("got %d tags, %v…", len(got), got[:3])
	}
	if err := st.Tag(t.Context(), Tag{UID: ""}); err == nil {
		t.Error("a tag without a uid was taken")
	}
	if err := s.RemoveStream("api/a"); err != nil {
		t.Fatal(err)
	}
	if st, err = s.Stream("api/a", "training", StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(); len(got) != 0 {
		t.Errorf("a new stream has the tags of an old one: %v", got)
	}
}

// Readers scan, read large bodies and move their streams while segments are
// sealed, closed and dropped below them. Nobody hangs, and nobody sees a record
// out of order, or with other bytes than its own.
func TestScanWhileSegmentsGo(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a spool below its readers; leave out -short to run it")
	}
	s := openTest(t, func(c *Config) { c.MaxBytes, c.Keep = 32<<20, 0 })
	const records = 600
	done := make(chan struct{})
	var readers sync.WaitGroup
	for n := range 3 {
		st, err := s.Stream(fmt.Sprint("api/reader/", n), "training", StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-done:
					return
				default:
				}
				if err := scanOnce(t, s, st, round); err != nil {
					t.Errorf("reader %d: %v", n, err)
					return
				}
			}
		})
	}
	for i := range records { // every fourth body is in parts
		mustAppend(t, s, sampleOf("training", i, noise(i, []int{20 << 10, 30 << 10, 40 << 10, 150 << 10}[i%4])))
	}
	close(done)
	readers.Wait()
	if s.Stats().FirstSequence == 1 {
		t.Error("no segment went")
	}
}

// scanOnce looks at some records from the stream's position on, and moves it.
func scanOnce(t *testing.T, s *Spool, st *Stream, round int) error {
	var last uint64
	var fault error
	seen := 0
	err := st.Scan(t.Context(), st.Next(), func(r *Record) bool {
		seen++
		if r.Sequence <= last {
			fault = fmt.Errorf("record %d comes behind %d", r.Sequence, last)
		}
		last = r.Sequence
		body, err := r.Body.Open()
		if err != nil {
			fault = err
			return false
		}
		defer body.Close()
		text, err := io.ReadAll(body)
		switch {
		case errors.Is(err, ErrDamaged): // it went to make room
		case err != nil:
			fault = err
		case sha256Sum(text) != r.SHA256:
			fault = fmt.Errorf("record %d has other bytes than its own", r.Sequence)
		}
		return fault == nil && seen < 40
	})
	if err == nil {
		err = fault
	}
	if err != nil || last == 0 {
		return err
	}
	if round%7 == 6 { // back again
		last -= min(last, 100)
	}
	return s.Move(t.Context(), last+1, st)
}
