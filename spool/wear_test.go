package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// deviceBytes is what was written to the disk that holds the folder, after
// everything that waits was written.
func deviceBytes(t *testing.T, dir string) int64 {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	dev := uint64(fi.Sys().(*syscall.Stat_t).Dev)
	stat, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(dev), unix.Minor(dev)))
	if err != nil {
		t.Skip("the kernel does not count this disk's writes: ", err)
	}
	var written int64
	if _, err := fmt.Sscan(strings.Fields(string(stat))[6], &written); err != nil {
		t.Fatal(err)
	}
	return written * 512
}

// TestWearOfTheDisk writes about 24 MB in commits of 64 and 16 KiB and looks
// at what reaches the disk. Without the advice on the mappings, kernels with
// large folios write ten times as much.
func TestWearOfTheDisk(t *testing.T) {
	disk := smallDisk(t, 256)
	for _, c := range []struct {
		records int // of 1 KiB, in one commit
		limit   float64
	}{{64, 1.9}, {16, 3.6}} {
		s, err := Open(testConfig(filepath.Join(disk, fmt.Sprint(c.records)), func(c *Config) { c.segmentBytes = 16 << 20 }))
		if err != nil {
			t.Fatal(err)
		}
		number := 0
		commit := func() {
			recs := make([]Record, c.records)
			for i := range recs {
				recs[i] = sampleOf("training", number, noise(number, 1<<10))
				number++
			}
			mustAppend(t, s, recs...)
		}
		commit()
		before := deviceBytes(t, disk)
		for number < 24<<10 {
			commit()
		}
		written := deviceBytes(t, disk) - before
		ratio := float64(written) / float64(24<<20)
		t.Logf("commits of %d KiB: %.2f device bytes for each payload byte", c.records, ratio)
		if ratio > c.limit {
			t.Errorf("more than %.2f", c.limit)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
