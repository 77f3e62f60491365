package spool

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// processWrote sets the kernel's count of what the process wrote.
func processWrote(t *testing.T, root string, written, cancelled uint64) {
	t.Helper()
	fakeFile(t, root, "proc/self/io", fmt.Sprintf("rchar: 7\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: %d\ncancelled_write_bytes: %d\n", written, cancelled))
}

// TestWrittenPerDay: the rate is that of the last 24 hours of running, over
// restarts, and the card's life follows from it.
func TestWrittenPerDay(t *testing.T) {
	root, path := t.TempDir(), t.TempDir()
	fakeDevice(t, root, path, "mmcblk0", map[string]string{"size": "62333952\n"})
	synctest.Test(t, func(t *testing.T) {
		processWrote(t, root, 5000, 0) // before the spool was opened
		m := newWearMeter(root, path, 100)
		m.lookAtCard()
		processWrote(t, root, 5000+1<<20, 0)
		if w := m.wear(); w.Written != 1<<20 || w.PerDay != 0 || w.DaysLeft != 0 || !w.Counted {
			t.Errorf("at once: got %+v, want 1 MiB and no rate", w)
		}
		time.Sleep(30 * time.Minute)
		w := m.wear()
		if w.PerDay != 48<<20 {
			t.Errorf("after half an hour: got %d a day, want %d", w.PerDay, 48<<20)
		}
		if want := (31914983424.0*100 - 1<<20) / (48 << 20); math.Abs(w.DaysLeft-want) > 1 {
			t.Errorf("got %v days left, want %v", w.DaysLeft, want)
		}

		// Two days at 1 MiB an hour, the process starting anew every 10 hours.
		count := uint64(5000 + 1<<20)
		for hour := range 48 {
			if hour%10 == 0 {
				kept := m.pair().value
				count = 0
				processWrote(t, root, 0, 0)
				m = newWearMeter(root, path, 100)
				m.restore(kept)
			}
			time.Sleep(time.Hour)
			count += 1 << 20
			processWrote(t, root, count, 0)
			m.wear()
		}
		w = m.wear()
		if w.Written != 49<<20 {
			t.Errorf("got %d written, want %d", w.Written, 49<<20)
		}
		if got := float64(w.PerDay) / (24 << 20); got < 0.95 || got > 1.05 {
			t.Errorf("got %v of the rate, want about 1: what is older than a day counts no more", got)
		}

		// A silent week is a day at rest.
		time.Sleep(7 * 24 * time.Hour)
		if w := m.wear(); w.PerDay != 0 || w.DaysLeft != 0 || w.Written != 49<<20 {
			t.Errorf("after a week of rest: got %+v", w)
		}
	})
}

// TestWrittenLess: pages that were given up were not written, and a count that
// goes back, as no kernel's does, takes nothing away.
func TestWrittenLess(t *testing.T) {
	root := t.TempDir()
	processWrote(t, root, 0, 0)
	m := newWearMeter(root, root, 100)
	processWrote(t, root, 10000, 4000)
	if w := m.wear(); w.Written != 6000 {
		t.Errorf("got %d written, want 6000", w.Written)
	}
	processWrote(t, root, 100, 4000)
	if w := m.wear(); w.Written != 6000 {
		t.Errorf("got %d written, want 6000 still", w.Written)
	}
}

// TestCardLife: what an eMMC says of itself counts more than what was written.
func TestCardLife(t *testing.T) {
	const takes = 100 << 30
	for _, c := range []struct {
		name string
		card Card
		want float64
	}{
		{"a card that says nothing", Card{Bytes: 1 << 30}, (takes - 10<<30) / float64(1<<30)},
		{"an eMMC with a tenth behind it", Card{Bytes: 1 << 30, LifeUsed: 10}, takes * 0.9 / float64(1<<30)},
		{"an eMMC beyond its end", Card{Bytes: 1 << 30, LifeUsed: 110}, 0},
		{"a disk that turns", Card{Bytes: 1 << 30, Spins: true}, 0},
		{"no card known", Card{}, 0},
	} {
		m := &wearMeter{cycles: 100}
		if got := m.daysLeft(Wear{Written: 10 << 30, PerDay: 1 << 30, Card: c.card}); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: got %v days, want %v", c.name, got, c.want)
		}
	}
}

// TestWrittenOverRestarts: the real kernel's count, through a real spool.
func TestWrittenOverRestarts(t *testing.T) {
	if _, counted := processWrites("/"); !counted {
		t.Skip("the kernel does not count what a process writes (CONFIG_TASK_IO_ACCOUNTING)")
	}
	dir := t.TempDir()
	open := func() *Spool {
		s, err := Open(Config{Path: dir, AllowVolatile: true, MaxBytes: 256 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	first := s.Stats().Wear.Written
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if again := s.Stats().Wear.Written; again < first || first == 0 && again != 0 && !testing.Short() {
		t.Errorf("got %d written after a restart, %d before", again, first)
	}
}

// TestWearAsCounted: what the kernel counts for the process is about what
// reaches the disk; the file system's journal is what it lacks.
func TestWearAsCounted(t *testing.T) {
	disk := smallDisk(t, 256)
	for _, records := range []int{64, 16, 1} { // of 1 KiB, in one commit
		s, err := Open(testConfig(filepath.Join(disk, fmt.Sprint(records)), func(c *Config) { c.segmentBytes = 8 << 20 }))
		if err != nil {
			t.Fatal(err)
		}
		number := 0
		commit := func() {
			recs := make([]Record, records)
			for i := range recs {
				recs[i] = sampleOf("training", number, noise(number, 1<<10))
				number++
			}
			mustAppend(t, s, recs...)
		}
		commit()
		before, counted := deviceBytes(t, disk), s.Stats().Wear.Written
		for number < 2<<10 {
			commit()
		}
		written := deviceBytes(t, disk) - before
		part := float64(s.Stats().Wear.Written-counted) / float64(written)
		t.Logf("commits of %d KiB: %.0f %% of what reaches the disk is counted", records, part*100)
		if part < 0.6 || part > 1.1 {
			t.Errorf("counted %.2f of what reaches the disk", part)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzWearRow: rubbish in meta makes the meter begin anew.
func FuzzWearRow(f *testing.F) {
	f.Add([]byte{0xa0})
	f.Add((&wearMeter{root: "/"}).pair().value)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newWearMeter("/", "/", 100)
		m.restore(data)
		if w := m.wear(); w.DaysLeft < 0 || len(m.row.Hours) > wearHours+1 {
			t.Errorf("got %+v of %d hours", w, len(m.row.Hours))
		}
	})
}
