package spool

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func detectionTestConfig(dir string) Config {
	return testConfig(dir, func(c *Config) { c.MaxBytes = 64 << 20 })
}

// detectUntilKilled keeps detections from three goroutines and writes a line
// for each: its id, its number, and whether it is durable. Small stores have
// chunks merged and stores rotated meanwhile.
func detectUntilKilled(dir string) {
	s, err := Open(detectionTestConfig(dir))
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	s.detections.stores.keysLimit = 80
	out := make(chan string)
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := g; ; i += 3 {
				d := numberedDetection(i)
				ids, err := s.Detect(context.Background(), d)
				if err != nil {
					out <- "error: " + err.Error()
					return
				}
				out <- fmt.Sprintf("%d %d %t", ids[0], i, d.Score >= surely)
			}
		})
	}
	for line := range out {
		fmt.Println(line)
	}
}

// numberedDetection is the detection of a number; one in three is durable.
func numberedDetection(i int) Detection {
	d := detectionOf(i + 1)
	d.Score = 0.1
	if i%3 == 0 {
		d.Score = 0.9
		d.Reasons = []string{string(noise(i, 700))}
	}
	return d
}

// TestKilledDetectorsLoseNothing kills a process that keeps detections again and
// again: those that were durable are there, byte for byte, with their ids, and no
// id was given twice.
func TestKilledDetectorsLoseNothing(t *testing.T) {
	dir := t.TempDir()
	given, durable := map[uint64]int{}, map[uint64]bool{}
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		child := childCommand("detect", dir)
		pipe, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		after := 50 + rand.IntN(400)
		lines := bufio.NewScanner(pipe)
		for n := 0; lines.Scan(); n++ {
			var id uint64
			var number int
			var kept bool
			if _, err := fmt.Sscanf(lines.Text(), "%d %d %t", &id, &number, &kept); err != nil {
				_ = child.Process.Kill()
				t.Fatalf("child says %q", lines.Text())
			}
			if before, twice := given[id]; twice {
				t.Errorf("id %d was given to %d and to %d", id, before, number)
			}
			given[id], durable[id] = number, kept
			if n == after {
				_ = child.Process.Kill()
			}
		}
		_ = child.Wait()
		checkDetections(t, dir, given, durable)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d ids", rounds, len(given))
}

func checkDetections(t *testing.T, dir string, given map[uint64]int, durable map[uint64]bool) {
	t.Helper()
	s, err := Open(detectionTestConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[uint64]bool{}
	last := uint64(0)
	for _, d := range mustFind(t, s, DetectionQuery{Limit: 1 << 30}).Detections {
		if d.ID <= last {
			t.Errorf("id %d comes after %d", d.ID, last)
		}
		last, found[d.ID] = d.ID, true
		number, known := given[d.ID]
		if !known {
			continue // its line was lost with the process
		}
		want := numberedDetection(number)
		if d.Name != want.Name || d.Score != want.Score || len(d.Reasons) != len(want.Reasons) || len(d.Reasons) > 0 && d.Reasons[0] != want.Reasons[0] {
			t.Errorf("detection %d of number %d came back as %+v", d.ID, number, d)
		}
	}
	for id := range given {
		if durable[id] && !found[id] {
			t.Errorf("detection %d was durable and is gone", id)
		}
	}
	if st := s.Stats(); st.Quarantined != 0 {
		t.Errorf("%d stores were set aside", st.Quarantined)
	}
}

// TestDamagedDetections harms the stores in every way: what is whole is there,
// the damage is told, the store is set aside, and ids go on.
func TestDamagedDetections(t *testing.T) {
	const n = 900
	for _, killed := range []bool{false, true} {
		from := t.TempDir()
		s, err := Open(detectionTestConfig(from))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < n; i += 10 {
			var some []Detection
			for k := range 10 {
				d := detectionOf(i + k + 1)
				d.Score = 0.6
				some = append(some, d)
			}
			mustDetect(t, s, some...)
		}
		left := t.TempDir()
		if killed {
			copyTree(t, from, left)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !killed {
			copyTree(t, from, left)
		}
		for _, c := range []struct {
			name string
			harm func(t *testing.T, store string)
			// whole is what is left at least.
			whole int
			seen  bool
		}{
			{"flip in the log", func(t *testing.T, store string) { flipAt(t, filepath.Join(store, "000001.vlog"), 3000) }, n - 20, true},
			{"zeros in the log", func(t *testing.T, store string) {
				overwrite(t, filepath.Join(store, "000001.vlog"), 5000, make([]byte, 4096))
			}, n / 2, true},
			{"log gone", func(t *testing.T, store string) { remove(t, filepath.Join(store, "000001.vlog")) }, 0, false},
			{"log empty", func(t *testing.T, store string) { truncate(t, filepath.Join(store, "000001.vlog"), 0) }, 0, false},
			{"log cut", func(t *testing.T, store string) { truncate(t, filepath.Join(store, "000001.vlog"), 8000) }, 10, false},
			{"manifest garbage", func(t *testing.T, store string) {
				overwrite(t, filepath.Join(store, "MANIFEST"), 0, []byte("garbage garbage"))
			}, n, false},
			{"manifest gone", func(t *testing.T, store string) { remove(t, filepath.Join(store, "MANIFEST")) }, n, false},
			{"registry cut", func(t *testing.T, store string) { truncate(t, filepath.Join(store, "KEYREGISTRY"), 3) }, n, false},
			{"a file in its place", func(t *testing.T, store string) {
				if err := os.RemoveAll(store); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(store, []byte("odd"), 0o644); err != nil {
					t.Fatal(err)
				}
			}, 0, false},
		} {
			t.Run(fmt.Sprintf("%s, killed %v", c.name, killed), func(t *testing.T) {
				dir := t.TempDir()
				copyTree(t, left, dir)
				c.harm(t, filepath.Join(dir, "det", "00000001"))
				report, err := Inspect(t.Context(), dir)
				if err != nil || c.seen && len(report.Damage) == 0 {
					t.Errorf("inspect sees %+v, %v", report.Damage, err)
				}
				for start := range 3 {
					s, err := Open(detectionTestConfig(dir))
					if err != nil {
						t.Fatalf("start %d: %v", start, err)
					}
					page := mustFind(t, s, DetectionQuery{Limit: 1 << 20})
					if len(page.Detections) < c.whole || int(page.Total) != len(page.Detections) {
						t.Errorf("start %d: %d are left, %d are told, want %d", start, len(page.Detections), page.Total, c.whole)
					}
					d := detectionOf(1)
					d.Score = 0.9
					id := mustDetect(t, s, d)[0]
					if id < n+uint64(start) {
						t.Errorf("start %d: id %d was given before", start, id)
					}
					if got, ok, err := s.Detection(t.Context(), id); err != nil || !ok || got.Name != d.Name {
						t.Errorf("start %d: the new one is %+v, %v, %v", start, got, ok, err)
					}
					if c.seen && s.Stats().Quarantined == 0 {
						t.Errorf("start %d: nothing is in quarantine", start)
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

// FuzzDetections takes chunks of detections apart; a right checksum does not
// make them sound.
func FuzzDetections(f *testing.F) {
	c := testCodec(f)
	for _, pack := range []bool{false, true} {
		all := []Detection{detectionOf(4), detectionOf(5), detectionOf(8)}
		for i := range all {
			all[i].ID = uint64(10 + 2*i)
		}
		value, err := encodeDetections(c, all, pack)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
		f.Add(value[:len(value)-7])
	}
	f.Add(binary.BigEndian.AppendUint64(make([]byte, 60), 1))
	f.Fuzz(func(t *testing.T, value []byte) {
		all, err := detectionsIn(c, value, func(uint64) bool { return true })
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error is %v", err)
			}
			return
		}
		if _, err := encodeDetections(c, all, true); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
