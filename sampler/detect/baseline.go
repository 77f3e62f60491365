package detect

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgespool/edgespool/sampler"
)

const (
	// neighbour is which of the nearest learned windows counts: windows that
	// overlap are near each other whatever the machine does.
	neighbour = 3
	// farthest bounds how much one feature can add, in spreads.
	farthest = 30
	// The limit is that many times the distance that so many of the learned
	// windows keep from each other. A tenth of the warm-up may have been
	// anomalies without moving it much.
	limitShare  = 0.9
	limitFactor = 1.75
)

// A baseline is what was learned of normal windows. A window is far from
// normal if few of those it was learned from resemble it: a machine with
// several ways of running has several kinds of normal.
type baseline struct {
	centre []float64 // median of each feature
	spread []float64 // median distance from it, as a standard deviation
	rows   [][]float64
	limit  float64
}

// learn makes a baseline of windows' features, of at least minWarmUp.
func learn(seen [][]float32) *baseline {
	b := &baseline{centre: make([]float64, len(seen[0])), spread: make([]float64, len(seen[0]))}
	column := make([]float64, len(seen))
	for j := range b.centre {
		for i, r := range seen {
			column[i] = float64(r[j])
		}
		b.centre[j] = median(column)
		for i, r := range seen {
			column[i] = math.Abs(float64(r[j]) - b.centre[j])
		}
		b.spread[j] = 1.4826 * median(column) // that of a normal distribution
	}
	for j := range b.spread {
		b.spread[j] = max(b.spread[j], b.least(j))
	}
	for _, r := range seen {
		row := make([]float64, len(r))
		for j, v := range r {
			row[j] = b.scale(j, float64(v))
		}
		b.rows = append(b.rows, row)
	}
	distances := make([]float64, len(b.rows))
	for i := range b.rows {
		distances[i] = b.nearest(b.rows[i], i)
	}
	slices.Sort(distances)
	b.limit = max(limitFactor*distances[int(limitShare*float64(len(distances)-1))], 0.1)
	return b
}

// least is the smallest spread that a feature is believed to have: a machine
// at rest would otherwise make an anomaly of a single digit.
func (b *baseline) least(j int) float64 {
	switch j % axisFeatures {
	case featureMean:
		return 0.2*math.Exp(b.centre[j+featureLevel]) + 1e-3*math.Abs(b.centre[j])
	case featureCrest:
		return 0.3
	case featureCross:
		return 0.02
	}
	return 0.1
}

func (b *baseline) scale(j int, v float64) float64 { return (v - b.centre[j]) / b.spread[j] }

// ratio is how far a window is from normal ones, as a share of the limit.
func (b *baseline) ratio(features []float64) float64 {
	row := make([]float64, len(features))
	for j, v := range features {
		row[j] = b.scale(j, v)
	}
	return b.nearest(row, -1) / b.limit
}

// nearest is the distance of a scaled row to its third-nearest one; the one
// numbered itself does not count.
func (b *baseline) nearest(row []float64, itself int) float64 {
	var best [neighbour]float64
	for i := range best {
		best[i] = math.Inf(1)
	}
	for i, other := range b.rows {
		if i == itself {
			continue
		}
		if d := distance(row, other, best[neighbour-1]); d < best[neighbour-1] {
			best[neighbour-1] = d
			slices.Sort(best[:])
		}
	}
	return math.Sqrt(best[neighbour-1] / float64(len(row)))
}

// distance is the squared distance of two rows; it may stop once it is above
// enough.
func distance(a, b []float64, enough float64) (sum float64) {
	for j, v := range a {
		d := min(math.Abs(v-b[j]), farthest)
		if sum += d * d; sum > enough {
			break
		}
	}
	return sum
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// explain names the features that are farthest from normal.
func (b *baseline) explain(features []float64, sensors []sampler.Sensor) (reasons []string) {
	said := map[int]bool{}
	for range min(3, len(features)) {
		worst := -1
		for j, v := range features {
			if !said[j] && (worst < 0 || math.Abs(b.scale(j, v)) > math.Abs(b.scale(worst, features[worst]))) {
				worst = j
			}
		}
		said[worst] = true
		z, way := b.scale(worst, features[worst]), "above"
		if z < 0 {
			z, way = -z, "below"
		}
		reasons = append(reasons, fmt.Sprintf("%s %s: %.1f spreads %s what is usual", sensors[worst/axisFeatures].Name, featureNames[worst%axisFeatures], z, way))
	}
	return reasons
}
