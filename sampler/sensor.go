package sampler

import "strings"

// A Sensor is one column of readings: one axis of the samples.
type Sensor struct {
	Name  string `yaml:"name"`
	Units string `yaml:"units"` // a SenML symbol such as m/s2; empty: by DefaultUnits
	// Scale and Offset turn what the line says into Units: value × Scale +
	// Offset. A Scale of 0 stands for 1.
	Scale  float64 `yaml:"scale"`
	Offset float64 `yaml:"offset"`
	// Field is where NMEA sentences have the value: SENTENCE.FIELD, such as
	// GGA.latitude, GPVTG.7 or XDR.TRANSDUCER. In frames it is TYPE@OFFSET of
	// packed bytes, such as i16be@4; other sources have fields of their own.
	Field string `yaml:"field"`
}

func (s *Sensor) plain() bool { return s.Offset == 0 && (s.Scale == 0 || s.Scale == 1) }

func (s *Sensor) scale() float64 {
	if s.Scale == 0 {
		return 1
	}
	return s.Scale
}

// DefaultUnits are the units that Edge Impulse's data forwarder gives a
// sensor of this name (edge-impulse-cli, cli/data-forwarder.ts).
func DefaultUnits(name string) string {
	switch {
	case strings.HasPrefix(name, "acc"):
		return "m/s2"
	case name == "audio":
		return "wav"
	}
	return "N/A"
}
