package detect

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler"
)

// The recordings are 10 s each of six axes at 59 Hz.
const (
	recordedAxes = 6
	recordedHz   = 59
	windowRows   = 2 * recordedHz
)

// recordings are real ones by the state they show, from the shared material.
func recordings(t *testing.T) map[string][][]float64 {
	t.Helper()
	shared := os.Getenv("EDGESPOOL_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	files, _ := filepath.Glob(filepath.Join(shared, "data", "recordings", "*", "[A-Z]*.json"))
	if len(files) == 0 {
		t.Skipf("no recordings in %s: set EDGESPOOL_SHARED to the shared folder", shared)
	}
	all := map[string][][]float64{}
	for _, path := range files {
		var doc struct {
			Payload struct{ Values [][recordedAxes]float64 }
		}
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		state, _, _ := strings.Cut(filepath.Base(path), ".")
		var flat []float64
		for _, row := range doc.Payload.Values {
			flat = append(flat, row[:]...)
		}
		all[state] = append(all[state], flat)
	}
	return all
}

// cut makes windows of 2 s, one every so many rows.
func cut(recording []float64, stride int) (windows []sampler.Case) {
	c := sampler.Case{Source: "recorded", Rows: windowRows, Hz: recordedHz}
	for _, name := range []string{"accX", "accY", "accZ", "gyrX", "gyrY", "gyrZ"} {
		c.Sensors = append(c.Sensors, sampler.Sensor{Name: name})
	}
	for from := 0; from+windowRows <= len(recording)/recordedAxes; from += stride {
		c.Values = recording[from*recordedAxes : (from+windowRows)*recordedAxes]
		windows = append(windows, c)
	}
	return windows
}

// A damage is a fault that is made on the acceleration axes of a window; rms
// is what each axis usually does.
type damage struct {
	name string
	do   func(c sampler.Case, rms [recordedAxes]float64, dice *rand.Rand)
}

var damages = []damage{
	{"stuck axis", func(c sampler.Case, _ [recordedAxes]float64, _ *rand.Rand) {
		for i := recordedAxes; i < len(c.Values); i += recordedAxes {
			c.Values[i] = c.Values[0]
		}
	}},
	{"blow", func(c sampler.Case, rms [recordedAxes]float64, dice *rand.Rand) {
		at := (5 + dice.IntN(windowRows-10)) * recordedAxes
		for i := range 3 * 3 {
			c.Values[at+i%3+i/3*recordedAxes] += 8 * rms[i%3] * math.Pow(-0.5, float64(i/3))
		}
	}},
	{"tone", func(c sampler.Case, rms [recordedAxes]float64, _ *rand.Rand) {
		for i := range c.Values {
			if a := i % recordedAxes; a < 3 {
				c.Values[i] += math.Sqrt2 * rms[a] * math.Sin(2*math.Pi*0.37*float64(i/recordedAxes))
			}
		}
	}},
	{"noise", func(c sampler.Case, rms [recordedAxes]float64, dice *rand.Rand) {
		for i := range c.Values {
			c.Values[i] += rms[i%recordedAxes] * dice.NormFloat64()
		}
	}},
	{"gain x2", func(c sampler.Case, _ [recordedAxes]float64, _ *rand.Rand) {
		for i := range c.Values {
			c.Values[i] *= 2
		}
	}},
}

// usual is the root mean square of each axis around its mean.
func usual(windows []sampler.Case) (rms [recordedAxes]float64) {
	var d describer
	for _, w := range windows {
		f := d.describe(w.Values, recordedAxes)
		for a := range rms {
			rms[a] += math.Exp(f[a*axisFeatures+featureLevel]) / float64(len(windows))
		}
	}
	return rms
}

// TestStatisticsOnRecordings measures the detector: it learns one state from
// seven of its recordings, overlapping windows of 2 s, and judges the others,
// the other states, and the others damaged. What it prints stands in the
// README.
func TestStatisticsOnRecordings(t *testing.T) {
	all := recordings(t)
	moving := []string{"Lift", "Maritime", "Terrestrial"}
	t.Logf("%-24s %8s %14s %14s %s", "normal is", "learned", "false alarms", "other states", "faults found")
	for _, normal := range [][]string{{"Idle"}, {"Lift"}, {"Maritime"}, {"Terrestrial"}, moving} {
		var learned, held, others []sampler.Case
		for _, state := range slices.Sorted(maps.Keys(all)) {
			for i, r := range all[state] {
				switch {
				case !slices.Contains(normal, state):
					others = append(others, cut(r, windowRows)...)
				case i < 7:
					learned = append(learned, cut(r, windowRows/4)...)
				default:
					held = append(held, cut(r, windowRows/2)...)
				}
			}
		}
		judge := &statistics{config: &StatisticsConfig{WarmUp: len(learned)}, source: "recorded", log: quiet, count: func(string, uint64) {}}
		for _, w := range learned {
			if _, err := judge.judge(t.Context(), w); !errors.Is(err, sampler.ErrLearning) {
				t.Fatalf("learn: %v", err)
			}
		}
		alarms, found := judge.share(t, held), judge.share(t, others)
		line := fmt.Sprintf("%-24s %8d %5.1f %% of %3d %5.1f %% of %3d", strings.Join(normal, "+"), len(learned), alarms, len(held), found, len(others))
		if alarms > 10 || found < 50 {
			t.Errorf("%v: %.1f %% false alarms and %.1f %% of other states found", normal, alarms, found)
		}
		dice := rand.New(rand.NewPCG(2024, 11))
		rms := usual(learned)
		for _, d := range damages {
			var damaged []sampler.Case
			for _, w := range held {
				w.Values = slices.Clone(w.Values)
				d.do(w, rms, dice)
				damaged = append(damaged, w)
			}
			share := judge.share(t, damaged)
			line += fmt.Sprintf("  %s %.0f %%", d.name, share)
			if d.name == "stuck axis" && share < 95 {
				t.Errorf("%v: %.1f %% of stuck axes found", normal, share)
			}
		}
		t.Log(line)
	}
}

// share is how many of the windows are anomalies, in percent.
func (s *statistics) share(t *testing.T, windows []sampler.Case) float64 {
	t.Helper()
	n := 0
	for _, w := range windows {
		o, err := s.judge(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if o.score >= limitScore {
			n++
		}
	}
	return 100 * float64(n) / float64(len(windows))
}

func benchStatistics(b *testing.B, learned int) {
	dice := rand.New(rand.NewPCG(5, 6))
	window := func() sampler.Case {
		c := sampler.Case{Rows: 125, Hz: 62.5, Sensors: []sampler.Sensor{{Name: "accX"}, {Name: "accY"}, {Name: "accZ"}}}
		for range 125 * 3 {
			c.Values = append(c.Values, dice.NormFloat64())
		}
		return c
	}
	s := &statistics{config: &StatisticsConfig{WarmUp: learned}, log: quiet, count: func(string, uint64) {}}
	for range learned {
		_, _ = s.judge(b.Context(), window())
	}
	c := window()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.judge(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStatistics judges windows of 2 s of three axes at 62.5 Hz.
func BenchmarkStatistics(b *testing.B) { benchStatistics(b, 200) }

// BenchmarkThreshold looks at every limit of the same windows.
func BenchmarkThreshold(b *testing.B) {
	low, high, rate := -100.0, 100.0, 1e6
	l := LimitConfig{Min: &low, Max: &high, Rate: &rate}
	d := threshold{&ThresholdConfig{Axes: map[string]LimitConfig{"accX": l, "accY": l, "accZ": l}}}
	c := sampler.Case{Rows: 125, Hz: 62.5, Sensors: []sampler.Sensor{{Name: "accX"}, {Name: "accY"}, {Name: "accZ"}}, Values: make([]float64, 375)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.judge(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
