package sampler

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestReadingConfigFaults(t *testing.T) {
	good := func(change func(c *ReadingConfig)) ReadingConfig {
		c := DefaultReadingConfig()
		c.Sensors, c.Frequency = xyz, 62.5
		change(&c)
		return c
	}
	tests := []struct {
		want   string // the fields at fault
		change func(c *ReadingConfig)
	}{
		{"", func(c *ReadingConfig) {}},
		{"", func(c *ReadingConfig) { c.Sensors, c.Frequency = nil, 0 }},
		{"", func(c *ReadingConfig) { c.SkipColumns, c.LabelColumn = []int{1, 6}, "5" }},
		{"", func(c *ReadingConfig) { c.Stride, c.MinWindow = time.Second, 2*time.Second }},
		{"", func(c *ReadingConfig) { c.Every = 10 * time.Minute }},
		{"format", func(c *ReadingConfig) { c.Format = "xml" }},
		{"checksum", func(c *ReadingConfig) { c.Checksum = "optional" }},
		{"sensors[1].name", func(c *ReadingConfig) { c.Sensors = []Sensor{{Name: "a"}, {}} }},
		{"sensors[1].name", func(c *ReadingConfig) { c.Sensors = []Sensor{{Name: "a"}, {Name: "a"}} }},
		{"sensors[0].name", func(c *ReadingConfig) { c.Sensors = []Sensor{{Name: " a"}} }},
		{"sensors[0].scale sensors[0].offset", func(c *ReadingConfig) { c.Sensors = []Sensor{{Name: "a", Scale: math.NaN(), Offset: math.Inf(1)}} }},
		{"sensors window", func(c *ReadingConfig) { c.Sensors = make([]Sensor, MaxSensors+1); c.Window = time.Nanosecond }},
		{"skip_columns[0] skip_columns[2]", func(c *ReadingConfig) { c.SkipColumns = []int{0, 2, 2} }},
		{"skip_columns[1]", func(c *ReadingConfig) { c.SkipColumns, c.LabelColumn = []int{1, 7}, "5" }},
		{"label_column", func(c *ReadingConfig) { c.SkipColumns, c.LabelColumn = []int{1}, "6" }},
		{"label_column", func(c *ReadingConfig) { c.LabelColumn = "0" }},
		{"label_column", func(c *ReadingConfig) { c.LabelColumn = "accX" }},
		{"label_column", func(c *ReadingConfig) { c.LabelColumn, c.SkipColumns = "2", []int{2} }},
		{"frequency", func(c *ReadingConfig) { c.Frequency = 1e6; c.Window = time.Second / 10 }},
		{"window", func(c *ReadingConfig) { c.Window = 0 }},
		{"window", func(c *ReadingConfig) { c.Window = 7 * time.Millisecond }},
		{"window", func(c *ReadingConfig) { c.Window = 24 * time.Hour }},
		{"stride", func(c *ReadingConfig) { c.Stride = -1 }},
		{"min_window", func(c *ReadingConfig) { c.MinWindow = 3 * time.Second }},
		{"every", func(c *ReadingConfig) { c.Every = time.Second }},
		{"every", func(c *ReadingConfig) { c.Every, c.Stride = 10*time.Second, time.Second }},
		{"expect_every", func(c *ReadingConfig) { c.ExpectEvery = -1 }},
		{"gap", func(c *ReadingConfig) { c.Gap = -1 }},
	}
	for i, tt := range tests {
		c := good(tt.change)
		var fields []string
		c.ValidateReadings(func(field, problem, remedy string) {
			if problem == "" || remedy == "" {
				t.Errorf("%s: problem %q, remedy %q", field, problem, remedy)
			}
			if !strings.HasSuffix(field, ".name") || len(c.Sensors) <= MaxSensors {
				fields = append(fields, field)
			}
		})
		if got := strings.Join(fields, " "); got != tt.want {
			t.Errorf("case %d: faults at %q, want %q", i, got, tt.want)
		}
	}
}

func TestFrequencyText(t *testing.T) {
	for text, want := range map[string]Frequency{"auto": 0, "62.5": 62.5, "1e3": 1000, "0.0166": 0.0166} {
		var f Frequency = -1
		if err := f.UnmarshalText([]byte(text)); err != nil || f != want {
			t.Errorf("%s: got %v, %v, want %v", text, f, err, want)
		}
		var again Frequency = -1
		if err := again.UnmarshalText([]byte(f.String())); err != nil || again != want {
			t.Errorf("%s: %s does not read back", text, f)
		}
	}
	for _, text := range []string{"", "0", "-1", "Auto", "10Hz", "NaN", "1e999"} {
		var f Frequency
		if err := f.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, f)
		}
	}
}
