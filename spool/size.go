package spool

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written with a unit: 64KiB, 2GiB, 500MB.
type Size int64

// sizeUnits goes from the longest suffix to the shortest, so that "KiB" is
// not taken for "B".
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads a size with a unit of 1000 (kB, MB, GB, TB), of 1024
// (KiB, MiB, GiB, TiB) or none (bytes).
func (s *Size) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	for _, u := range sizeUnits {
		num, ok := strings.CutSuffix(t, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || v < 0 || v*float64(u.bytes) > math.MaxInt64/2 {
			break
		}
		*s = Size(v * float64(u.bytes))
		return nil
	}
	return fmt.Errorf("%q is not a size; write for example 64KiB or 2GiB", t)
}

// String writes the size with the largest unit of 1024 that fits exactly.
func (s Size) String() string {
	for _, u := range []struct {
		suffix string
		bytes  Size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s/u.bytes, u.suffix)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
