package sampler

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Reading is one instant's values of all of a source's sensors. Its slices
// are reused: they hold until the next ParseReading.
type Reading struct {
	// Values has one value for each sensor, in the order of Layout.Sensors.
	Values []float64
	// Label is what the firmware says of this reading; empty if it says
	// nothing.
	Label []byte

	found uint64 // the sensors that the line has named so far, as bits
}

var (
	// ErrNoReading: the line holds no reading and nothing is wrong: it is
	// blank, names the columns, or was used to learn them.
	ErrNoReading = errors.New("line holds no reading")
	// ErrDevice: the device itself reports an error on this line.
	ErrDevice = errors.New("device reports an error")

	// errHeader: the line names the columns; devices say so when they start.
	errHeader = fmt.Errorf("line names the columns: %w", ErrNoReading)
	errNoText = errors.New("line has a byte that is no text: check baud rate, parity and wiring")
)

// A LineFault says what is wrong with a line; a column of 0 means the whole
// line. It is put into words only when somebody asks.
type LineFault struct {
	Column  int // from 1
	Problem string
	Got     int
	Want    int
}

// Error puts the fault into words.
func (f *LineFault) Error() string {
	switch {
	case f.Want > 0:
		return fmt.Sprintf("%s: %d instead of %d", f.Problem, f.Got, f.Want)
	case f.Column > 0:
		return fmt.Sprintf("column %d %s", f.Column, f.Problem)
	}
	return f.Problem
}

// ParseReading reads one line, without its end, into r. It fails with a
// *LineFault, ErrDevice or ErrNoReading. It may change l: a header line says
// where the columns are, and without configured sensors the first lines say
// which there are. Good lines of CSV cost no allocation.
func ParseReading(line []byte, l *Layout, r *Reading) error {
	r.Values, r.Label, r.found = r.Values[:0], nil, 0
	if l.parts != nil {
		return l.parsePacked(line, r)
	}
	kinds := lineKinds(line)
	line = trimBlank(line)
	switch {
	case len(line) == 0:
		return ErrNoReading
	case l.picks != nil:
		return l.parseNMEA(line, r)
	case kinds&kindNoText != 0:
		return errNoText
	case deviceError(line):
		return ErrDevice
	}
	if l.json {
		return l.parseJSON(line, r)
	}
	return l.parseCSV(line, kinds, r)
}

// deviceError tells whether a line begins with ERR or <ERR, as Edge Impulse's
// data forwarder has it.
func deviceError(line []byte) bool {
	if line[0] == '<' {
		line = line[1:]
	}
	return len(line) >= 3 && string(line[:3]) == "ERR"
}

// What kinds of bytes a line has.
const (
	kindComma = 1 << iota
	kindSemicolon
	kindTab
	kindColon
	kindNoText // controls, NUL among them: how a UART hands on a broken byte
)

// byteKinds has the kind of every byte that is not plain text.
var byteKinds = func() (kinds [256]uint8) {
	for c := range 0x20 {
		kinds[c] = kindNoText
	}
	kinds[0x7f] = kindNoText
	kinds['\t'], kinds[','], kinds[';'], kinds[':'] = kindTab, kindComma, kindSemicolon, kindColon
	return kinds
}()

func lineKinds(line []byte) (kinds uint8) {
	for _, c := range line {
		kinds |= byteKinds[c]
	}
	return kinds
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func trimBlank(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isBlank(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

// maxLabel is the longest label taken from a line, in bytes.
const maxLabel = 128

func (r *Reading) setLabel(column int, text []byte) error {
	if len(text) > maxLabel || !utf8.Valid(text) {
		return &LineFault{Column: column, Problem: "is no label"}
	}
	r.Label = text
	return nil
}

// setValue puts a field into its sensor's place.
func (l *Layout) setValue(r *Reading, column, sensor int, text []byte) error {
	if r.found&(1<<sensor) != 0 {
		return &LineFault{Column: column, Problem: "gives a sensor a second value"}
	}
	v, ok := parseValue(text, &l.sensors[sensor])
	if !ok {
		return &LineFault{Column: column, Problem: "is not a number"}
	}
	r.found |= 1 << sensor
	r.Values[sensor] = v
	return nil
}

// open makes room for one value of each sensor.
func (r *Reading) open(sensors int) {
	if cap(r.Values) < sensors {
		r.Values = make([]float64, sensors)
	}
	r.Values = r.Values[:sensors]
}

// complete tells whether every sensor has got a value.
func (l *Layout) complete(r *Reading) error {
	for i := range l.sensors {
		if r.found&(1<<i) == 0 {
			return &LineFault{Problem: "has no value for sensor " + l.sensors[i].Name}
		}
	}
	return nil
}
