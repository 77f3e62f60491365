package sampler

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The forms of lines, and of frames of packed bytes.
const (
	FormatCSV    = "csv"
	FormatJSON   = "json"
	FormatNMEA   = "nmea"
	FormatFrames = "frames"
	FormatSLIP   = "slip"
	FormatCOBS   = "cobs"
)

// ReadingConfig says how lines become readings and readings become samples.
// Every source of readings has these fields in its configuration.
type ReadingConfig struct {
	// Format is csv (comma, semicolon, tab or blanks; name:value), json (an
	// object or an array on each line), nmea (NMEA 0183), or packed bytes in
	// frames, slip or cobs. In the last four each sensor has a Field.
	Format string `yaml:"format"`
	// Frame says what frames look like.
	Frame FrameConfig `yaml:"frame"`
	// Checksum says whether NMEA sentences must have one: required, or optional
	// for devices that send none; a wrong one is refused in any case.
	Checksum string `yaml:"checksum"`
	// Sensors are the columns in order, or the names that lines give their
	// values. Without any, the lines themselves say which there are.
	Sensors []Sensor `yaml:"sensors"`
	// SkipColumns are columns that are no sensors, from 1.
	SkipColumns []int `yaml:"skip_columns"`
	// LabelColumn is the column, from 1, or the name under which firmware
	// sends its own label.
	LabelColumn string `yaml:"label_column"`
	// Frequency is the rate of readings; auto measures it.
	Frequency Frequency `yaml:"frequency"`
	// Window is the length of one sample.
	Window time.Duration `yaml:"window"`
	// Stride is from the beginning of one sample to that of the next; 0 is
	// Window.
	Stride time.Duration `yaml:"stride"`
	// MinWindow is the shortest sample kept when something ends it early; 0
	// is half of Window.
	MinWindow time.Duration `yaml:"min_window"`
	// Every takes one sample in each such time and leaves out the rest.
	Every time.Duration `yaml:"every"`
	// Gap is how late a reading must be for something to be missing before
	// it; 0 is 2.5 readings, but at least 250 ms.
	Gap time.Duration `yaml:"gap"`
	// ExpectEvery is how long the source may stay silent before its state
	// says so; 0 is three readings, but at least 30 s.
	ExpectEvery time.Duration `yaml:"expect_every"`

	packed bool // by the source itself: see Pack
}

// Readings is the configuration itself: how a source's Config that has these
// fields shows that its samples are windows of readings.
func (c *ReadingConfig) Readings() *ReadingConfig { return c }

// A Frequency is a rate of readings in Hz; 0 is "auto".
type Frequency float64

// UnmarshalText reads a number or "auto".
func (f *Frequency) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*f = 0
		return nil
	}
	d, ok := scanDecimal(text)
	v, fits := d.float64(text)
	if !ok || !fits || v <= 0 {
		return fmt.Errorf("%q is not a frequency; write Hz such as 62.5, or auto", text)
	}
	*f = Frequency(v)
	return nil
}

// String writes what UnmarshalText reads.
func (f Frequency) String() string {
	if f == 0 {
		return "auto"
	}
	return strconv.FormatFloat(float64(f), 'g', -1, 64)
}

const (
	minFrequency = 1.0 / 3600
	maxFrequency = 100_000
	// maxValues bounds a window in memory: 8 MB of numbers and as much again
	// of CBOR.
	maxValues = 1 << 20
)

// silence is how long no reading may come before that is worth saying.
func (c *ReadingConfig) silence() time.Duration {
	switch {
	case c.ExpectEvery > 0:
		return c.ExpectEvery
	case c.Frequency > 0:
		return max(30*time.Second, time.Duration(3e9/float64(c.Frequency)))
	}
	return 30 * time.Second
}

// DefaultReadingConfig holds the defaults.
func DefaultReadingConfig() ReadingConfig {
	return ReadingConfig{Format: FormatCSV, Window: 2 * time.Second}
}

// ValidateReadings calls fault for everything that is wrong with the
// configuration. Whose Config has these fields calls it.
func (c *ReadingConfig) ValidateReadings(fault func(field, problem, remedy string)) {
	if !slices.Contains([]string{FormatCSV, FormatJSON, FormatNMEA, FormatFrames, FormatSLIP, FormatCOBS}, c.Format) {
		fault("format", fmt.Sprintf("%q is not a format", c.Format), "write csv, json, nmea, frames, slip or cobs")
	}
	c.validateFrame(fault)
	c.validateSensors(fault)
	c.validateFields(fault)
	c.validateColumns(fault)
	c.validateTimes(fault)
}

func (c *ReadingConfig) validateSensors(fault func(field, problem, remedy string)) {
	if len(c.Sensors) > MaxSensors {
		fault("sensors", fmt.Sprintf("there are %d sensors", len(c.Sensors)), fmt.Sprintf("a source has at most %d", MaxSensors))
	}
	for i, s := range c.Sensors {
		at := fmt.Sprintf("sensors[%d].", i)
		switch {
		case s.Name == "":
			fault(at+"name", "a sensor has no name", "name it, for example accX")
		case !utf8.ValidString(s.Name) || len(s.Name) > maxLabel || s.Name != strings.TrimSpace(s.Name):
			fault(at+"name", fmt.Sprintf("%q is not a name for a sensor", s.Name), "use a short text without blanks around it")
		case slices.ContainsFunc(c.Sensors[:i], func(o Sensor) bool { return o.Name == s.Name }):
			fault(at+"name", fmt.Sprintf("two sensors are called %s", s.Name), "give each one a name of its own")
		}
		if math.IsNaN(s.Scale) || math.IsInf(s.Scale, 0) {
			fault(at+"scale", "it is not a number to multiply with", "write a number such as 0.001")
		}
		if math.IsNaN(s.Offset) || math.IsInf(s.Offset, 0) {
			fault(at+"offset", "it is not a number to add", "write a number such as -273.15")
		}
	}
}

// validateFields looks at what only NMEA has, and has not.
func (c *ReadingConfig) validateFields(fault func(field, problem, remedy string)) {
	nmea := c.Format == FormatNMEA
	for i, s := range c.Sensors {
		at := fmt.Sprintf("sensors[%d].field", i)
		if _, ok := parsePick(s.Field); nmea && !ok {
			fault(at, fmt.Sprintf("%q is no field of a sentence", s.Field), "write SENTENCE.FIELD, such as GGA.latitude, VTG.7 or XDR.TRANSDUCER")
		} else if !nmea && !c.framed() && s.Field != "" {
			fault(at, "format "+c.Format+" has no fields", "leave it out; columns and names tell sensors apart")
		}
	}
	if !slices.Contains([]string{"", "required", "optional"}, c.Checksum) {
		fault("checksum", fmt.Sprintf("%q is not known here", c.Checksum), "write required or optional")
	}
	if !nmea {
		if c.Checksum != "" {
			fault("checksum", "only format nmea has it", "leave it out")
		}
		return
	}
	if len(c.Sensors) == 0 {
		fault("sensors", "nothing says which fields to take", "write sensors such as {name: latitude, field: GGA.latitude}")
	}
	if len(c.SkipColumns) > 0 {
		fault("skip_columns", "sentences have no columns", "leave it out; sensors choose their fields")
	}
	if c.LabelColumn != "" {
		fault("label_column", "sentences have no labels", "leave it out; write label instead")
	}
}

func (c *ReadingConfig) validateColumns(fault func(field, problem, remedy string)) {
	for i, n := range c.SkipColumns {
		if n < 1 || n > 4*MaxSensors || slices.Contains(c.SkipColumns[:i], n) {
			fault(fmt.Sprintf("skip_columns[%d]", i), fmt.Sprintf("%d is not one more column to leave out", n), "count columns from 1, each one once")
		}
	}
	n, err := strconv.Atoi(c.LabelColumn)
	if columns := len(c.Sensors) + len(c.SkipColumns) + min(n, 1); len(c.Sensors) > 0 {
		if i := slices.IndexFunc(c.SkipColumns, func(at int) bool { return at > columns }); i >= 0 {
			fault(fmt.Sprintf("skip_columns[%d]", i), fmt.Sprintf("there are only %d columns", columns), "name every column before it: as a sensor, skipped, or the label")
		}
		if n > columns {
			fault("label_column", fmt.Sprintf("there are only %d columns", columns), "name every column before it: as a sensor or skipped")
			return
		}
	}
	if err == nil && (n < 1 || n > 4*MaxSensors || slices.Contains(c.SkipColumns, n)) {
		fault("label_column", fmt.Sprintf("%d is not a column for the label", n), "count columns from 1, or write the column's name")
	}
	if err != nil && c.LabelColumn != "" && slices.ContainsFunc(c.Sensors, func(s Sensor) bool { return s.Name == c.LabelColumn }) {
		fault("label_column", c.LabelColumn+" is a sensor", "name the column that holds the label")
	}
}

func (c *ReadingConfig) validateTimes(fault func(field, problem, remedy string)) {
	hz := float64(c.Frequency)
	if hz != 0 && (hz < minFrequency || hz > maxFrequency) {
		fault("frequency", c.Frequency.String()+" Hz is out of range", "write Hz from one an hour to 100000, or auto")
	}
	if c.Window <= 0 || c.Window > 24*time.Hour {
		fault("window", c.Window.String()+" is out of range", "write the length of one sample, such as 2s")
		return
	}
	switch rows := c.Window.Seconds() * hz; {
	case hz != 0 && rows < 0.5:
		fault("window", fmt.Sprintf("%v holds no reading at %v Hz", c.Window, c.Frequency), "make window longer than the time between two readings")
	case rows*float64(max(len(c.Sensors), 1)) > maxValues:
		fault("window", fmt.Sprintf("%v at %v Hz is more than %d values", c.Window, c.Frequency, maxValues), "make window shorter")
	}
	if c.Stride < 0 || c.Stride > 24*time.Hour {
		fault("stride", c.Stride.String()+" is out of range", "write the time from one sample to the next, such as 1s, or leave it out")
	}
	if c.MinWindow < 0 || c.MinWindow > c.Window {
		fault("min_window", fmt.Sprintf("%v is not between 0s and the window of %v", c.MinWindow, c.Window), "write the shortest sample worth keeping, or leave it out")
	}
	if c.Every < 0 || c.Every != 0 && c.Every < c.Window {
		fault("every", fmt.Sprintf("%v is shorter than the window of %v", c.Every, c.Window), "write how often to take a sample, such as 10m, or leave it out")
	}
	if c.Every != 0 && c.Stride != 0 {
		fault("every", "every and stride both say when samples begin", "leave out one of them")
	}
	if c.ExpectEvery < 0 {
		fault("expect_every", c.ExpectEvery.String()+" is out of range", "write how long silence is normal, such as 1m, or leave it out")
	}
	if c.Gap < 0 {
		fault("gap", c.Gap.String()+" is out of range", "write a time such as 250ms, or leave it out")
	}
}
