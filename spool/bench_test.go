package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkDurableAppend appends 1 KiB records in commits of some sizes, and
// writes and syncs the same bytes to a plain file in turn. The ratio is the
// spool's speed as a share of the file's, by the medians of both.
func BenchmarkDurableAppend(b *testing.B) {
	for _, kib := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			dir := b.TempDir()
			s, err := Open(testConfig(filepath.Join(dir, "spool"), func(c *Config) { c.segmentBytes = 32 << 20 }))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			plain, err := os.Create(filepath.Join(dir, "plain"))
			if err != nil {
				b.Fatal(err)
			}
			defer plain.Close()
			var inSpool, inFile []time.Duration
			number := 0
			b.ReportAllocs()
			b.SetBytes(int64(kib) << 10)
			for b.Loop() {
				b.StopTimer()
				recs := make([]Record, kib)
				for i := range recs {
					recs[i] = sampleOf("training", number, noise(number, 1<<10))
					number++
				}
				body := noise(number, kib<<10)
				start := time.Now()
				if _, err := plain.Write(body); err != nil {
					b.Fatal(err)
				}
				if err := plain.Sync(); err != nil {
					b.Fatal(err)
				}
				inFile = append(inFile, time.Since(start))
				b.StartTimer()
				start = time.Now()
				r, err := s.Append(b.Context(), recs...)
				if err == nil {
					err = r.Wait(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
				inSpool = append(inSpool, time.Since(start))
			}
			ratio := float64(median(inFile)) / float64(median(inSpool))
			b.ReportMetric(ratio, "of-plain-file")
			figure(b, fmt.Sprintf("append-at-%d-KiB", kib), float64(median(inSpool).Nanoseconds())/1000, "µs/commit")
			figure(b, fmt.Sprintf("append-of-plain-file-at-%d-KiB", kib), float64(median(inFile).Nanoseconds())/1000, "µs/commit")
			figure(b, fmt.Sprintf("append-speed-at-%d-KiB", kib), ratio, "of-plain-file's")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkFetch reads and settles 1 KiB records in batches of 100.
func BenchmarkFetch(b *testing.B) {
	s, err := Open(testConfig(b.TempDir(), func(c *Config) { c.segmentBytes = 8 << 20 }))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const records = 20_000
	for i := range records {
		if _, err := s.Append(b.Context(), sampleOf("training", i, noise(i, 1<<10))); err != nil {
			b.Fatal(err)
		}
	}
	r, _ := s.Append(b.Context(), sample("testing", 0))
	if err := r.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	st, err := s.Stream("a", "training", StreamOptions{Pin: true})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(100 << 10)
	for b.Loop() {
		recs, err := st.Fetch(b.Context(), Limit{Records: 100, Bytes: 8 << 20})
		if err != nil {
			b.Fatal(err)
		}
		if len(recs) == 0 {
			if err := st.Reset(b.Context(), 0); err != nil {
				b.Fatal(err)
			}
			continue
		}
		out := make([]Outcome, len(recs))
		for i := range recs {
			out[i] = Outcome{Sequence: recs[i].Sequence, Fate: FateStored}
		}
		if err := st.Settle(b.Context(), out...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDrain takes a backlog of 1 KiB records in memory-backed storage
// through a stream as a worker does: batches of 100, settled as stored.
func BenchmarkDrain(b *testing.B) {
	dir := filepath.Join(memoryDir(b), "spool")
	const records = 200_000
	scaleSpool(b, dir, records, 1<<10, nil)
	s, err := Open(testConfig(dir, func(c *Config) { c.MaxBytes, c.segmentBytes = 64<<30, 0 }))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	st, err := s.Stream("a", "training", StreamOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(1 << 10)
	b.ResetTimer()
	n := 0
	out := make([]Outcome, 0, 100)
	for n < b.N {
		recs, err := st.Fetch(b.Context(), Limit{Records: min(100, b.N-n), Bytes: 8 << 20})
		if err != nil {
			b.Fatal(err)
		}
		if len(recs) == 0 {
			b.StopTimer()
			if err := st.Reset(b.Context(), 0); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			continue
		}
		out = out[:0]
		for i := range recs {
			out = append(out, Outcome{Sequence: recs[i].Sequence, Fate: FateStored})
		}
		if err := st.Settle(b.Context(), out...); err != nil {
			b.Fatal(err)
		}
		n += len(recs)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	if b.N > 1 {
		figure(b, "drain", float64(b.N)/b.Elapsed().Seconds(), "records/s")
	}
}

// BenchmarkAppend appends without waiting, as serial sources do.
func BenchmarkAppend(b *testing.B) {
	s, err := Open(testConfig(b.TempDir(), func(c *Config) { c.segmentBytes = 32 << 20 }))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	number := 0
	for b.Loop() {
		b.StopTimer()
		r := sampleOf("training", number, noise(number, 1<<10))
		number++
		b.StartTimer()
		if _, err := s.Append(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
