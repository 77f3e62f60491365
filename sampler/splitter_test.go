package sampler

import (
	"slices"
	"strings"
	"testing"
)

// lines splits what arrives in pieces; a line too long shows as "LONG".
func lines(pieces ...string) (got []string) {
	var s Splitter
	for _, piece := range pieces {
		rest := []byte(piece)
		for {
			line, left, long, ok := s.Next(rest)
			if !ok {
				break
			}
			if long {
				line = []byte("LONG")
			}
			got = append(got, string(line))
			rest = left
		}
	}
	return got
}

func TestSplitterEndsLines(t *testing.T) {
	full := strings.Repeat("x", MaxLine)
	tests := []struct {
		pieces []string
		want   []string
	}{
		{[]string{"a\nb\nc"}, []string{"a", "b"}},
		{[]string{"a\r\nb\r\n"}, []string{"a", "", "b", ""}},
		{[]string{"a\rb\rc"}, []string{"a", "b"}},
		{[]string{"a\r", "\nb\n"}, []string{"a", "", "b"}},
		{[]string{"1,", "2", ",3\n4"}, []string{"1,2,3"}},
		{[]string{"", "\n"}, []string{""}},
		{[]string{"a\rb\nc\n"}, []string{"a", "b", "c"}},
		{[]string{full, "\n1\n"}, []string{full, "1"}},
		{[]string{full, "x\n1\n"}, []string{"LONG", "1"}},
		{[]string{full + "x\n1\n"}, []string{"LONG", "1"}},
		{[]string{full, full, full, "\n", "1\n"}, []string{"LONG", "1"}},
	}
	for _, tt := range tests {
		if got := lines(tt.pieces...); !slices.Equal(got, tt.want) {
			t.Errorf("%.40q: got %.60q, want %.60q", tt.pieces, got, tt.want)
		}
	}
}

// FuzzSplitter: however the bytes are cut into pieces, the lines are the same,
// and none is longer than it may be.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("a\r\nb\nc\rd"), 2)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		whole := lines(string(text))
		var pieces []string
		for p := range slices.Chunk(text, max(1, min(size, 1<<16))) {
			pieces = append(pieces, string(p))
		}
		if cut := lines(pieces...); !slices.Equal(cut, whole) {
			t.Fatalf("in pieces of %d: got %.80q, want %.80q", size, cut, whole)
		}
		if i := slices.IndexFunc(whole, func(l string) bool { return len(l) > MaxLine || strings.ContainsAny(l, "\r\n") }); i >= 0 {
			t.Fatalf("line %d is no line", i)
		}
	})
}
