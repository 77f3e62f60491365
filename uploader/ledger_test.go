package uploader_test

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

func openLedger(t testing.TB, path, url, key string) *uploader.Ledger {
	t.Helper()
	l, err := uploader.OpenLedger(path, url, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func sum(n int) [32]byte { return sha256.Sum256(binary.AppendVarint(nil, int64(n))) }

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "ledger")
	l := openLedger(t, path, "https://a", "k")
	err := l.Add(
		uploader.LedgerOutcome{SHA256: sum(1), Fate: spool.FateStored, Status: 200},
		uploader.LedgerOutcome{SHA256: sum(2), Fate: spool.FateAlreadyThere, Status: 200},
		uploader.LedgerOutcome{SHA256: sum(3), Fate: spool.FateRejected, Status: 400})
	if err != nil {
		t.Fatal(err)
	}
	other := openLedger(t, path, "https://a", "another key")
	if err := other.Add(uploader.LedgerOutcome{SHA256: sum(4), Fate: spool.FateStored}); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*uploader.Ledger{l, openLedger(t, path, "https://a", "k")} {
		for n, want := range map[int]bool{1: true, 2: true, 3: false, 4: false} {
			if l.Known(sum(n)) != want {
				t.Errorf("body %d: got %v, want %v", n, !want, want)
			}
		}
	}
	if n := openLedger(t, path, "https://b", "k").Len(); n != 0 {
		t.Errorf("another address knows %d", n)
	}
}

// TestLedgerDamage checks that damage costs the rows it covers, and no more.
func TestLedgerDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := openLedger(t, path, "u", "k")
	for n := range 10 {
		if err := l.Add(uploader.LedgerOutcome{SHA256: sum(n), Fate: spool.FateStored}); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	row := len(content) / 10
	content[3*row+20] ^= 1                                           // flipped
	content = append(content[:6*row+5], content[7*row:]...)          // torn, and written on
	content = append(content[:len(content)-7], []byte("garbage")...) // torn at the end
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l = openLedger(t, path, "u", "k")
	if err := l.Add(uploader.LedgerOutcome{SHA256: sum(100), Fate: spool.FateStored}); err != nil {
		t.Fatal(err)
	}
	l = openLedger(t, path, "u", "k")
	for n := range 10 {
		if want := n != 3 && n != 6 && n != 9; l.Known(sum(n)) != want {
			t.Errorf("row %d: got %v, want %v", n, !want, want)
		}
	}
	if !l.Known(sum(100)) {
		t.Error("the row behind the damage was lost")
	}
}

func TestLedgerIsSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := openLedger(t, path, "u", "k")
	outcomes := make([]uploader.LedgerOutcome, 100_000)
	for n := range outcomes {
		outcomes[n] = uploader.LedgerOutcome{SHA256: sum(n), Fate: spool.FateStored}
	}
	if err := l.Add(outcomes...); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	again := openLedger(t, path, "u", "k")
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 6<<20 || again.Len() != 100_000 {
		t.Errorf("%d rows take %d bytes, want at most 6 MiB", again.Len(), used)
	}
}

func FuzzLedger(f *testing.F) {
	f.Add([]byte{0xe5, 1, 2})
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "ledger")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLedger(t, path, "u", "k")
		if err := l.Add(uploader.LedgerOutcome{SHA256: sum(1), Fate: spool.FateStored}); err != nil {
			t.Fatal(err)
		}
		if !openLedger(t, path, "u", "k").Known(sum(1)) {
			t.Error("a row behind damage was lost")
		}
	})
}
