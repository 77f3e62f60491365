package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// detectionOf makes a detection that says most of what one can say.
func detectionOf(n int) Detection {
	d := Detection{
		Sequence: uint64(n), Dataset: []string{"training", "anomaly"}[n%2], Name: fmt.Sprintf("%d.cbor", n),
		ContentType: []string{"application/cbor", "image/jpeg", ""}[n%3], Source: "vibration", Size: int64(n), SHA256: sha256Sum([]byte(fmt.Sprint(n))),
		Model: []string{"statistics", "threshold", "pump.eim"}[n%3], ModelVersion: "1", Score: float64(n%40) / 100,
		Classification: []string{"idle", "shaking", ""}[n%3], Tags: map[string]string{"session": fmt.Sprint(n / 10), "site": "plant-4"},
	}
	if n%4 == 0 {
		d.Labels = []PredictedLabel{{Name: []string{"motion", "idle"}, Probability: 0.75}}
		d.Checks = []Check{{Type: "THRESHOLD", Passed: n%8 == 0, Details: "accX within -20 to 20", Score: 0.25}}
		d.Reasons = []string{"the peak of accX is 31 m/s2, of which at most 20 are usual"}
	}
	return d
}

func mustDetect(t testing.TB, s *Spool, all ...Detection) []uint64 {
	t.Helper()
	ids, err := s.Detect(t.Context(), all...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func mustFind(t testing.TB, s *Spool, q DetectionQuery) DetectionPage {
	t.Helper()
	page, err := s.Detections(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestDetectionsComeBackAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	const n = 700
	var want []Detection
	for i := 1; i <= n; i++ {
		d := detectionOf(i)
		ids := mustDetect(t, s, d)
		if len(ids) != 1 || ids[0] != uint64(i) {
			t.Fatalf("detection %d has ids %v", i, ids)
		}
		d.ID = ids[0]
		want = append(want, d)
	}
	check := func(s *Spool) {
		t.Helper()
		page := mustFind(t, s, DetectionQuery{Limit: 2 * n})
		if page.Total != n || len(page.Detections) != n || page.Newest < n {
			t.Fatalf("found %d of %d, newest %d", len(page.Detections), page.Total, page.Newest)
		}
		for i, got := range page.Detections {
			if got.At.IsZero() || time.Since(got.At).Abs() > time.Hour {
				t.Fatalf("detection %d was made at %v", got.ID, got.At)
			}
			got.At = time.Time{}
			if !reflect.DeepEqual(got, want[i]) {
				t.Fatalf("got %+v\nwant %+v", got, want[i])
			}
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Inspect(t.Context(), dir)
	if d := report.Detections; err != nil || d.Detections != n || d.First != 1 || d.Last != n || d.DiskBytes == 0 || len(report.Damage)+len(report.Leftovers) > 0 {
		t.Errorf("inspect finds %+v, %v, %v, %v", d, report.Damage, report.Leftovers, err)
	}
	s = openAt(t, dir, nil)
	check(s)
	if ids := mustDetect(t, s, detectionOf(1)); ids[0] != n+1 {
		t.Errorf("after an orderly stop the next id is %d, want %d", ids[0], n+1)
	}
	if d, ok, err := s.Detection(t.Context(), 5); err != nil || !ok || d.Name != "5.cbor" {
		t.Errorf("detection 5 is %+v, %v, %v", d, ok, err)
	}
	for _, id := range []uint64{0, n + 2, 1 << 60} {
		if d, ok, err := s.Detection(t.Context(), id); err != nil || ok {
			t.Errorf("detection %d is %+v, %v, %v", id, d, ok, err)
		}
	}
}

func TestDetectRefusesWhatCannotBe(t *testing.T) {
	s := openTest(t, nil)
	nan := 0.0
	for _, d := range []Detection{
		{Score: 1.01}, {Score: -0.1}, {Score: nan / nan},
		{Labels: []PredictedLabel{{Probability: 2}}}, {Checks: []Check{{Score: -1}}},
	} {
		if ids, err := s.Detect(t.Context(), detectionOf(1), d); err == nil || ids != nil || !strings.Contains(err.Error(), "0 to 1") {
			t.Errorf("%+v gives %v, %v", d, ids, err)
		}
	}
	long := Detection{Reasons: []string{strings.Repeat("x", detectionLimit)}}
	if _, err := s.Detect(t.Context(), long); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long one gives %v", err)
	}
	if page := mustFind(t, s, DetectionQuery{Limit: 10}); page.Total != 0 || page.Newest != 0 {
		t.Errorf("refused ones are there: %+v", page)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Detect(t.Context(), detectionOf(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed spool says %v", err)
	}
	if _, err := s.Detections(t.Context(), DetectionQuery{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed spool says %v", err)
	}
}

// TestDetectionsRotate fills the history over and over: it stays within its
// share, the oldest go, chunks of one are merged, and no id comes twice.
func TestDetectionsRotate(t *testing.T) {
	dir := t.TempDir()
	change := func(c *Config) { c.MaxBytes = 64 << 20 }
	s := openAt(t, dir, change)
	batches := 250
	if !testing.Short() {
		batches = 1000
	}
	next := uint64(1)
	for batch := range batches {
		var some []Detection
		n := 1 + batch%97
		for i := range n {
			d := detectionOf(batch*100 + i + 1)
			d.Score = 0.9 // durable at once
			d.Reasons = []string{string(noise(batch*100+i, 400))}
			some = append(some, d)
		}
		for _, id := range mustDetect(t, s, some...) {
			if id != next {
				t.Fatalf("id %d comes after %d", id, next-1)
			}
			next++
		}
		if used := treeBytes(filepath.Join(dir, "det")); used > detectionStores*s.lim.detections+2*s.detections.stores.shape.disk()+1<<20 {
			t.Fatalf("detections take %d bytes, their share is %d", used, detectionStores*s.lim.detections)
		}
		if batch%50 == 49 {
			checkTail(t, s, next)
		}
		if batch%100 == 99 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, dir, change)
			checkTail(t, s, next)
		}
	}
	if numbers, _ := s.detections.stores.all(); len(numbers) != detectionStores {
		t.Errorf("%d stores, want %d", len(numbers), detectionStores)
	}
}

// checkTail: what is left is a stretch up to the newest.
func checkTail(t *testing.T, s *Spool, next uint64) {
	t.Helper()
	page := mustFind(t, s, DetectionQuery{Limit: 1 << 30})
	if len(page.Detections) == 0 || int64(len(page.Detections)) != page.Total {
		t.Fatalf("found %d, %d in all", len(page.Detections), page.Total)
	}
	for i, d := range page.Detections {
		if want := next - uint64(len(page.Detections)-i); d.ID != want || len(d.Reasons) != 1 {
			t.Fatalf("place %d has %d, want %d", i, d.ID, want)
		}
	}
}

// TestManySmallDetectionsAreMerged: each with a commit of its own.
func TestManySmallDetectionsAreMerged(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 64 << 20 })
	s.detections.stores.keysLimit = 150
	const n = 500
	for i := 1; i <= n; i++ {
		d := detectionOf(i)
		d.Sequence = 0 // durable at once
		mustDetect(t, s, d)
	}
	if s.Stats().Quarantined != 0 {
		t.Error("something was set aside")
	}
	page := mustFind(t, s, DetectionQuery{Limit: n})
	if page.Total != n || page.Detections[n-1].ID != n || page.Detections[0].ID != 1 {
		t.Errorf("%d are left, want %d", page.Total, n)
	}
	if numbers, _ := s.detections.stores.all(); len(numbers) != 1 {
		t.Errorf("%d stores for %d detections, want 1", len(numbers), n)
	}
}

// TestDetectionsQueryEqualsScan compares queries with going through all there
// is, while part of it waits for its commit and some of it is in old stores.
func TestDetectionsQueryEqualsScan(t *testing.T) {
	s := openTest(t, func(c *Config) { c.MaxBytes = 64 << 20 })
	random := rand.New(rand.NewPCG(1, 2))
	for i := 1; i <= 5000; i++ {
		d := detectionOf(i)
		d.Score = float64(random.IntN(50)) / 100
		mustDetect(t, s, d)
		if i == 2000 || i == 4950 {
			if err := s.SyncDetections(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := mustFind(t, s, DetectionQuery{Limit: 1 << 20}).Detections
	if len(all) != 5000 {
		t.Fatalf("%d are there, want 5000", len(all))
	}
	orders := []func(a, b *DetectionRow) int{
		nil,
		func(a, b *DetectionRow) int { return strings.Compare(a.Name, b.Name) },
		func(a, b *DetectionRow) int { return int(1000*a.Score) - int(1000*b.Score) },
		func(a, b *DetectionRow) int { return 0 },
	}
	for round := range 60 {
		q := DetectionQuery{Descending: random.IntN(2) == 0, Offset: random.IntN(6000), Limit: 1 + random.IntN(100), Compare: orders[random.IntN(len(orders))]}
		if random.IntN(2) == 0 {
			q.Offset = random.IntN(100)
		}
		model, site := "", ""
		if random.IntN(2) == 0 {
			q.First, q.Last = uint64(random.IntN(3000)), uint64(2000+random.IntN(4000))
		}
		if random.IntN(2) == 0 {
			q.MinScore, q.MaxScore = 0.1, 0.35
		}
		if random.IntN(2) == 0 {
			q.From, q.To = all[1000].At, all[4900].At
		}
		if random.IntN(2) == 0 {
			model, site = "threshold", "plant-4"
			q.Texts = []string{model, site}
			q.Keep = func(r *DetectionRow) bool {
				value, _ := r.Tag("site")
				return r.Model == model && value == site
			}
		}
		var want []uint64
		var rows []DetectionRow
		for _, d := range all {
			if d.ID < q.First || q.Last > 0 && d.ID > q.Last || d.Score < q.MinScore || q.MaxScore > 0 && d.Score > q.MaxScore ||
				!q.From.IsZero() && (d.At.Before(q.From) || d.At.After(q.To)) || model != "" && d.Model != model {
				continue
			}
			rows = append(rows, DetectionRow{ID: d.ID, Name: d.Name, Score: d.Score})
		}
		slices.SortStableFunc(rows, func(a, b DetectionRow) int {
			c := 0
			if q.Compare != nil {
				c = q.Compare(&a, &b)
			}
			if c == 0 {
				c = int(a.ID) - int(b.ID)
			}
			if q.Descending {
				return -c
			}
			return c
		})
		for i := q.Offset; i < min(q.Offset+q.Limit, len(rows)); i++ {
			want = append(want, rows[i].ID)
		}
		page := mustFind(t, s, q)
		var got []uint64
		for _, d := range page.Detections {
			got = append(got, d.ID)
		}
		if page.Total != int64(len(rows)) || !slices.Equal(got, want) {
			t.Fatalf("round %d, %+v:\ngot %d %v\nwant %d %v", round, q, page.Total, got, len(rows), want)
		}
	}
}

// TestOrderedDetectionsInRounds goes far into an order that is not that of the
// ids, with few rows held at a time.
func TestOrderedDetectionsInRounds(t *testing.T) {
	s := openTest(t, nil)
	const n = 3*orderedHeld + 17
	var some []Detection
	for i := range n {
		some = append(some, Detection{Sequence: 1, Name: fmt.Sprintf("%06d", (i*7919)%n), Score: 0.1})
		if len(some) == 512 || i == n-1 {
			mustDetect(t, s, some...)
			some = some[:0]
		}
	}
	for _, down := range []bool{false, true} {
		for _, offset := range []int{0, orderedHeld - 3, orderedHeld, 2*orderedHeld + 1, n - 5, n} {
			page := mustFind(t, s, DetectionQuery{
				Compare: func(a, b *DetectionRow) int { return strings.Compare(a.Name, b.Name) }, Descending: down, Offset: offset, Limit: 7,
			})
			if page.Total != n || len(page.Detections) != min(7, n-offset) {
				t.Fatalf("offset %d: %d of %d", offset, len(page.Detections), page.Total)
			}
			for i, d := range page.Detections {
				want := offset + i
				if down {
					want = n - 1 - want
				}
				if d.Name != fmt.Sprintf("%06d", want) {
					t.Fatalf("offset %d, place %d, down %v: %s", offset, i, down, d.Name)
				}
			}
		}
	}
}

func TestDetectContextEnds(t *testing.T) {
	s := openTest(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Detections(ctx, DetectionQuery{}); err != nil {
		t.Errorf("nothing to read, but %v", err)
	}
	mustDetect(t, s, detectionOf(1))
	if _, err := s.Detections(ctx, DetectionQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestDetectionsWaitForTheDisk: what cannot be written is kept, seen, and
// written once it can be; beyond a bound nothing more is taken.
func TestDetectionsWaitForTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, nil)
	place := filepath.Join(dir, "det")
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for {
		some := make([]Detection, 100)
		for i := range some {
			some[i] = detectionOf(taken + i + 1)
			some[i].Score = 0.9
		}
		ids, err := s.Detect(t.Context(), some...)
		if err == nil {
			t.Fatal("there is no place for it, and no error")
		}
		if len(ids) == 0 {
			if !errors.Is(err, ErrFull) {
				t.Errorf("the refusal says %v", err)
			}
			break
		}
		taken += len(ids)
	}
	if taken < detectionsHeld/2 || taken > detectionsHeld {
		t.Errorf("%d are held, want up to %d", taken, detectionsHeld)
	}
	if page := mustFind(t, s, DetectionQuery{Limit: 3, Descending: true}); page.Total != int64(taken) || page.Detections[0].ID != uint64(taken) {
		t.Errorf("%d are seen, want %d", page.Total, taken)
	}
	if err := os.Remove(place); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(place, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.SyncDetections(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir, nil)
	if page := mustFind(t, s, DetectionQuery{Limit: 1 << 20}); page.Total != int64(taken) || len(page.Detections) != taken {
		t.Errorf("%d are there, want %d", page.Total, taken)
	}
}

// TestDetectionsConcurrently has several detect and ask while stores are merged
// and rotated: every answer is a stretch of ids up to the newest.
func TestDetectionsConcurrently(t *testing.T) {
	s := openTest(t, func(c *Config) { c.Detections = leastDetections })
	s.detections.stores.keysLimit = 40
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for g := range 3 {
		writers.Go(func() {
			for i := range rounds {
				some := make([]Detection, 1+i%9)
				for k := range some {
					some[k] = detectionOf(1000*g + i + k)
					some[k].Score = float64(g) / 2
					some[k].Reasons = []string{string(noise(i, 500))}
				}
				if _, err := s.Detect(context.Background(), some...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				page, err := s.Detections(context.Background(), DetectionQuery{Limit: 1 << 20})
				if err != nil || int(page.Total) != len(page.Detections) {
					t.Errorf("%d of %d, %v", len(page.Detections), page.Total, err)
					return
				}
				for i, d := range page.Detections {
					if want := page.Newest - uint64(len(page.Detections)-1-i); d.ID != want {
						t.Errorf("place %d has %d, want %d", i, d.ID, want)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func TestDetectionsShareIsConfigured(t *testing.T) {
	for size, good := range map[Size]bool{0: true, 2 << 20: true, 1 << 20: false, 128 << 20: true, 129 << 20: false} {
		c := DefaultConfig()
		c.Detections = size
		faults := 0
		c.Validate(func(string, string, string) { faults++ })
		if (faults == 0) != good {
			t.Errorf("%v makes %d faults", size, faults)
		}
	}
}
