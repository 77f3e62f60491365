package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"testing"
)

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec(42)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestBlockRefusesEveryFlippedByte(t *testing.T) {
	c := testCodec(t)
	whole := c.encode(&block{kind: kindChunk, name: "training", first: 1, last: 2, count: 2, raw: bytes.Repeat([]byte("abc"), 300)})
	if len(whole) > 400 {
		t.Errorf("900 bytes of repetition take %d", len(whole))
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if _, err := c.decode(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("with byte %d flipped: %v", i, err)
		}
	}
	other, err := newCodec(43)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if _, err := other.decode(whole); !errors.Is(err, ErrDamaged) {
		t.Errorf("another spool's block gives %v", err)
	}
	for i := range whole {
		if _, err := c.decode(whole[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

// FuzzChunk takes plain chunk bodies apart; a valid checksum does not make
// them sound.
func FuzzChunk(f *testing.F) {
	r := sample("training", 1)
	p := &pending{rec: r, envelope: []byte{0xa0}, sequence: 5, inline: []byte("body")}
	q := &pending{rec: r, envelope: []byte{0xa0}, sequence: 7, parts: partList{id: "12345678", runs: []partRun{{segmentID{1, 2}, 0, 3}}}}
	f.Add(encodeChunk("training", []*pending{p, q}, new(arena)).raw, uint32(2))
	f.Add([]byte{1, 0, 255, 255, 255, 255, 15}, uint32(1))
	c := testCodec(f)
	f.Fuzz(func(t *testing.T, raw []byte, count uint32) {
		b := &block{kind: kindChunk, name: "d", first: 5, last: 7, count: count, raw: raw}
		recs, err := decodeChunk(b)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("error is %v", err)
		}
		for i := range recs {
			_, _ = recs[i].record()
		}
		whole := c.encode(b)
		back, err := c.decode(whole)
		if err != nil || !bytes.Equal(back.raw, raw) || back.count != count {
			t.Fatalf("block came back changed: %v", err)
		}
		_, _ = c.decode(raw)
		_, _ = parseChunkKey(raw)
	})
}

func refs(n int, from uint64) []identityRef {
	out := make([]identityRef, n)
	for i := range out {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, from+uint64(i)))
		out[i] = identityRef{hash: shortHash(sum), sequence: from + uint64(i), dataset: []string{"training", "anomaly"}[i%2]}
	}
	return out
}

func TestRunFindsExactlyWhatItHas(t *testing.T) {
	dir := t.TempDir()
	const n = 20_000
	known := refs(n, 1)
	if _, err := writeRun(dir, 42, seqRange{1, n}, refs(n, 1)); err != nil {
		t.Fatal(err)
	}
	x := newSeenIndex(dir, 1<<20, silent{})
	x.epoch = 42
	if err := x.load(&sync.Mutex{}); err != nil || len(x.runs) != 1 {
		t.Fatalf("loaded %d runs: %v", len(x.runs), err)
	}
	r := x.runs[0]
	if each := float64(len(r.filter)+4*len(r.pages)) / n; each > 4 {
		t.Errorf("an identity takes %.1f bytes of memory", each)
	}
	fi, err := os.Stat(r.path)
	if err != nil || fi.Size() > 32*n {
		t.Errorf("an identity takes %d bytes on disk (%v)", fi.Size()/n, err)
	}
	for _, ref := range known {
		if seq, ok := x.lookup(ref.hash); !ok || seq != ref.sequence {
			t.Fatalf("sequence %d is found as %d, %v", ref.sequence, seq, ok)
		}
	}
	candidates := 0
	for _, ref := range refs(n, n+1) {
		if _, ok := x.lookup(ref.hash); ok {
			t.Fatalf("unknown %d is found", ref.sequence)
		}
		if r.maybe(ref.hash) {
			candidates++
		}
	}
	if candidates > n/200 {
		t.Errorf("%d of %d unknown ones passed the filter", candidates, n)
	}
	x.forget("training", 1, 100)
	if _, ok := x.lookup(known[0].hash); ok {
		t.Error("a forgotten one is found")
	}
	if _, ok := x.lookup(known[1].hash); !ok {
		t.Error("another dataset's was forgotten with it")
	}
}

func TestIndexMergesAndTrims(t *testing.T) {
	s := openTest(t, nil)
	x := newSeenIndex(t.TempDir(), 3000, silent{})
	x.epoch, x.small = 7, 4096
	for i := range 40 {
		first := uint64(i*100 + 1)
		for _, ref := range refs(100, first) {
			x.add(ref.hash, ref.sequence, ref.dataset)
		}
		row := segmentRow{ID: segmentID{First: first}, Last: first + 99, Count: 100}
		if err := x.seal(&s.mu, row); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.runs) > 12 || len(x.active) != 0 {
		t.Errorf("%d runs, %d identities in memory", len(x.runs), len(x.active))
	}
	y := newSeenIndex(x.dir, 3000, silent{})
	y.epoch = 7
	if err := y.load(&sync.Mutex{}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs(4000, 1) {
		if seq, ok := y.lookup(ref.hash); !ok || seq != ref.sequence {
			t.Fatalf("sequence %d is found as %d, %v after merging", ref.sequence, seq, ok)
		}
	}
	y.trim(1 << 62)
	total := 0
	for _, r := range y.runs {
		total += r.count
	}
	if total > 3000 || total == 0 {
		t.Errorf("%d identities are left, the limit is 3000", total)
	}
	if _, ok := y.lookup(refs(1, 4000)[0].hash); !ok {
		t.Error("the newest went before the oldest")
	}
}
