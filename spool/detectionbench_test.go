package spool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fillDetections keeps n detections as a site would have them.
func fillDetections(t testing.TB, s *Spool, n int) {
	t.Helper()
	var some []Detection
	for i := range n {
		some = append(some, detectionOf(i+1))
		if len(some) == 2*detectionsPerChunk || i == n-1 {
			mustDetect(t, s, some...)
			some = some[:0]
		}
	}
	if err := s.SyncDetections(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// filteredPage is a page of a fraction of the detections, by text, tag and score.
func filteredPage() DetectionQuery {
	return DetectionQuery{
		Limit: 25, Descending: true, Offset: 50, MinScore: 0.3, Texts: []string{"statistics", "plant-4"},
		Keep: func(r *DetectionRow) bool {
			value, _ := r.Tag("site")
			return r.Model == "statistics" && value == "plant-4"
		},
	}
}

// BenchmarkDetections100k compares pages with unpacking everything there is.
func BenchmarkDetections100k(b *testing.B) {
	const n = 100_000
	s, err := Open(testConfig(b.TempDir(), nil))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fillDetections(b, s, n)
	mustFind(b, s, DetectionQuery{Limit: 1})
	began := cpuTime()
	if page := mustFind(b, s, DetectionQuery{Limit: n}); len(page.Detections) != n {
		b.Fatalf("%d of %d are there", len(page.Detections), n)
	}
	scan := cpuTime() - began
	b.Logf("%d bytes of a log for each, unpacking all takes %v of a processor", s.detections.stores.used/n, scan)
	one := filteredPage()
	rare := DetectionQuery{Limit: 25, Texts: []string{"5003.cbor"}, Keep: func(r *DetectionRow) bool { return r.Name == "5003.cbor" }}
	for _, c := range []struct {
		name  string
		query DetectionQuery
	}{
		{"newest", DetectionQuery{Limit: 25, Descending: true}},
		{"filtered", one},
		{"one-name", rare},
		{"by-name", DetectionQuery{Limit: 25, Compare: func(a, b *DetectionRow) int { return strings.Compare(a.Name, b.Name) }}},
		{"by-id", DetectionQuery{First: 70_000, Last: 70_000, Limit: 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				mustFind(b, s, c.query)
			}
			each := (cpuTime() - began).Seconds() / float64(b.N)
			b.ReportMetric(1000*each, "cpu-ms/page")
			b.ReportMetric(each/scan.Seconds(), "of-a-scan")
		})
	}
}

// cpuTime is what the process has had of the processors: others may be busy.
func cpuTime() time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// TestAFilteredPageUnpacksLittle: what does not match, or is on another page,
// costs no memory.
func TestAFilteredPageUnpacksLittle(t *testing.T) {
	s := openTest(t, nil)
	const n = 20_000
	fillDetections(t, s, n)
	if page := mustFind(t, s, filteredPage()); len(page.Detections) != 25 || page.Total < n/20 {
		t.Fatalf("%d of %d match", len(page.Detections), page.Total)
	}
	allocs := testing.AllocsPerRun(3, func() { mustFind(t, s, filteredPage()) })
	if allocs > n/10 {
		t.Errorf("a filtered page makes %.0f allocations for %d detections", allocs, n)
	}
}

// BenchmarkDetect keeps detections that wait for others, and ones that do not.
func BenchmarkDetect(b *testing.B) {
	for _, score := range []float64{0.1, 0.9} {
		b.Run(fmt.Sprintf("score-%v", score), func(b *testing.B) {
			s, err := Open(testConfig(b.TempDir(), nil))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d := detectionOf(i + 1)
				d.Score = score
				mustDetect(b, s, d)
			}
		})
	}
}
