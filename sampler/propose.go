package sampler

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Proposal is what the lines of a device that nobody has described look
// like, as a configuration, and how well that fits them.
type Proposal struct {
	ReadingConfig
	// Lines are those that say something, whole ones only; Readings are those
	// that become readings, or the sentences whose checksum is right.
	Lines, Readings int
	// Text is the share of bytes that are text, 0 to 1.
	Text float64
	// Bad is the last line that is no reading, and Why; empty if all are.
	Bad, Why string
}

// goodShare of the lines must be readings for a proposal to be worth following:
// a device may greet, and a line may be broken.
const goodShare = 0.8

// Good tells whether the proposal fits.
func (p *Proposal) Good() bool {
	return p.Readings >= 3 && float64(p.Readings) >= goodShare*float64(p.Lines)
}

// Propose describes lines by themselves: format, columns and rate. Of At only
// differences count; lines that all have the same give no rate. The first
// line may have lost its beginning.
func Propose(lines []Line) Proposal {
	var best Proposal
	for _, c := range []ReadingConfig{proposeNMEA(lines), proposeColumns(lines), {Format: FormatJSON}} {
		if c.Format == FormatNMEA && len(c.Sensors) == 0 {
			continue
		}
		p := Proposal{ReadingConfig: c}
		p.Window = 2 * time.Second
		p.try(lines)
		// Names come from the device, which may say anything.
		p.ValidateReadings(func(_, problem, _ string) { p.Readings, p.Why = 0, problem })
		if best.Format == "" || p.Readings > best.Readings {
			best = p
		}
	}
	if hz := float64(best.Frequency); hz > 0 && hz < 10 { // a sample is to have some readings
		best.Window = min(time.Duration(20/hz+0.5)*time.Second, time.Hour)
	}
	return best
}

// try reads the lines by the configuration so far, and completes it.
func (p *Proposal) try(lines []Line) {
	layout, reading := NewLayout(p.ReadingConfig), Reading{}
	var rate rate
	bytes, text := 0, 0
	for i, l := range lines {
		bytes += len(l.Text)
		text += textBytes(l.Text)
		if len(trimBlank(l.Text)) == 0 {
			continue
		}
		p.Lines++
		err := ParseReading(l.Text, layout, &reading)
		switch {
		case err == nil:
			p.Readings++
			rate.add(l.At)
		case p.Format == FormatNMEA && sentence(l.Text) != nil:
			p.Readings++ // others, and those without a fix, are good ones too
		case i == 0, errors.Is(err, ErrNoReading): // cut off at the front, or says which columns there are
			p.Lines--
		default:
			p.Bad, p.Why = string(l.Text[:min(len(l.Text), shownBad)]), err.Error()
		}
	}
	if bytes > 0 {
		p.Text = float64(text) / float64(bytes)
	}
	if hz, ok := rate.hz(); ok {
		p.Frequency = Frequency(nominal(hz))
	}
	p.Sensors = slices.Clone(layout.sensors)
}

func textBytes(line []byte) (n int) {
	for _, c := range line {
		if byteKinds[c]&kindNoText == 0 && c < 0x80 {
			n++
		}
	}
	return n
}

// proposeColumns finds the columns of CSV that hold no number: words make the
// label, if they are the same again and again, and the rest is left out.
func proposeColumns(lines []Line) ReadingConfig {
	c := ReadingConfig{Format: FormatCSV}
	widths, texts := map[int]int{}, map[int]map[string]int{}
	width := 0
	for _, l := range lines {
		if len(trimBlank(l.Text)) == 0 {
			continue
		}
		n := 0
		for f := readFields(trimBlank(l.Text), lineKinds(l.Text)); ; n++ {
			field, ok := f.next()
			if !ok {
				break
			}
			if name, value := splitName(field); name != nil && isNumber(value) {
				return c // names say which columns there are
			}
		}
		if widths[n]++; widths[n] > widths[width] {
			width = n
		}
	}
	rows := 0
	for _, l := range lines {
		kinds := lineKinds(l.Text)
		if countFields(l.Text, kinds) != width || headerNames(trimBlank(l.Text), kinds) != nil {
			continue
		}
		rows++
		f := readFields(trimBlank(l.Text), kinds)
		for at := 1; ; at++ {
			field, ok := f.next()
			if !ok {
				break
			}
			if !isNumber(field) {
				if texts[at] == nil {
					texts[at] = map[string]int{}
				}
				texts[at][string(field)]++
			}
		}
	}
	for at := 1; at <= width && width <= MaxSensors; at++ {
		found := texts[at]
		total, word := 0, true
		for text, n := range found {
			total += n
			word = word && len(text) > 0 && len(text) <= maxLabel && isNameStart(text[0])
		}
		switch {
		case 2*total <= rows: // numbers, but for broken lines
		case word && c.LabelColumn == "" && 2*len(found) <= total:
			c.LabelColumn = strconv.Itoa(at)
		default:
			c.SkipColumns = append(c.SkipColumns, at)
		}
	}
	return c
}

func isNumber(field []byte) bool {
	_, ok := scanDecimal(field)
	return ok
}

func countFields(line []byte, kinds uint8) (n int) {
	for f := readFields(trimBlank(line), kinds); ; n++ {
		if _, ok := f.next(); !ok {
			return n
		}
	}
}

// sentence is the body of a good NMEA sentence, nil if the line is none.
func sentence(line []byte) []byte {
	body, err := nmeaBody(line, false)
	if err != nil {
		return nil
	}
	return body
}

// proposeNMEA takes the fields that have names of the sentences that come,
// those of the most telling sentence first, or else the numbers of the first
// one.
func proposeNMEA(lines []Line) ReadingConfig {
	c := ReadingConfig{Format: FormatNMEA}
	seen := map[string][]byte{}
	first := ""
	for _, l := range lines {
		if body := sentence(l.Text); body != nil {
			address, _, _ := bytes.Cut(body, []byte(","))
			kind := string(address)
			if len(kind) == 5 && kind[0] != 'P' {
				kind = kind[2:]
			}
			if seen[kind] = body; first == "" {
				first = kind
			}
		}
	}
	for _, name := range []string{"GGA.latitude", "GGA.longitude", "GGA.altitude", "RMC.latitude", "RMC.longitude", "RMC.speed_knots", "VTG.speed_kmh", "MWV.angle", "MWV.speed"} {
		kind, field, _ := strings.Cut(name, ".")
		if seen[kind] != nil && !slices.ContainsFunc(c.Sensors, func(s Sensor) bool { return s.Name == field }) {
			c.Sensors = append(c.Sensors, Sensor{Name: field, Field: name})
		}
	}
	if body := seen[first]; len(c.Sensors) == 0 && body != nil {
		for n := 1; n <= MaxSensors; n++ {
			if name := first + "." + strconv.Itoa(n); isNumber(nmeaField(body, n)) {
				if _, ok := parsePick(name); ok {
					c.Sensors = append(c.Sensors, Sensor{Name: strings.ToLower(first) + strconv.Itoa(n), Field: name})
				}
			}
		}
	}
	return c
}
