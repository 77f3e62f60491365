package api

import (
	"math"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler"
)

// A number is shown as the sensor printed it, whatever width it is kept in;
// one that JSON has no word for costs its reading and nothing else.
func TestReadingsAreShownAsTheyWereMeant(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  string
	}{
		{float64(float32(0.997)), `"values":[0.997]`},
		{9.81, `"values":[9.81]`},
		{47.123456789, `"values":[47.123456789]`},
		{-3, `"values":[-3]`},
		{1e300, `"values":[1e+300]`},
		{math.NaN(), ": not shown\n\n"},
		{math.Inf(-1), ": not shown\n\n"},
	} {
		got := frame(sampler.Sight{Sensors: []string{"x"}, Values: []float64{c.value}})
		if !strings.Contains(got, c.want) || !strings.HasSuffix(got, "\n\n") || strings.Count(got, "\n\n") != 1 {
			t.Errorf("%v: got %q, want %q in it", c.value, got, c.want)
		}
	}
}
