package demo

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// frequency is how many readings a second the accelerometer gives.
const frequency = 100

// An accelerometer prints three axes as CSV lines on a pseudo-terminal and
// remembers every line.
type accelerometer struct {
	// port is where an agent finds it: a link, as udev makes them.
	port string

	mu      sync.Mutex
	near    *os.File       // nil while unplugged
	far     *os.File       // the port, held only for Release
	places  map[string]int // line number of each reading; no two are alike
	written int
	shaking bool
}

func newAccelerometer(port string) *accelerometer {
	return &accelerometer{port: port, places: map[string]int{}}
}

// Plug brings the device to its port.
func (a *accelerometer) Plug() error {
	near, far, err := openPTY()
	if err != nil {
		return err
	}
	_ = os.Remove(a.port) // of the last time, if any
	if err := os.Symlink(far.Name(), a.port); err != nil {
		near.Close()
		far.Close()
		return fmt.Errorf("plug accelerometer in: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.near, a.far = near, far
	return nil
}

// Release makes the port free again after its reader was killed.
func (a *accelerometer) Release() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return release(a.far)
}

// Unplug takes the device away.
func (a *accelerometer) Unplug() {
	a.mu.Lock()
	near, far := a.near, a.far
	a.near, a.far = nil, nil
	a.mu.Unlock()
	if near != nil {
		_ = os.Remove(a.port)
		near.Close()
		far.Close()
	}
}

// Run prints readings until ctx ends.
func (a *accelerometer) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second / frequency)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		near, line := a.unused(n)
		if near == nil {
			continue
		}
		// A sensor does not wait for its reader: what cannot be written soon
		// is gone.
		_ = near.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := near.WriteString(line + "\r\n"); err == nil {
			a.remember(line)
		}
	}
}

// Shake makes the machine shake, eight times as strongly as it turns, or not.
func (a *accelerometer) Shake(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shaking = on
}

// unused is a plausible reading of a machine that was not given yet, and where
// to print it.
func (a *accelerometer) unused(n int) (near *os.File, line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := float64(n) / frequency
	x, y, z := 1.5*math.Sin(2*math.Pi*3*at), 0.4*math.Cos(2*math.Pi*7*at), 9.81+0.2*math.Sin(2*math.Pi*0.5*at)
	if a.shaking {
		x, y = 8*x, 8*y
	}
	for {
		line = fmt.Sprintf("%.3f,%.3f,%.3f", x, y, z)
		if _, ok := a.places[line]; !ok {
			return a.near, line
		}
		z += 0.001
	}
}

func (a *accelerometer) remember(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.places[line] = a.written
	a.written++
}

// Written is the number of readings that went out.
func (a *accelerometer) Written() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.written
}

// Place is the line number of a reading; ok is false if it was never given.
func (a *accelerometer) Place(axes []float64) (line int, ok bool) {
	texts := make([]string, len(axes))
	for i, v := range axes {
		texts[i] = strconv.FormatFloat(v, 'f', 3, 64)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	line, ok = a.places[strings.Join(texts, ",")]
	return line, ok
}
