package spool

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// appendUntilKilled appends from four goroutines and writes a line for each
// record that was acknowledged: number and sequence.
func appendUntilKilled(dir string) {
	s, err := Open(testConfig(dir, func(c *Config) { c.segmentBytes = 700 << 10 }))
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	start := int(s.Stats().NextSequence) * 100
	out := make(chan string)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				number := start + g + 4*i
				line, err := appendNumber(s, number)
				if err != nil {
					out <- "error: " + err.Error()
					return
				}
				out <- line
			}
		})
	}
	wg.Go(func() { // settings large enough for meta to go through generations
		for i := start; ; i++ {
			if err := s.SetSetting("count", fmt.Appendf(make([]byte, 60<<10), "%d", i)); err != nil {
				out <- "error: " + err.Error()
				return
			}
			out <- fmt.Sprintf("%d %d", setting, i)
		}
	})
	for line := range out {
		fmt.Println(line)
	}
}

// setting stands for the number in lines of acknowledged settings.
const setting = -1

func appendNumber(s *Spool, number int) (string, error) {
	ctx := context.Background()
	r := numbered(number)
	if number%13 == 0 {
		rd, err := r.Body.Open()
		if err != nil {
			return "", err
		}
		if r.Body, err = s.Stage(ctx, rd, 1<<30); err != nil {
			return "", err
		}
	}
	receipt, err := s.Append(ctx, r)
	if err == nil {
		err = receipt.Wait(ctx)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", number, receipt.Results[0].Sequence), nil
}

// numbered is the record of a number: its dataset and bytes follow from it.
func numbered(number int) Record {
	size := 20 + number%3000
	if number%13 == 0 {
		size = 300 << 10
	}
	body := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(number), byte(number >> 8), byte(number >> 16)})
	_, _ = random.Read(body[:len(body)/2])
	copy(body, fmt.Sprintf("%012d", number))
	return sampleOf([]string{"training", "testing", "anomaly"}[number%3], number, body)
}

// TestKilledWriterLosesNothing kills a writing process again and again and
// looks for every record that it had acknowledged.
func TestKilledWriterLosesNothing(t *testing.T) {
	dir := t.TempDir()
	acked := map[int]uint64{}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		killWhileAppending(t, dir, acked, 20+rand.IntN(150))
		checkAcked(t, dir, acked)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	t.Logf("%d kills, %d acknowledged records", rounds, len(acked)-1)
}

func killWhileAppending(t *testing.T, dir string, acked map[int]uint64, after int) {
	t.Helper()
	child := childCommand("append", dir)
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for n := 0; lines.Scan(); n++ {
		var number int
		var sequence uint64
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &number, &sequence); err != nil {
			_ = child.Process.Kill()
			t.Fatalf("child says %q", lines.Text())
		}
		acked[number] = sequence
		if n == after {
			_ = child.Process.Kill()
		}
	}
	_ = child.Wait()
}

// checkAcked opens the spool and reads everything.
func checkAcked(t *testing.T, dir string, acked map[int]uint64) {
	t.Helper()
	s, err := Open(testConfig(dir, func(c *Config) { c.segmentBytes = 700 << 10 }))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found := map[int]uint64{}
	var highest uint64
	for _, dataset := range []string{"training", "testing", "anomaly"} {
		st, err := s.Stream("check/"+dataset, dataset, StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Reset(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		var last uint64
		recs := mustFetch(t, st, 1<<30)
		if n, _ := st.Backlog(); int(n) != len(recs) {
			t.Errorf("backlog of %s is %d, but %d can be fetched", dataset, n, len(recs))
		}
		for _, r := range recs {
			var number int
			data := readBody(t, r)
			if _, err := fmt.Sscanf(string(data[:min(12, len(data))]), "%d", &number); err != nil {
				t.Fatalf("record %d: %v", r.Sequence, err)
			}
			rd, _ := numbered(number).Body.Open()
			want := new(bytes.Buffer)
			_, _ = want.ReadFrom(rd)
			if !bytes.Equal(data, want.Bytes()) || r.Dataset != dataset {
				t.Errorf("record %d (number %d) came back changed", r.Sequence, number)
			}
			if r.Sequence <= last {
				t.Errorf("record %d comes after %d", r.Sequence, last)
			}
			if before, twice := found[number]; twice {
				t.Errorf("number %d is there as %d and as %d", number, before, r.Sequence)
			}
			found[number], last = r.Sequence, r.Sequence
			highest = max(highest, last)
		}
	}
	if value, ok := s.Setting("count"); ok {
		var count uint64
		if _, err := fmt.Sscan(string(value[60<<10:]), &count); err != nil || count < acked[setting] {
			t.Errorf("setting is %d (%v), %d was acknowledged", count, err, acked[setting])
		}
	} else if acked[setting] > 0 {
		t.Error("the setting is gone")
	}
	for number, sequence := range acked {
		if number == setting {
			continue
		}
		if found[number] != sequence {
			t.Errorf("number %d was acknowledged as %d; the spool has %d", number, sequence, found[number])
		}
	}
	if stats := s.Stats(); stats.NextSequence != highest+1 || stats.Damaged != 0 || stats.Quarantined != 0 {
		t.Errorf("highest sequence is %d, but the figures are %+v", highest, stats)
	}
}
