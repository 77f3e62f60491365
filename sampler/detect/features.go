package detect

import "math"

// Each axis of a window is described by these features. Sizes enter by their
// logarithm, so that "twice as much" is the same step for a weak and for a
// strong signal.
const (
	featureMean   = iota
	featureLevel  // log of the root mean square around the mean
	featurePeak   // log of the largest distance from the mean
	featureCrest  // peak by root mean square
	featureCross  // crossings of the mean, a share of the rows
	featureStep   // log of the root mean square of the steps between rows
	featureBand   // log of the power in each octave
	axisFeatures  = featureBand + bandCount
	featuresGiven = "1" // changes whenever the features do: what was learned of others is void
)

// tiny keeps the logarithm of nothing finite.
const tiny = 1e-6

var featureNames = [axisFeatures]string{
	"mean", "rms", "peak", "crest", "crossings", "steps",
	"power from 1/4 to 1/2 of the frequency", "power from 1/8 to 1/4 of the frequency", "power from 1/16 to 1/8 of the frequency",
	"power from 1/32 to 1/16 of the frequency", "power below 1/32 of the frequency",
}

// A describer turns windows into features. It keeps what it needs for that
// and must not be used concurrently.
type describer struct {
	spectrum spectrum
	axis     []float64
	out      []float64
}

// describe returns the features of all axes, one axis after the other. They
// hold until the next call. Values are rows of so many axes, at least one row.
func (d *describer) describe(values []float64, axes int) []float64 {
	d.out = d.out[:0]
	rows := len(values) / axes
	for a := range axes {
		d.axis = d.axis[:0]
		for r := range rows {
			d.axis = append(d.axis, values[r*axes+a])
		}
		d.describeAxis()
	}
	return d.out
}

func (d *describer) describeAxis() {
	n := float64(len(d.axis))
	mean := 0.0
	for _, v := range d.axis {
		mean += v / n
	}
	var squares, steps, peak, crossings, before float64
	for i, v := range d.axis {
		v -= mean
		d.axis[i] = v
		squares += v * v / n
		peak = max(peak, math.Abs(v))
		if i > 0 {
			steps += (v - before) * (v - before) / n
			if (v > 0) != (before > 0) {
				crossings++
			}
		}
		before = v
	}
	rms := math.Sqrt(squares)
	d.out = append(d.out, mean, math.Log(rms+tiny), math.Log(peak+tiny), peak/(rms+tiny), crossings/n, math.Log(math.Sqrt(steps)+tiny))
	for _, p := range d.spectrum.bands(d.axis) {
		d.out = append(d.out, math.Log(math.Sqrt(p)+tiny))
	}
}
