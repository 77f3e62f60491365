package acquisition

import (
	"fmt"
	"slices"
)

// The range in which a date of a sample is plausible, in seconds since 1970:
// the years 2015 to 2100.
const (
	earliestDate = 1420070400
	latestDate   = 4102444800
)

// conclude checks what can be seen only when all is read, and warns.
func (p *parser) conclude() {
	if p.t.err != nil {
		return
	}
	s := &p.sum
	axes := len(s.Sensors)
	switch {
	case p.width == 0 || p.width == axes:
	case p.flat:
		p.t.fail("values are bare, yet there are %d sensors", axes)
	default:
		p.t.fail("rows have %d values, yet there are %d sensors", p.width, axes)
	}
	if p.badValues > 0 {
		p.warn("%d values are not finite, first in row %d", p.badValues, p.firstBadRow)
	}
	if s.DeviceType == "" {
		p.warn("device_type is missing")
	}
	if s.Rows == 0 && s.Binary == "" {
		p.warn("there are no values")
	}
	if s.IntervalMS == 0 && s.Rows > 1 {
		p.warn("interval_ms is 0, yet there are %d rows", s.Rows)
	}
	switch {
	case s.IssuedAt == 0:
	case s.IssuedAt >= earliestDate*1000:
		p.warn("iat is %v: milliseconds, where seconds are meant", s.IssuedAt)
	case !(s.IssuedAt >= earliestDate && s.IssuedAt <= latestDate):
		p.warn("iat is %v, which is no date of a sample", s.IssuedAt)
	}
	p.warnAboutSensors()
}

func (p *parser) warnAboutSensors() {
	names := make([]string, 0, len(p.sum.Sensors))
	for i, s := range p.sum.Sensors {
		if s.Name == "" {
			p.warn("sensor %d has no name", i+1)
		}
		names = append(names, s.Name)
	}
	if slices.ContainsFunc(p.sum.Sensors, func(s Sensor) bool { return s.Units == "" }) {
		p.warn("a sensor has no units")
	}
	slices.Sort(names)
	if len(slices.Compact(names)) < len(p.sum.Sensors) {
		p.warn("two sensors have the same name")
	}
}

func (p *parser) warn(format string, args ...any) {
	p.sum.Warnings = append(p.sum.Warnings, fmt.Sprintf(format, args...))
}
