package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestTornCommitBehindAClose: power goes in the first commit after a store was
// opened again, before the name of its log of keys is durable. What the disk got
// of the values looks like damage in the middle of a closed store, but no table
// points there.
func TestTornCommitBehindAClose(t *testing.T) {
	dir, faults := filepath.Join(t.TempDir(), "hist"), &faultLog{log: silent{}}
	put := func(pairs ...metaPair) *history {
		t.Helper()
		h, err := openHistory(dir, 1<<20, faults)
		if err == nil {
			err = h.put(pairs...)
		}
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	pair := func(n int) metaPair { return metaPair{[]byte{'x', byte(n)}, bytes.Repeat([]byte{byte(n)}, 3000)} }
	if err := put(pair(1), pair(2)).close(); err != nil {
		t.Fatal(err)
	}
	h := put(pair(3), pair(4))
	cut := filepath.Join(t.TempDir(), "00000001")
	if err := os.CopyFS(cut, os.DirFS(filepath.Join(dir, "00000001"))); err != nil {
		t.Fatal(err)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(cut, "*.mem"))
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	logs, _ := filepath.Glob(filepath.Join(cut, "*.vlog"))
	bad := func(n, m int) { // whichever of the two values comes first in its log: a transaction writes in any order
		t.Helper()
		for _, path := range logs {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at, other := bytes.Index(data, pair(n).value), bytes.Index(data, pair(m).value)
			if at < 0 || other < 0 {
				continue
			}
			at = min(at, other)
			clear(data[at : at+512])
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Fatalf("no log has the values %d and %d", n, m)
	}
	bad(3, 4)
	if damaged, err := scanPairs(cut, func(storedPair) {}); damaged || err != nil {
		t.Errorf("a torn commit behind a close is damage: %v, %v", damaged, err)
	}
	bad(1, 2)
	if damaged, err := scanPairs(cut, func(storedPair) {}); !damaged || err != nil {
		t.Errorf("a bad value that a table points to is no damage: %v, %v", damaged, err)
	}
}

// TestTornCommitAmongSmallOnes: values of a store of facts are in its value log
// only if they are long, so that the numbers of the commits there have gaps.
// Power goes in one of them, and while Badger writes a table.
func TestTornCommitAmongSmallOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hist")
	h, err := openHistory(dir, 1<<20, &faultLog{log: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 12; n += 2 {
		size := map[int]int{1: 3000, 3: 10, 5: 3000, 7: 10, 9: 10, 11: 3000}[n]
		if err := h.put(metaPair{[]byte{'x', byte(n)}, bytes.Repeat([]byte{byte(n)}, size)}, metaPair{[]byte{'x', byte(n + 1)}, bytes.Repeat([]byte{byte(n + 1)}, size)}); err != nil {
			t.Fatal(err)
		}
	}
	cut := filepath.Join(t.TempDir(), "00000001")
	if err := os.CopyFS(cut, os.DirFS(filepath.Join(dir, "00000001"))); err != nil {
		t.Fatal(err)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cut, "000009.sst"), []byte("begun"), 0o644); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(filepath.Join(cut, "*.vlog"))
	bad := func(n int) {
		t.Helper()
		data, err := os.ReadFile(logs[0])
		if err != nil {
			t.Fatal(err)
		}
		at := min(bytes.Index(data, bytes.Repeat([]byte{byte(n)}, 3000)), bytes.Index(data, bytes.Repeat([]byte{byte(n + 1)}, 3000)))
		clear(data[at : at+512])
		if err := os.WriteFile(logs[0], data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		n    int
		want bool
	}{{11, false}, {5, true}} {
		bad(c.n)
		if damaged, err := scanPairs(cut, func(storedPair) {}); damaged != c.want || err != nil {
			t.Errorf("with a bad stretch in the commit of value %d: damaged is %v, %v; want %v", c.n, damaged, err, c.want)
		}
	}
}
