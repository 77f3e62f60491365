package detect

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"
)

// The fast transform is the slow one.
func TestTransformIsFouriers(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{8, 16, 128, 256} {
		var s spectrum
		s.fit(n)
		signal := make([]float64, n)
		for i := range signal {
			signal[i] = dice.NormFloat64()
			s.re[i], s.im[i] = signal[i], 0
		}
		s.transform()
		for k := range n {
			var want complex128
			for i, v := range signal {
				want += complex(v, 0) * cmplx.Exp(complex(0, -2*math.Pi*float64(k*i)/float64(n)))
			}
			if got := complex(s.re[k], s.im[k]); cmplx.Abs(got-want) > 1e-9 {
				t.Fatalf("n %d, line %d: got %v, want %v", n, k, got, want)
			}
		}
	}
}

// A tone shows in the octave that it belongs to, however long the window is.
func TestBandsFindATone(t *testing.T) {
	for _, rows := range []int{64, 125, 256, 1000} {
		for octave, share := range []float64{0.35, 0.18, 0.09, 0.045} {
			var s spectrum
			signal := make([]float64, rows)
			for i := range signal {
				signal[i] = math.Sin(2 * math.Pi * share * float64(i))
			}
			power, sum := s.bands(signal), 0.0
			for _, p := range power {
				sum += p
			}
			if power[octave] < 0.8*sum {
				t.Errorf("%d rows, tone at %v of the frequency: got %v, want most in octave %d", rows, share, power, octave)
			}
		}
	}
	var s spectrum
	if got := s.bands(make([]float64, 7)); got != [bandCount]float64{} {
		t.Errorf("7 rows: got %v, want nothing", got)
	}
}
