package sampler

import (
	"slices"
	"strconv"
)

// MaxSensors is the most sensors that a source of readings can have.
const MaxSensors = 64

// A Layout says what the columns of a source's lines mean. It must not be used
// concurrently.
type Layout struct {
	json       bool
	parts      []part  // of packed bytes, one for each sensor
	picks      []pick  // of NMEA sentences, one for each sensor
	bare       bool    // sentences may lack a checksum
	held       Reading // what sentences have said of a reading so far
	sensors    []Sensor
	configured bool   // sensors come from the configuration and stay
	columns    []int  // what each column is: the index of a sensor, or one of the below
	label      string // name of the column that holds the label, if it is found by name
	labelAt    int    // column of the label, from 1; 0 if it is not known
	skip       []int  // columns that are no sensors, from 1
	before     shape  // of the line before, while the sensors are not known
	reordered  bool   // a header gave another order than the configuration
}

const (
	columnSkipped = -1
	columnLabel   = -2
)

// NewLayout makes the layout that c describes, which must be valid.
func NewLayout(c ReadingConfig) *Layout {
	l := &Layout{json: c.Format == FormatJSON, configured: len(c.Sensors) > 0, skip: c.SkipColumns, bare: c.Checksum == "optional"}
	if n, err := strconv.Atoi(c.LabelColumn); err == nil {
		l.labelAt = n
	} else {
		l.label = c.LabelColumn
	}
	if l.configured {
		l.setSensors(slices.Clone(c.Sensors))
	}
	if c.framed() {
		l.parts = c.parts(func(_, _, _ string) {}) // valid: nothing to say
	}
	for _, s := range c.Sensors {
		if p, ok := parsePick(s.Field); ok && c.Format == FormatNMEA {
			l.picks = append(l.picks, p)
		}
	}
	return l
}

// Sensors are the sensors of the readings, in order; none until they are
// known.
func (l *Layout) Sensors() []Sensor { return l.sensors }

// Reopen forgets what was learned of a device: it may be another one now.
// What a header said stays, because a device that was not reset does not
// send it again.
func (l *Layout) Reopen() {
	l.before = shape{}
	if !l.configured {
		l.sensors, l.columns = nil, nil
	}
}

// setSensors takes the sensors in the order in which the lines have them.
func (l *Layout) setSensors(sensors []Sensor) {
	for i := range sensors {
		if sensors[i].Units == "" {
			sensors[i].Units = DefaultUnits(sensors[i].Name)
		}
	}
	l.sensors, l.columns = sensors, nil
	for next := 0; next < len(sensors) || l.special(len(l.columns)+1) != 0; {
		what := l.special(len(l.columns) + 1)
		if what == 0 {
			what = next
			next++
		}
		l.columns = append(l.columns, what)
	}
}

// special says that a column, from 1, is no sensor, and what it is instead; 0
// if it is one.
func (l *Layout) special(column int) int {
	switch {
	case column == l.labelAt:
		return columnLabel
	case slices.Contains(l.skip, column):
		return columnSkipped
	}
	return 0
}

// sensor finds a sensor by name. Lines repeat their order, so the guess is
// nearly always right.
func (l *Layout) sensor(name []byte, guess int) int {
	if guess < len(l.sensors) && l.sensors[guess].Name == string(name) {
		return guess
	}
	return slices.IndexFunc(l.sensors, func(s Sensor) bool { return s.Name == string(name) })
}

// followHeader takes the names of the columns from a header line. It says
// whether the line is one: it names a sensor and holds no number.
func (l *Layout) followHeader(names []string) bool {
	if !slices.ContainsFunc(names, func(n string) bool { return l.sensor([]byte(n), 0) >= 0 }) {
		return false
	}
	columns := make([]int, len(names))
	found := 0
	for i, name := range names {
		switch s := l.sensor([]byte(name), i); {
		case s >= 0 && !slices.Contains(columns[:i], s):
			columns[i] = s
			found++
		case l.labelAt == i+1, l.label != "" && name == l.label:
			columns[i] = columnLabel
		default:
			columns[i] = columnSkipped
		}
	}
	if found == len(l.sensors) {
		l.reordered = !slices.IsSorted(slices.DeleteFunc(slices.Clone(columns), func(c int) bool { return c < 0 }))
		l.columns = columns
	}
	return true
}
