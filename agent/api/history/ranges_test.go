package history

import (
	"net/http"
	"testing"
)

func TestRanges(t *testing.T) {
	for header, want := range map[string][3]int64{
		"":             {0, 10, 200},
		"bytes=0-":     {0, 10, 206},
		"bytes=3-5":    {3, 3, 206},
		"bytes=3-99":   {3, 7, 206},
		"bytes=-4":     {6, 4, 206},
		"bytes=-40":    {0, 10, 206},
		"bytes=9-9":    {9, 1, 206},
		"bytes=10-":    {0, 0, 416},
		"bytes=-0":     {0, 0, 416},
		"bytes=5-3":    {0, 10, 200},
		"bytes=0-1,4-": {0, 10, 200},
		"bytes=a-b":    {0, 10, 200},
		"bytes=--1":    {0, 10, 200},
		"bytes=-":      {0, 10, 200},
		"lines=0-1":    {0, 10, 200},
	} {
		from, length, code := parseRange(header, 10)
		if got := [3]int64{from, length, int64(code)}; got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
	if _, _, code := parseRange("bytes=0-", 0); code != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("of an empty file: got %d", code)
	}
}

func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-1", "bytes=-5", "bytes=9223372036854775807-", "bytes=--", "bytes=1-0"} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, length, code := parseRange(header, size)
		if from < 0 || length < 0 || from+length > size || code == http.StatusPartialContent && length == 0 {
			t.Fatalf("%q of %d: %d and %d, %d", header, size, from, length, code)
		}
	})
}
