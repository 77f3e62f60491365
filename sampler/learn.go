package sampler

import (
	"slices"
	"strconv"
)

// A shape is what a line shows of its columns while the sensors are not
// known: a name for each of them, empty where the line has none.
type shape struct {
	names  []string
	named  bool // the names stand beside their values
	header bool // the names are the whole line
}

// learn settles which sensors there are, once two lines in a row agree: the
// first one after opening may be cut short. A header agrees with a line of as
// many columns. Until then every line fails with ErrNoReading.
func (l *Layout) learn(s shape) error {
	before := l.before
	l.before = s
	switch {
	case s.header:
		return ErrNoReading
	case before.header && !s.named && len(s.names) == len(before.names):
		s.names = before.names
	case before.named != s.named || before.header || !slices.Equal(s.names, before.names):
		return ErrNoReading
	}
	var sensors []Sensor
	for i, name := range s.names {
		switch {
		case name != "" && name == l.label:
			if !s.named {
				l.labelAt = i + 1
			}
			continue
		case !s.named && l.special(i+1) != 0:
			continue
		case name == "":
			name = "value" + strconv.Itoa(len(sensors))
		}
		sensors = append(sensors, Sensor{Name: name})
	}
	if len(sensors) == 0 {
		return &LineFault{Problem: "has no value"}
	}
	if len(sensors) > MaxSensors {
		return &LineFault{Problem: "has more values than there can be sensors"}
	}
	l.setSensors(sensors)
	return nil
}
