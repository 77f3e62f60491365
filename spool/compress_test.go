package spool

import (
	"bytes"
	"testing"
)

// TestNoiseIsNotPacked: what no compressor makes smaller is not handed to one,
// and what one does make smaller is.
func TestNoiseIsNotPacked(t *testing.T) {
	floats := make([]byte, 0, 64<<10) // of a sensor: the exponents are alike
	for i, v := range noise(1, 48<<10) {
		if floats = append(floats, v); i%3 == 2 {
			floats = append(floats, 0x3f)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want bool
	}{
		"noise": {noise(2, 64<<10), true}, "little of it": {noise(3, 100), false}, "floats": {floats, false},
		"text": {bytes.Repeat([]byte("0.12,0.34,9.81\n"), 5000), false}, "nothing": {nil, false},
	} {
		if got := noisy(c.data); got != c.want {
			t.Errorf("%s: noisy is %v", name, got)
		}
	}
	codec, err := newCodec(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		records, body []byte
		packed        bool
	}{
		{bytes.Repeat([]byte("envelope"), 1000), noise(4, 8000), true}, // worth it for the envelopes alone
		{bytes.Repeat([]byte("envelope"), 20_000), noise(6, 300_000), true},
		{bytes.Repeat([]byte("envelope"), 20_000), noise(7, 256<<10), true},
		{nil, noise(8, 128<<10), false},
		{bytes.Repeat([]byte("envelope"), 10), noise(5, 64<<10), false},
	} {
		b := &block{kind: kindChunk, name: "training", count: 1, split: len(c.records), raw: append(c.records, c.body...)}
		data := codec.encode(b)
		if got := data[6]&flagZstd != 0; got != c.packed {
			t.Errorf("%d bytes of records and %d of noise: packed is %v", len(c.records), len(c.body), got)
		}
		back, err := codec.decode(data)
		if err != nil || !bytes.Equal(back.raw, b.raw) {
			t.Errorf("read back otherwise: %v", err)
		}
	}
}
