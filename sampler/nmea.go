package sampler

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
)

// A pick is the field of NMEA 0183 sentences that one sensor reads.
type pick struct {
	sentence   string // GGA of any talker, or GPGGA of one
	field      int    // from 1, behind the address; 0: found by transducer
	transducer string // in XDR
	unit       byte   // what the field is written in, as nmeaNames has it
}

// The ways in which fields are written that are no plain numbers.
const (
	nmeaPlain = iota
	nmeaAngle // degrees × 100 + minutes; the next field has N, S, E or W
	nmeaClock // hhmmss.ss: becomes seconds of the day
)

// nmeaNames are the fields that have names, of NMEA 0183 4.11.
var nmeaNames = map[string]pick{
	"GGA.time": {field: 1, unit: nmeaClock}, "GGA.latitude": {field: 2, unit: nmeaAngle}, "GGA.longitude": {field: 4, unit: nmeaAngle},
	"GGA.quality": {field: 6}, "GGA.satellites": {field: 7}, "GGA.hdop": {field: 8}, "GGA.altitude": {field: 9}, "GGA.separation": {field: 11},
	"RMC.time": {field: 1, unit: nmeaClock}, "RMC.latitude": {field: 3, unit: nmeaAngle}, "RMC.longitude": {field: 5, unit: nmeaAngle},
	"RMC.speed_knots": {field: 7}, "RMC.course": {field: 8},
	"VTG.course": {field: 1}, "VTG.speed_knots": {field: 5}, "VTG.speed_kmh": {field: 7},
	"MWV.angle": {field: 1}, "MWV.speed": {field: 3},
}

// nmeaInvalid says by which field a device calls a sentence invalid.
var nmeaInvalid = []struct {
	sentence string
	field    int
	mark     string
}{{"GGA", 6, "0"}, {"RMC", 2, "V"}, {"MWV", 5, "V"}}

const (
	// maxSentence is far above the 82 of the standard, which devices exceed.
	maxSentence = 1024
	maxField    = 99
)

// parsePick reads SENTENCE.FIELD: a name, a number from 1, or in XDR the name
// of a transducer.
func parsePick(text string) (p pick, ok bool) {
	sentence, field, _ := strings.Cut(text, ".")
	if len(sentence) < 3 || len(sentence) > 16 || field == "" || sentence != strings.ToUpper(sentence) || strings.ContainsAny(text, ",*$! ") {
		return p, false
	}
	p = nmeaNames[sentence[len(sentence)-3:]+"."+field]
	p.sentence = sentence
	if p.field > 0 {
		return p, true
	}
	if n, err := strconv.Atoi(field); err == nil {
		p.field = n
		return p, n >= 1 && n <= maxField
	}
	p.transducer = field
	return p, strings.HasSuffix(sentence, "XDR")
}

var (
	errNoSentence = errors.New("line holds no NMEA sentence: check baud rate and wiring")
	errNoChecksum = errors.New("sentence has no checksum")
	errChecksum   = errors.New("sentence's checksum is wrong")
	errSentence   = errors.New("sentence is too long")
)

// nmeaBody finds the sentence in a line and judges its checksum: the XOR of
// what stands between $ (or !) and *. Noise before the sentence does no harm.
// A sentence without a * is taken if bare says so.
func nmeaBody(line []byte, bare bool) (body []byte, err error) {
	begin := bytes.LastIndexAny(line, "$!")
	if begin < 0 {
		return nil, errNoSentence
	}
	body = line[begin+1:]
	if bare && bytes.IndexByte(body, '*') < 0 {
		if lineKinds(body)&kindNoText != 0 {
			return nil, errNoText
		}
		return body[:min(len(body), maxSentence)], nil
	}
	star := len(body) - 3
	if star < 0 || body[star] != '*' {
		return nil, errNoChecksum
	}
	sum, err := strconv.ParseUint(string(body[star+1:]), 16, 8)
	body = body[:star]
	for _, c := range body {
		sum ^= uint64(c)
	}
	switch {
	case err != nil || sum != 0:
		return nil, errChecksum
	case len(body) > maxSentence:
		return nil, errSentence
	}
	return body, nil
}

// parseNMEA takes one sentence. The sentence of the first sensor begins a
// reading and the others complete it, so that values of two instants never
// stand in one reading, whatever is lost.
func (l *Layout) parseNMEA(line []byte, r *Reading) error {
	body, err := nmeaBody(line, l.bare)
	if err == nil {
		err = l.pickValues(body)
	}
	if err != nil {
		l.held.found = 0
		return err
	}
	if l.held.found != 1<<len(l.sensors)-1 {
		return ErrNoReading
	}
	r.Values = append(r.Values, l.held.Values...)
	l.held.found = 0
	return nil
}

// pickValues holds the values that the sensors want of a sentence.
func (l *Layout) pickValues(body []byte) error {
	l.held.open(len(l.sensors))
	address, _, _ := bytes.Cut(body, []byte(","))
	checked := false
	for i := range l.picks {
		p := &l.picks[i]
		if !p.of(address) {
			continue
		}
		if !checked && nmeaSaysInvalid(address, body) {
			return &LineFault{Problem: "device says that its data are not valid (no fix?)"}
		}
		checked = true
		field := p.find(body)
		switch {
		case field == 0: // another sentence has this transducer
			continue
		case i == 0:
			l.held.found = 0
		case l.held.found&1 == 0:
			continue // its reading began before we listened, or was bad
		}
		v, ok := p.value(body, field, &l.sensors[i])
		if !ok {
			return &LineFault{Column: field, Problem: "of the sentence is not a number"}
		}
		l.held.Values[i] = v
		l.held.found |= 1 << i
	}
	return nil
}

// of tells whether a sentence of this address is the one meant.
func (p *pick) of(address []byte) bool {
	if len(p.sentence) == 3 && len(address) == 5 && address[0] != 'P' {
		address = address[2:] // any talker
	}
	return string(address) == p.sentence
}

func nmeaSaysInvalid(address, body []byte) bool {
	for _, s := range nmeaInvalid {
		if len(address) == 5 && string(address[2:]) == s.sentence {
			return string(nmeaField(body, s.field)) == s.mark
		}
	}
	return false
}

// nmeaField gives a field, from 1 behind the address; nil if there is none.
func nmeaField(body []byte, n int) []byte {
	for ; n > 0; n-- {
		i := bytes.IndexByte(body, ',')
		if i < 0 {
			return nil
		}
		body = body[i+1:]
	}
	if i := bytes.IndexByte(body, ','); i >= 0 {
		body = body[:i]
	}
	return trimBlank(body)
}

// find gives the number of the field; 0 if the sentence lacks the transducer.
func (p *pick) find(body []byte) int {
	if p.field > 0 {
		return p.field
	}
	// type, value, unit and name, again and again
	for n := 4; ; n += 4 {
		switch name := nmeaField(body, n); {
		case name == nil:
			return 0
		case string(name) == p.transducer:
			return n - 2
		}
	}
}

// value reads a field and applies the sensor's scale and offset.
func (p *pick) value(body []byte, n int, s *Sensor) (float64, bool) {
	field := nmeaField(body, n)
	if p.unit == nmeaPlain {
		return parseValue(field, s)
	}
	d, ok := scanDecimal(field)
	v, fits := d.float64(field)
	if !ok || !fits || v < 0 || v >= 1e6 {
		return 0, false
	}
	hundreds := math.Floor(v / 100)
	rest := v - 100*hundreds
	if p.unit == nmeaClock {
		hours := math.Floor(hundreds / 100)
		v = 3600*hours + 60*(hundreds-100*hours) + rest
	} else {
		v = hundreds + rest/60
		switch string(nmeaField(body, n+1)) {
		case "S", "W":
			v = -v
		case "N", "E":
		default:
			return 0, false
		}
	}
	v = v*s.scale() + s.Offset
	return v, !math.IsInf(v, 0)
}
