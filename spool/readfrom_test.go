package spool

import (
	"errors"
	"slices"
	"testing"
)

// TestReadFrom reads a dataset in pages, over segments and other datasets,
// and moves no stream.
func TestReadFrom(t *testing.T) {
	s := openTest(t, nil)
	st := mustStream(t, s, "studio/testing", "testing")
	const records = 60 // of 60 KiB: several segments
	var want []uint64
	for i := range records {
		dataset := "training"
		if i%3 == 0 {
			dataset = "testing"
		}
		mustAppend(t, s, sampleOf(dataset, i, noise(i, 60<<10)))
		if dataset == "testing" {
			want = append(want, uint64(i+1))
		}
	}
	if s.Stats().Segments < 2 {
		t.Fatal("the records lie in one segment")
	}
	for _, page := range []Limit{{Records: 1, Bytes: 1}, {Records: 7, Bytes: 1 << 30}, {Records: 1000, Bytes: 130 << 10}} {
		var got []uint64
		for from := uint64(0); ; {
			recs, err := s.ReadFrom(t.Context(), "testing", from, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(recs) == 0 {
				break
			}
			if len(recs) > page.Records {
				t.Errorf("a page of %d has %d records", page.Records, len(recs))
			}
			for i := range recs {
				if body := readBody(t, recs[i]); string(body) != string(noise(int(recs[i].Sequence)-1, 60<<10)) {
					t.Errorf("record %d has another body", recs[i].Sequence)
				}
			}
			got = append(got, sequences(recs)...)
			from = recs[len(recs)-1].Sequence + 1
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %+v: got %v, want %v", page, got, want)
		}
	}
	recs, err := s.ReadFrom(t.Context(), "testing", want[3]+1, Limit{Records: 1, Bytes: 1})
	if err != nil || len(recs) != 1 || recs[0].Sequence != want[4] {
		t.Errorf("from the middle: got %v, %v", sequences(recs), err)
	}
	if n, _ := st.Backlog(); n != int64(len(want)) {
		t.Errorf("the stream has a backlog of %d, want %d", n, len(want))
	}
	if recs, err := s.ReadFrom(t.Context(), "nothing", 0, Limit{Records: 1, Bytes: 1}); err != nil || len(recs) != 0 {
		t.Errorf("a dataset that is none: got %v, %v", sequences(recs), err)
	}
	if r, ok := s.Envelope(want[2]); !ok || r.Dataset != "testing" || r.Body != nil {
		t.Errorf("envelope: got %+v, %v", r, ok)
	}
	if _, ok := s.Envelope(records + 1); ok {
		t.Error("a record that is none has an envelope")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadFrom(t.Context(), "testing", 0, Limit{Records: 1, Bytes: 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("when closed: got %v", err)
	}
}
