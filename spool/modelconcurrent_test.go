package spool

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// TestModelConcurrent appends, fetches, settles, saves and rotates all at the
// same time, and then compares what is left with what everybody was told: each
// sample was given one sequence, each sequence one sample, and each stream
// took every record of its dataset once and in order.
func TestModelConcurrent(t *testing.T) {
	numbers := rounds(400, 20_000)
	s := openTest(t, func(c *Config) { c.segmentBytes = 192 << 10 })
	datasets := map[string]string{"a": "training", "b": "training", "c": "testing", "d": "anomaly"}
	m := newModelState()
	told := make([]map[int]Result, 4) // by appender: what it was told of a number
	var appenders, readers sync.WaitGroup
	var appended atomic.Bool
	for g := range told {
		told[g] = map[int]Result{}
		appenders.Go(func() {
			for i := range numbers { // each number comes from two of them
				if i%2 == g%2 {
					told[g][i] = mustAppend(t, s, m.record(i, i%3))[0]
				}
			}
		})
	}
	taken := map[string]*[]uint64{}
	for name, dataset := range datasets {
		st := mustStream(t, s, name, dataset)
		got := new([]uint64)
		taken[name] = got
		readers.Go(func() {
			for {
				last, ready := appended.Load(), st.Ready()
				recs, err := st.Fetch(context.Background(), Limit{Records: 7, Bytes: 1 << 20})
				if err != nil {
					t.Error(err)
					return
				}
				if len(recs) == 0 && last {
					return
				}
				if len(recs) == 0 {
					<-ready
				}
				settleAll(t, st, FateAlreadyThere, recs)
				*got = append(*got, sequences(recs)...)
				_ = st.Sync(context.Background())
				_ = s.Stats()
			}
		})
	}
	appenders.Wait()
	appended.Store(true)
	for _, st := range s.streamList() {
		st.announce()
	}
	readers.Wait()
	for name, dataset := range datasets {
		checkTaken(t, name, dataset, *taken[name], numbers)
	}
	checkTold(t, s, told, numbers)
}

// checkTold wants one sequence for each number, and one number for each
// sequence.
func checkTold(t *testing.T, s *Spool, told []map[int]Result, numbers int) {
	t.Helper()
	first := 0
	bySequence := map[uint64]int{}
	for number := range numbers {
		var sequence uint64
		for _, one := range told {
			r, ok := one[number]
			if !ok {
				continue
			}
			if !r.Duplicate {
				first++
			}
			if sequence != 0 && sequence != r.Sequence {
				t.Errorf("number %d was given %d and %d", number, sequence, r.Sequence)
			}
			sequence = r.Sequence
		}
		if other, twice := bySequence[sequence]; twice {
			t.Errorf("numbers %d and %d are both %d", other, number, sequence)
		}
		bySequence[sequence] = number
	}
	if stats := s.Stats(); first != numbers || stats.Records != int64(numbers) || stats.Duplicates != uint64(numbers) {
		t.Errorf("%d new of %d numbers; figures %+v", first, numbers, stats)
	}
}

// checkTaken wants every record of the dataset, once and in order.
func checkTaken(t *testing.T, name, dataset string, got []uint64, numbers int) {
	t.Helper()
	want := 0
	for number := range numbers {
		if []string{"training", "testing", "anomaly"}[number%3] == dataset {
			want++
		}
	}
	if len(got) != want {
		t.Errorf("stream %s took %d records, want %d", name, len(got), want)
	}
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Errorf("stream %s took %d after %d", name, got[i], got[i-1])
		}
	}
}
