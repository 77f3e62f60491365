package sampler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// MaxCaseFile is the largest file that CaseFromFile reads, in bytes: its values
// take up to eight times as much memory.
const MaxCaseFile = 4 << 20

// ErrNoCase: a file is none that can be judged, or not by whom it is for.
var ErrNoCase = errors.New("the file is no recording that can be judged here")

func noCase(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNoCase}, args...)...)
}

// CaseFromFile reads a whole recording as a window: an acquisition document
// (CBOR or JSON), CSV with a column for each axis and one for the time in
// milliseconds, or WAV with 16-bit samples. The sensors, if there are any, are
// those of the source that it stands for, to which the axes are brought by their
// names, or by their order where the file has none. It fails with ErrNoCase.
func CaseFromFile(name string, raw []byte, sensors []Sensor) (Case, error) {
	if len(raw) > MaxCaseFile {
		return Case{}, noCase("it has more than %d bytes", MaxCaseFile)
	}
	var c Case
	var err error
	switch strings.ToLower(path.Ext(name)) {
	case ".cbor", ".json":
		c, err = caseFromDocument(raw)
	case ".csv":
		c, err = caseFromCSV(string(raw))
	case ".wav":
		c, err = caseFromWAV(raw)
	default:
		err = noCase("%.80q is neither .cbor, .json, .csv nor .wav", name)
	}
	switch {
	case err != nil:
	case c.Rows == 0 || len(c.Sensors) == 0:
		err = noCase("it has no values")
	case len(c.Values) > maxPendingValues:
		err = noCase("it has more than %d values", maxPendingValues)
	}
	if err != nil {
		return Case{}, err
	}
	return c.onto(sensors)
}

func caseFromDocument(raw []byte) (Case, error) {
	d, err := acquisition.Decode(raw, nil)
	if err != nil {
		return Case{}, noCase("%v", err)
	}
	c := Case{Values: d.Values, Rows: int(d.Rows)}
	if d.Binary != "" || len(d.Values) != c.Rows*len(d.Sensors) {
		return Case{}, noCase("its values do not stand in the document")
	}
	if d.IntervalMS > 0 {
		c.Hz = 1000 / d.IntervalMS
	}
	for _, s := range d.Sensors {
		c.Sensors = append(c.Sensors, Sensor{Name: s.Name, Units: s.Units})
	}
	return c, nil
}

// caseFromCSV reads lines of numbers. A first line without numbers names the
// axes; a column called timestamp or time is in milliseconds.
func caseFromCSV(text string) (c Case, err error) {
	clock := -1 // the column of the time
	var first, last float64
	for n := 1; len(text) > 0; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' || r == '\t' })
		if c.Sensors == nil {
			named := c.name(fields, &clock)
			if len(c.Sensors) > MaxSensors {
				return c, noCase("it has more than %d axes", MaxSensors)
			}
			if named {
				continue
			}
		}
		if want := len(c.Sensors) + min(1, clock+1); len(fields) != want {
			return c, noCase("line %d has %d columns instead of %d", n, len(fields), want)
		}
		for i, field := range fields {
			v, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
			switch {
			case err != nil || math.IsNaN(v) || math.IsInf(v, 0):
				return c, noCase("line %d: %.40q is no number", n, field)
			case i != clock:
				c.Values = append(c.Values, v)
			case c.Rows == 0:
				first = v
			default:
				last = v
			}
		}
		c.Rows++
	}
	if c.Rows > 1 && last > first {
		c.Hz = 1000 * float64(c.Rows-1) / (last - first)
	}
	return c, nil
}

// name takes the axes from the first line; false if it has values already.
func (c *Case) name(fields []string, clock *int) (named bool) {
	named = !slices.ContainsFunc(fields, func(f string) bool {
		_, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		return err == nil
	})
	for i, field := range fields {
		field = strings.Trim(strings.TrimSpace(field), `"`)
		switch word := strings.ToLower(field); {
		case !named:
			c.Sensors = append(c.Sensors, Sensor{})
		case *clock < 0 && (word == "timestamp" || word == "time"):
			*clock = i
		default:
			c.Sensors = append(c.Sensors, Sensor{Name: field})
		}
	}
	return named
}

// caseFromWAV reads a RIFF file of PCM with 16 bits (Microsoft, "Multimedia
// Programming Interface and Data Specifications 1.0").
func caseFromWAV(raw []byte) (c Case, err error) {
	if len(raw) < 12 || string(raw[:4]) != "RIFF" || string(raw[8:12]) != "WAVE" {
		return c, noCase("it is no WAV file")
	}
	for rest := raw[12:]; len(rest) >= 8; {
		kind, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		body := rest[8:][:min(size, int64(len(rest)-8))]
		rest = rest[min(int64(len(rest)), 8+size+size&1):]
		switch kind {
		case "fmt ":
			if len(body) < 16 {
				return c, noCase("its format is cut off")
			}
			format, channels, bits := binary.LittleEndian.Uint16(body), binary.LittleEndian.Uint16(body[2:]), binary.LittleEndian.Uint16(body[14:])
			if (format != 1 && format != 0xfffe) || bits != 16 || channels == 0 || channels > MaxSensors {
				return c, noCase("it is not PCM with 16 bits and 1 to %d channels", MaxSensors)
			}
			c.Sensors, c.Hz = make([]Sensor, channels), float64(binary.LittleEndian.Uint32(body[4:]))
		case "data":
			if len(c.Sensors) == 0 {
				return c, noCase("its samples come before their format")
			}
			c.Rows = len(body) / 2 / len(c.Sensors)
			c.Values = make([]float64, c.Rows*len(c.Sensors))
			for i := range c.Values {
				c.Values[i] = float64(int16(binary.LittleEndian.Uint16(body[2*i:])))
			}
			return c, nil
		}
	}
	return c, noCase("it has no samples")
}

// onto brings the axes into the order of a source's sensors.
func (c Case) onto(sensors []Sensor) (Case, error) {
	named := c.Sensors[0].Name != ""
	if len(sensors) == 0 {
		for i := range c.Sensors {
			s := &c.Sensors[i]
			if s.Name == "" {
				s.Name = "axis" + strconv.Itoa(i+1)
			}
			if s.Units == "" {
				s.Units = DefaultUnits(s.Name)
			}
		}
		return c, nil
	}
	if !named && len(c.Sensors) != len(sensors) {
		return c, noCase("it has %d axes without names, and the source %d", len(c.Sensors), len(sensors))
	}
	columns, same := make([]int, 0, len(sensors)), len(c.Sensors) == len(sensors)
	for i, s := range sensors {
		at := i
		if named {
			at = slices.IndexFunc(c.Sensors, func(o Sensor) bool { return o.Name == s.Name })
		}
		if at < 0 {
			return c, noCase("it has no axis %s", s.Name)
		}
		columns, same = append(columns, at), same && at == i
	}
	if same {
		c.Sensors = slices.Clone(sensors)
		return c, nil
	}
	values := make([]float64, 0, c.Rows*len(columns))
	for row := range c.Rows {
		for _, at := range columns {
			values = append(values, c.Values[row*len(c.Sensors)+at])
		}
	}
	c.Values, c.Sensors = values, slices.Clone(sensors)
	return c, nil
}
