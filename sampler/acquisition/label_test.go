package acquisition_test

import (
	"math"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"pgregory.net/rapid"
)

// naive is the rule as it is told: look at every row of every stretch.
func naive(segments []acquisition.Segment, rows int) bool {
	labelled := make([]bool, rows)
	for _, s := range segments {
		if s.Start < 0 || s.End < s.Start || s.End >= rows || len(s.Map) != len(segments[0].Map) {
			return false
		}
		for k := range s.Map {
			if _, ok := segments[0].Map[k]; !ok {
				return false
			}
		}
		for row := s.Start; row <= s.End; row++ {
			labelled[row] = true
		}
	}
	for _, l := range labelled {
		if !l {
			return false
		}
	}
	return true
}

// TestCheckSegmentsAgainstTheRule compares the merged intervals with the rows
// one by one, on stretches that fit often enough to tell.
func TestCheckSegmentsAgainstTheRule(t *testing.T) {
	good, bad := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(0, 12).Draw(t, "rows")
		maps := rapid.SampledFrom([]map[string]string{nil, nil, nil, nil, {"k": "v"}, {"k": "w"}, {"l": ""}})
		segments := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) acquisition.Segment {
			start := rapid.IntRange(-1, rows).Draw(t, "start")
			return acquisition.Segment{Start: start, End: start + rapid.IntRange(-1, rows).Draw(t, "more"), Map: maps.Draw(t, "map")}
		}), 0, 8).Draw(t, "segments")
		if rapid.Bool().Draw(t, "tidy") { // cut to size, so that many fit
			for i := range segments {
				s := &segments[i]
				s.Start = min(max(s.Start, 0), max(rows-1, 0))
				s.End = min(max(s.End, s.Start), max(rows-1, 0))
				s.Map = nil
			}
		}
		err, want := acquisition.CheckSegments(segments, rows), naive(segments, rows)
		if (err == nil) != want {
			t.Fatalf("%d rows, %+v: got %v, want good %v", rows, segments, err, want)
		}
		if want {
			good++
		} else {
			bad++
		}
	})
	if good == 0 || bad == 0 {
		t.Errorf("%d good and %d bad ones were tried, want some of both", good, bad)
	}
}

// TestCheckSegmentsOfManyRows would take days if every stretch cost its rows.
func TestCheckSegmentsOfManyRows(t *testing.T) {
	const rows = math.MaxInt32
	segments := make([]acquisition.Segment, 50_000)
	for i := range segments {
		segments[i] = acquisition.Segment{Start: i, End: rows - 1}
	}
	if err := acquisition.CheckSegments(segments, rows); err != nil {
		t.Error(err)
	}
	segments[0].End = 0
	segments[1].Start = 2
	for i := range segments[2:] {
		segments[i+2].Start = 2
	}
	if err := acquisition.CheckSegments(segments, rows); err == nil || !strings.Contains(err.Error(), "row 1 has no label") {
		t.Errorf("got %v, want row 1 without a label", err)
	}
}

// TestOddKeysAreNamedInTheOrderOfTheFile: whoever corrects the file counts
// there.
func TestOddKeysAreNamedInTheOrderOfTheFile(t *testing.T) {
	err := acquisition.CheckSegments([]acquisition.Segment{
		{Start: 5, End: 9}, {Start: 3, End: 4}, {Start: 0, End: 2, Map: map[string]string{"k": "v"}},
	}, 10)
	if err == nil || !strings.Contains(err.Error(), "labelled stretch 3 ") {
		t.Errorf("got %v, want stretch 3", err)
	}
}
