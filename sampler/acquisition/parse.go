package acquisition

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// A parser reads one document into a Summary.
type parser struct {
	t     *tape
	in    format
	rows  func(row []float64) error
	sum   Summary
	kept  int       // bytes of texts kept so far
	row   []float64 // reused
	width int       // values of every row, 0 before the first
	flat  bool      // rows are bare values

	badValues   int64 // values that are not finite
	firstBadRow int64
}

func (p *parser) document() {
	first, ok := p.t.peek()
	switch {
	case !ok:
		p.t.fail("it is empty")
		return
	case first&^31 == cborMap:
		p.sum.Encoding, p.in = CBOR, &cborFormat{tape: p.t}
	case strings.IndexByte("{ \t\r\n", first) >= 0:
		p.sum.Encoding, p.in = JSON, &jsonFormat{tape: p.t}
	default:
		p.t.fail("neither CBOR nor JSON of a document begins like this")
		return
	}
	p.object("the document", []string{keyProtected, keySignature, keyPayload}, nil, func(key string) {
		switch key {
		case keyProtected:
			p.protected()
		case keySignature:
			p.signature()
		case keyPayload:
			p.payload()
		}
	})
}

func (p *parser) protected() {
	p.object(keyProtected, []string{keyVersion, keyAlgorithm}, []string{keyIssuedAt}, func(key string) {
		switch key {
		case keyVersion:
			if v := p.text(key); v != version1 {
				p.t.fail("protected.ver is %.20q, known is v1", v)
			}
		case keyAlgorithm:
			p.sum.Algorithm = p.text(key)
			if a := p.sum.Algorithm; a != algorithmHS256 && a != algorithmNone {
				p.t.fail("protected.alg is %.20q, known are HS256 and none", a)
			}
		case keyIssuedAt:
			p.sum.IssuedAt = p.number(key)
		}
	})
}

func (p *parser) signature() {
	switch p.in.kind() {
	case kindText:
		p.sum.SignatureText = p.keep(p.in.signature())
	case kindNumber: // the vendor's tutorials write 0 for alg none
		p.sum.SignatureText = fmt.Sprint(p.in.number())
	default:
		p.t.fail("signature is no text")
	}
}

func (p *parser) payload() {
	required := []string{keyInterval, keySensors, keyValues}
	optional := []string{keyDeviceName, keyDeviceType, keyMetadata}
	p.object(keyPayload, required, optional, func(key string) {
		switch key {
		case keyInterval:
			p.sum.IntervalMS = p.number(key)
			if !finite(p.sum.IntervalMS) || p.sum.IntervalMS < 0 {
				p.t.fail("interval_ms is %v", p.sum.IntervalMS)
			}
		case keySensors:
			p.sensors()
		case keyValues:
			p.values()
		case keyDeviceName:
			p.sum.DeviceName = p.textOrNull(key)
		case keyDeviceType:
			p.sum.DeviceType = p.textOrNull(key)
		case keyMetadata:
			p.metadata()
		}
	})
}

func (p *parser) sensors() {
	if p.in.kind() != kindArray {
		p.t.fail("sensors is no list")
		return
	}
	for p.in.open(); p.in.more(); {
		if len(p.sum.Sensors) == maxSensors {
			p.t.fail("more than %d sensors", maxSensors)
			return
		}
		var s Sensor
		p.object("a sensor", []string{keyName}, []string{keyUnits}, func(key string) {
			if key == keyName {
				s.Name = p.text(key)
			} else {
				s.Units = p.textOrNull(key)
			}
		})
		p.sum.Sensors = append(p.sum.Sensors, s)
	}
	if len(p.sum.Sensors) == 0 {
		p.t.fail("there are no sensors")
	}
}

// metadata keeps the texts among the pairs and passes over the rest.
func (p *parser) metadata() {
	if p.in.kind() != kindObject {
		p.in.skip()
		return
	}
	for p.in.open(); p.in.more(); {
		key := p.keep(p.in.key())
		if p.in.kind() != kindText {
			p.in.skip()
			continue
		}
		if p.sum.Metadata == nil {
			p.sum.Metadata = make(map[string]string)
		}
		p.sum.Metadata[key] = p.keep(p.in.text())
		if len(p.sum.Metadata) > maxMetadata {
			p.t.fail("more than %d pairs of metadata", maxMetadata)
		}
	}
}

func (p *parser) values() {
	if p.in.kind() != kindArray {
		p.t.fail("values is no list")
		return
	}
	for p.in.open(); p.in.more(); {
		if p.sum.Binary != "" {
			p.t.fail("values holds more than the reference to samples behind it")
			return
		}
		switch p.in.kind() {
		case kindText:
			p.reference()
		case kindArray:
			p.row = p.row[:0]
			for p.in.open(); p.in.more(); {
				if len(p.row) == maxSensors {
					p.t.fail("a row of more than %d values", maxSensors)
					return
				}
				p.row = append(p.row, p.value())
			}
			p.emit(false)
		default:
			p.row = append(p.row[:0], p.value())
			p.emit(true)
		}
	}
}

func (p *parser) value() float64 {
	switch p.in.kind() {
	case kindNumber:
		return p.in.number()
	case kindNull: // what JavaScript makes of NaN and the infinities
		p.in.null()
		return math.NaN()
	}
	p.t.fail("a value is no number")
	return 0
}

// emit hands on the row just read.
func (p *parser) emit(flat bool) {
	switch {
	case p.t.err != nil:
		return
	case len(p.row) == 0:
		p.t.fail("row %d has no values", p.sum.Rows)
		return
	case p.width == 0:
		p.width, p.flat = len(p.row), flat
	case len(p.row) != p.width || flat != p.flat:
		p.t.fail("row %d has %d values or another form than the first, which has %d", p.sum.Rows, len(p.row), p.width)
		return
	}
	for _, v := range p.row {
		if !finite(v) {
			if p.badValues == 0 {
				p.firstBadRow = p.sum.Rows
			}
			p.badValues++
		}
	}
	p.sum.Rows++
	if p.rows != nil {
		p.t.err = p.rows(p.row)
	}
}

// object walks an object: take reads the values of the known keys, the rest
// is skipped. A known key twice and a required one missing are faults.
func (p *parser) object(what string, required, optional []string, take func(key string)) {
	if p.in.kind() != kindObject {
		p.t.fail("%s is no object", what)
		return
	}
	known := slices.Concat(required, optional)
	var seen uint
	for p.in.open(); p.in.more(); {
		key := p.in.key()
		i := slices.IndexFunc(known, func(k string) bool { return k == string(key) })
		switch {
		case p.t.err != nil:
			return
		case i < 0:
			p.in.skip()
			continue
		case seen&(1<<i) != 0:
			p.t.fail("%s has %q twice", what, known[i])
			return
		}
		seen |= 1 << i
		take(known[i])
	}
	for i, key := range required {
		if seen&(1<<i) == 0 {
			p.t.fail("%s has no %q", what, key)
		}
	}
}

func (p *parser) text(what string) string {
	if p.in.kind() != kindText {
		p.t.fail("%s is no text", what)
		return ""
	}
	return p.keep(p.in.text())
}

func (p *parser) textOrNull(what string) string {
	if p.in.kind() == kindNull {
		p.in.null()
		return ""
	}
	return p.text(what)
}

func (p *parser) number(what string) float64 {
	if p.in.kind() != kindNumber {
		p.t.fail("%s is no number", what)
		return 0
	}
	return p.in.number()
}

func (p *parser) keep(text []byte) string {
	if p.kept += len(text); p.kept > maxTexts {
		p.t.fail("texts of more than %d bytes together", maxTexts)
		return ""
	}
	if !utf8.Valid(text) {
		p.t.fail("a text that is not UTF-8")
		return ""
	}
	return string(text)
}
