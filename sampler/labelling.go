package sampler

import (
	"sync"
	"time"
)

// Labelling is how a source's samples are labelled at the moment; an operator
// may change it while the source runs (`edgespool record`, the page's
// buttons). Methods may be called concurrently.
type Labelling struct {
	mu      sync.Mutex
	base    Choice
	interim Choice
	until   time.Time
	changed chan struct{}
}

// A Choice is a label and category for samples. In an interim choice empty
// fields leave what is configured.
type Choice struct {
	Label    string
	Category string
	// Disabled pauses the source.
	Disabled bool

	// spoken: an operator gave this label for a time, so that it counts more
	// than what firmware says.
	spoken bool
}

// NewLabelling starts with what is configured.
func NewLabelling(base Choice) *Labelling {
	return &Labelling{base: base, changed: make(chan struct{})}
}

// Set changes the choice for good (until the configuration changes it).
func (l *Labelling) Set(c Choice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.base, l.until = c, time.Time{}
	l.announce()
}

// SetFor changes label and category for d, then the former choice returns.
func (l *Labelling) SetFor(c Choice, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interim, l.until = c, time.Now().Add(d)
	l.announce()
}

func (l *Labelling) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Now returns the choice in force, how long it holds (zero: for good), and a
// channel that is closed at the next Set or SetFor. A source ends its window
// whenever the choice differs from the one the window began with.
func (l *Labelling) Now() (c Choice, left time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c = l.base
	if left = time.Until(l.until); left <= 0 {
		return c, 0, l.changed
	}
	if l.interim.Label != "" {
		c.Label, c.spoken = l.interim.Label, true
	}
	if l.interim.Category != "" {
		c.Category = l.interim.Category
	}
	c.Disabled = false
	return c, left, l.changed
}
