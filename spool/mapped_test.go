package spool

import (
	"os"
	"path/filepath"
	"testing"
)

// TestNoFlushWhileSomebodyFills: no store is closed on a disk that somebody
// else is about to fill, though there is room yet.
func TestNoFlushWhileSomebodyFills(t *testing.T) {
	for _, c := range []struct {
		before, now int64
		want        bool
	}{
		{100 << 20, 100 << 20, false},
		{100 << 20, 99 << 20, false},
		{100 << 20, 95 << 20, true}, // 100 MB a second
		{20 << 20, 20 << 20, false},
		{20 << 20, 40 << 20, false}, // it comes back
		{10 << 20, 10 << 20, true},
	} {
		if got := fills(c.before, c.now); got != c.want {
			t.Errorf("from %d to %d bytes free: filling %v, want %v", c.before, c.now, got, c.want)
		}
	}
}

// TestNoFlushOnAFullDisk: on a calm disk a store is closed, on a full one not.
func TestNoFlushOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 192)
	if err := roomToFlush(disk); err != nil {
		t.Errorf("on a calm disk: %v", err)
	}
	eaten := filepath.Join(disk, "eaten")
	eatAll(t, eaten)
	if err := roomToFlush(disk); !isFullDisk(err) {
		t.Errorf("on a full disk: %v, want ENOSPC", err)
	}
	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	if err := roomToFlush(disk); err != nil {
		t.Errorf("on a disk that has room again: %v", err)
	}
}
