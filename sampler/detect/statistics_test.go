package detect

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// store opens a real spool, which keeps what is learned.
func store(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile, c.MinFree, c.Log = dir, true, 1<<20, quiet
	s, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newStatistics(n Notebook, c StatisticsConfig) *statistics {
	return &statistics{config: &c, source: "shaft", setting: "source/shaft/learned/statistics", notebook: n, log: quiet, count: func(string, uint64) {}}
}

// noise is a window of a machine that trembles by so much.
func noise(dice *rand.Rand, size float64) sampler.Case {
	c := sampler.Case{Source: "shaft", Sensors: []sampler.Sensor{{Name: "accX"}, {Name: "accY"}}, Rows: 64, Hz: 100}
	for range 2 * c.Rows {
		c.Values = append(c.Values, size*dice.NormFloat64())
	}
	return c
}

func learning(t *testing.T, s *statistics, c sampler.Case) bool {
	t.Helper()
	_, err := s.judge(t.Context(), c)
	if err != nil && !errors.Is(err, sampler.ErrLearning) {
		t.Fatal(err)
	}
	return err != nil
}

// What was learned outlives a restart, half way through as well, and holds for
// the same sensors and the same baseline only.
func TestStatisticsRemembers(t *testing.T) {
	dir, dice, config := t.TempDir(), rand.New(rand.NewPCG(1, 1)), StatisticsConfig{WarmUp: 30}
	kept := store(t, dir)
	s := newStatistics(kept, config)
	for range 20 {
		if !learning(t, s, noise(dice, 1)) {
			t.Fatal("it judges before it has learned")
		}
	}
	s.close()
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
	kept = store(t, dir)
	defer kept.Close()
	s = newStatistics(kept, config)
	for i := range 10 {
		if !learning(t, s, noise(dice, 1)) {
			t.Fatalf("it judges after %d windows, want 30", 20+i)
		}
	}
	s.close()
	probe := noise(dice, 3)
	o, err := s.judge(t.Context(), probe)
	if err != nil || o.score < limitScore || len(o.reasons) != 3 || !strings.Contains(o.reasons[0], "above what is usual") {
		t.Fatalf("three times the trembling: got %+v, %v", o, err)
	}
	again := newStatistics(kept, config)
	if o2, err := again.judge(t.Context(), probe); err != nil || !reflect.DeepEqual(o, o2) {
		t.Errorf("after a restart: got %+v, %v, want %+v", o2, err, o)
	}
	config.Baseline = "new bearing"
	if anew := newStatistics(kept, config); !learning(t, anew, probe) {
		t.Error("another baseline: it still judges by the old one")
	}
	config.Baseline = ""
	other := noise(dice, 1)
	other.Sensors = []sampler.Sensor{{Name: "gyrX"}, {Name: "gyrY"}}
	if !learning(t, newStatistics(kept, config), other) {
		t.Error("other sensors: it judges by what it learned of the first ones")
	}
}

// A damaged document costs what was learned and nothing else.
func TestStatisticsWithADamagedDocument(t *testing.T) {
	n := page{}
	s, dice := newStatistics(n, StatisticsConfig{WarmUp: 20}), rand.New(rand.NewPCG(2, 2))
	for range 20 {
		learning(t, s, noise(dice, 1))
	}
	text := n[s.setting]
	for i := range text {
		damaged := bytes.Clone(text)
		damaged[i] ^= 0x10
		if _, err := decodeNotes(damaged); err == nil {
			t.Fatalf("a flipped bit in byte %d is not seen", i)
		}
	}
	n[s.setting] = text[:len(text)-1]
	if !learning(t, newStatistics(n, StatisticsConfig{WarmUp: 20}), noise(dice, 1)) {
		t.Error("it judges by half a document")
	}
}

// page is a notebook in memory.
type page map[string][]byte

func (p page) Setting(name string) ([]byte, bool) { v, ok := p[name]; return v, ok }
func (p page) SetSetting(name string, v []byte) error {
	p[name] = v
	return nil
}

// A few anomalies in the warm-up do not teach it that they are normal.
func TestStatisticsLearnsInSpiteOfAnomalies(t *testing.T) {
	s, dice := newStatistics(nil, StatisticsConfig{WarmUp: 100}), rand.New(rand.NewPCG(3, 3))
	for i := range 100 {
		size := 1.0
		if i%50 == 7 {
			size = 20
		}
		learning(t, s, noise(dice, size))
	}
	alarms := 0
	for range 100 {
		if o, err := s.judge(t.Context(), noise(dice, 1)); err != nil || o.score >= limitScore {
			alarms++
		}
	}
	if o, err := s.judge(t.Context(), noise(dice, 4)); err != nil || o.score < limitScore || alarms > 3 {
		t.Errorf("an anomaly scores %v (%v), and %d of 100 normal windows are taken for one", o.score, err, alarms)
	}
}

// However many sensors and windows, what is learned fits into the notebook.
func TestNotesFitTheNotebook(t *testing.T) {
	for _, axes := range []int{1, 6, sampler.MaxSensors} {
		n, dice := page{}, rand.New(rand.NewPCG(4, 4))
		s := newStatistics(n, StatisticsConfig{WarmUp: 300})
		for range 300 {
			c := sampler.Case{Rows: 8, Hz: 10, Sensors: make([]sampler.Sensor, axes)}
			for range 8 * axes {
				c.Values = append(c.Values, dice.Float64())
			}
			learning(t, s, c)
		}
		if size := len(n[s.setting]); s.base == nil || size == 0 || size > 64<<10 {
			t.Errorf("%d axes: %d bytes, learned %v", axes, size, s.base != nil)
		}
	}
}

func TestStatisticsRefusesWhatItCannotDescribe(t *testing.T) {
	s, dice := newStatistics(nil, StatisticsConfig{WarmUp: 20}), rand.New(rand.NewPCG(5, 5))
	short := noise(dice, 1)
	short.Values, short.Rows = short.Values[:14], 7
	if _, err := s.judge(t.Context(), short); !errors.Is(err, errShort) {
		t.Errorf("7 rows: got %v", err)
	}
	huge := noise(dice, 1e200)
	if _, err := s.judge(t.Context(), huge); !errors.Is(err, errUnsettled) {
		t.Errorf("values of 1e200: got %v", err)
	}
	if s.notes.seen != 0 {
		t.Error("it has learned from windows that it cannot describe")
	}
	for range 20 {
		learning(t, s, noise(dice, 0)) // a sensor that gives nothing but zero
	}
	if o, err := s.judge(t.Context(), noise(dice, 0)); err != nil || o.score > 0.1 {
		t.Errorf("silence after silence: got %+v, %v", o, err)
	}
	if o, err := s.judge(t.Context(), noise(dice, 0.1)); err != nil || o.score < limitScore {
		t.Errorf("noise after silence: got %+v, %v", o, err)
	}
}
