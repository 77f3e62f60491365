package spool

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// churnBatch is what a churning child appends at a time: training records of
// 60 KiB, and an anomaly.
const churnBatch = 16

// churn is a child that appends for ever under a cap, delivers some of its
// anomalies, and tells each batch that was acknowledged.
func churn(argument string) {
	dir, limit, _ := strings.Cut(argument, "|")
	var size int64
	_, _ = fmt.Sscan(limit, &size)
	s, err := Open(churnConfig(dir, size))
	if err != nil {
		fmt.Println("error: open:", err)
		return
	}
	ctx := context.Background()
	anomaly, err := s.Stream("studio/anomaly", "anomaly", StreamOptions{Pin: true})
	if err == nil {
		_, err = s.Stream("studio/training", "training", StreamOptions{Pin: true})
	}
	if err != nil {
		fmt.Println("error: streams:", err)
		return
	}
	for number := int(s.Stats().NextSequence) * 100; ; number += churnBatch + 1 {
		recs := []Record{sampleOf("anomaly", number, noise(number, 4<<10))}
		for i := range churnBatch {
			recs = append(recs, sampleOf("training", number+1+i, noise(number+1+i, 60<<10)))
		}
		r, err := s.Append(ctx, recs...)
		if err == nil {
			err = r.Wait(ctx)
		}
		if err != nil {
			fmt.Println("error:", err)
			return
		}
		if number%5 == 0 {
			some, err := anomaly.Fetch(ctx, Limit{Records: 3, Bytes: 1 << 20})
			for _, rec := range some {
				_ = anomaly.Settle(ctx, Outcome{Sequence: rec.Sequence, Fate: FateStored})
			}
			if err != nil {
				fmt.Println("error:", err)
				return
			}
		}
		fmt.Println("batch")
	}
}

func churnConfig(dir string, limit int64) Config {
	return testConfig(dir, func(c *Config) { c.MaxBytes, c.Keep, c.segmentBytes = Size(limit), 0, min(limit/48, 4<<20) })
}

// TestChurnHoldsTheCap: data many times the cap goes through a spool whose
// destination is away, and the process is killed now and then. Real disk use
// never passes the cap by as much as a segment; no anomaly is lost; each
// training record is there or counted.
func TestChurnHoldsTheCap(t *testing.T) {
	limit, total := int64(48<<20), int64(60<<20)
	if soak() {
		limit, total = 96<<20, 20*96<<20
	}
	dir := filepath.Join(t.TempDir(), "spool")
	stop := watchUse(dir)
	batches, kills := 0, 0
	for ; int64(batches)*churnBatch*60<<10 < total; kills++ {
		c := childCommand("churn", fmt.Sprintf("%s|%d", dir, limit))
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		end := batches + int(limit>>20)/2 + rand.IntN(int(limit>>20)/2)
		lines := bufio.NewScanner(out)
		for batches < end && lines.Scan() {
			if lines.Text() != "batch" {
				t.Errorf("the child says %q", lines.Text())
				break
			}
			batches++
		}
		_ = c.Process.Kill()
		for lines.Scan() {
			batches++ // it was acknowledged before the kill
		}
		_ = c.Wait()
		if t.Failed() {
			break
		}
	}
	s := openAt(t, dir, func(c *Config) { *c = churnConfig(dir, limit) })
	most, segment := stop(), s.table.shape.disk()
	t.Logf("%d MiB through a cap of %d MiB, %d kills: at most %.1f %% of the cap on disk", total>>20, limit>>20, kills, 100*float64(most)/float64(limit))
	if most > limit {
		t.Errorf("the folder took %d bytes, %d more than the cap; a segment is %d", most, most-limit, segment)
	}
	churnCount(t, s, batches, kills)
}

// churnCount compares what is there with what was acknowledged; a kill may
// leave one batch more than that.
func churnCount(t *testing.T, s *Spool, batches, kills int) {
	t.Helper()
	training, anomaly := mustStream(t, s, "studio/training", "training"), mustStream(t, s, "studio/anomaly", "anomaly")
	left, lost := len(mustFetch(t, training, 1<<30)), int(training.Totals().Lost)
	if n := left + lost; n < batches*churnBatch || n > (batches+kills)*churnBatch || lost == 0 {
		t.Errorf("%d training records are left and %d count as lost; %d were acknowledged, in %d runs", left, lost, batches*churnBatch, kills)
	}
	if n, _ := training.Backlog(); int(n) != left {
		t.Errorf("the backlog is %d, but %d come", n, left)
	}
	totals := anomaly.Totals()
	if n := len(mustFetch(t, anomaly, 1<<30)) + int(totals.Stored); n < batches || totals.Lost != 0 {
		t.Errorf("%d anomalies are left or delivered and %d lost; %d were acknowledged", n, totals.Lost, batches)
	}
}

// TestChurnGivesBackAtOnce: what is delivered gives its room back within a
// segment, long before the cap asks for it.
func TestChurnGivesBackAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, func(c *Config) { c.Keep = 0 })
	st := mustStream(t, s, "studio/training", "training")
	base := treeBytes(filepath.Join(dir, "seg"))
	for i := range rounds(300, 3000) {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
		settleAll(t, st, FateStored, mustFetch(t, st, 100))
		s.mu.Lock()
		s.choresAt = time.Now()
		s.mu.Unlock()
		s.nudge()
		if i%17 == 16 {
			mustAppend(t, s, sample("training", 1e6+2*i), sample("training", 1e6+2*i+1)) // after the chores
			if use := treeBytes(filepath.Join(dir, "seg")) - base; use > 2*s.table.shape.disk() {
				t.Fatalf("after %d delivered records the segments take %d bytes, one takes %d", i, use, s.table.shape.disk())
			}
		}
	}
	if lost := s.Stats().Lost; lost != 0 {
		t.Errorf("%d records are lost", lost)
	}
}

// TestChurnLeavesTheFloor: the spool never leaves the disk with less than
// min_free, whatever it begins.
func TestChurnLeavesTheFloor(t *testing.T) {
	disk := smallDisk(t, 160)
	dir := filepath.Join(disk, "spool")
	const floor = 60 << 20
	s, err := Open(testConfig(dir, func(c *Config) { c.MinFree, c.MaxBytes = floor, 256<<20 }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := mustStream(t, s, "studio/training", "training")
	least := int64(1 << 40)
	for i := range rounds(900, 12000) {
		mustAppend(t, s, sampleOf("training", i, noise(i, 60<<10)))
		free, _, err := freeBytes(disk)
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, free)
		if i%100 == 99 {
			if err := s.SetSetting("count", noise(i, 60<<10)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if least < floor {
		t.Errorf("the spool left %d bytes, less than min_free %d", least, floor)
	}
	t.Logf("at least %d MiB were left, min_free is %d MiB; %d lost", least>>20, floor>>20, st.Totals().Lost)
}
