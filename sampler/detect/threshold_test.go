package detect

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgespool/edgespool/sampler"
)

func limits(low, high, rate float64) LimitConfig {
	return LimitConfig{Min: &low, Max: &high, Rate: &rate}
}

func TestThresholdNamesWhatIsBeyond(t *testing.T) {
	d := threshold{&ThresholdConfig{Axes: map[string]LimitConfig{"accY": limits(-2, 2, 10)}}}
	c := sampler.Case{Sensors: []sampler.Sensor{{Name: "accX"}, {Name: "accY"}}, Hz: 5, Rows: 3}
	for _, v := range []struct {
		values []float64
		want   string
	}{
		{[]float64{99, 0, 99, 1, -99, 2}, "0 []"},
		{[]float64{0, 0, 0, 2, 0, 2.5}, "1 [accY: got 2.5, want at most 2]"},
		{[]float64{0, -1, 0, -2.25, 0, -3}, "1 [accY: got -3, want at least -2]"},
		{[]float64{0, -1.5, 0, 1.5, 0, 1.5}, "1 [accY: got 15, want a change in a second of at most 10]"},
	} {
		c.Values = v.values
		o, err := d.judge(t.Context(), c)
		if got := fmt.Sprint(o.score, " ", o.reasons); got != v.want || err != nil {
			t.Errorf("%v: got %s, %v, want %s", v.values, got, err, v.want)
		}
	}
}

// A limit for a sensor that is not there guards nothing, and says so.
func TestThresholdForASensorThatIsNotThere(t *testing.T) {
	d := threshold{&ThresholdConfig{Axes: map[string]LimitConfig{"accY": limits(-2, 2, 10), "accZ": limits(-2, 2, 10)}}}
	if o, err := d.judge(t.Context(), readings(1)); !errors.Is(err, errUnfit) {
		t.Errorf("got %+v, %v, want an error", o, err)
	}
}

// A window is an anomaly exactly if one of its values or steps is beyond.
func TestThresholdIsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-10, 10), 2, 50).Draw(t, "values")
		low, high, rate := rapid.Float64Range(-10, 0).Draw(t, "low"), rapid.Float64Range(0, 10).Draw(t, "high"), rapid.Float64Range(1, 100).Draw(t, "rate")
		d := threshold{&ThresholdConfig{Axes: map[string]LimitConfig{"a": limits(low, high, rate)}}}
		o, _ := d.judge(t.Context(), sampler.Case{Sensors: []sampler.Sensor{{Name: "a"}}, Values: values, Rows: len(values), Hz: 8})
		want := 0.0
		for i, v := range values {
			if v < low || v > high || i > 0 && math.Abs(v-values[i-1])*8 > rate {
				want = 1
			}
		}
		if o.score != want || (len(o.reasons) > 0) != (want == 1) {
			t.Fatalf("got %+v, want score %v", o, want)
		}
	})
}

func TestScoresRiseWithTheDistance(t *testing.T) {
	for ratio, want := range map[float64]float64{-1: 0, 0: 0, 0.5: 0.5, 1: 0.8, 1e9: 1, math.Inf(1): 1, math.NaN(): 0} {
		if got := scoreOf(ratio); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v of the limit: got %v, want %v", ratio, got, want)
		}
	}
	for r := 0.0; r < 10; r += 0.01 {
		if scoreOf(r+0.01) <= scoreOf(r) || scoreOf(r) > 1 {
			t.Fatalf("score falls at %v", r)
		}
	}
}
