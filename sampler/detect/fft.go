package detect

import (
	"math"
	"math/bits"
)

const (
	maxTransform = 256 // rows of one piece; longer windows are cut into pieces
	bandCount    = 5   // octaves below half the frequency of readings
)

// A spectrum measures the power of a signal in octaves: half of the readings'
// frequency to a quarter, to an eighth, and so on; the last one goes down to
// the lowest. It keeps its tables and must not be used concurrently.
type spectrum struct {
	n        int
	window   []float64 // Hann's
	cos, sin []float64
	re, im   []float64
}

// fit prepares for windows of so many rows.
func (s *spectrum) fit(rows int) {
	n := min(maxTransform, 1<<(bits.Len(uint(rows))-1))
	if n == s.n {
		return
	}
	s.n = n
	s.window, s.re, s.im = make([]float64, n), make([]float64, n), make([]float64, n)
	s.cos, s.sin = make([]float64, n/2), make([]float64, n/2)
	for i := range n {
		s.window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n))
	}
	for i := range n / 2 {
		s.sin[i], s.cos[i] = math.Sincos(-2 * math.Pi * float64(i) / float64(n))
	}
}

// bands adds up the power in each octave, averaged over pieces that overlap by
// half (Welch's method). A signal of fewer than 8 rows has none.
func (s *spectrum) bands(signal []float64) (power [bandCount]float64) {
	if len(signal) < 8 {
		return power
	}
	s.fit(len(signal))
	pieces := 0
	for from := 0; from+s.n <= len(signal); from += s.n / 2 {
		for i := range s.n {
			s.re[i], s.im[i] = signal[from+i]*s.window[i], 0
		}
		s.transform()
		for k := 1; k <= s.n/2; k++ {
			octave := min(max(bits.Len(uint(s.n/2))-1-bits.Len(uint(k)), 0), bandCount-1)
			power[octave] += s.re[k]*s.re[k] + s.im[k]*s.im[k]
		}
		pieces++
	}
	for i := range power {
		power[i] /= float64(pieces) * float64(s.n) * float64(s.n)
	}
	return power
}

// transform is the fast Fourier transform of Cooley and Tukey, in place.
func (s *spectrum) transform() {
	n, re, im := s.n, s.re, s.im
	shift := 64 - bits.Len(uint(n)) + 1
	for i := range n {
		if j := int(bits.Reverse64(uint64(i)) >> shift); j > i {
			re[i], re[j] = re[j], re[i]
			im[i], im[j] = im[j], im[i]
		}
	}
	for half := 1; half < n; half *= 2 {
		step := n / (2 * half)
		for from := 0; from < n; from += 2 * half {
			for k := range half {
				c, d := s.cos[k*step], s.sin[k*step]
				a, b := from+k, from+k+half
				x, y := re[b]*c-im[b]*d, re[b]*d+im[b]*c
				re[b], im[b] = re[a]-x, im[a]-y
				re[a], im[a] = re[a]+x, im[a]+y
			}
		}
	}
}
