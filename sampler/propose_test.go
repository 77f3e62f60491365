package sampler

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// linesOf stamps lines as a device sends them, apart from each other.
func linesOf(text string, apart time.Duration) (lines []Line) {
	for i, l := range strings.Split(text, "\n") {
		lines = append(lines, Line{Text: []byte(l), At: time.Duration(i) * apart})
	}
	return lines
}

func TestProposalsFitWhatDevicesSend(t *testing.T) {
	repeat := func(line string) string { return strings.Repeat(line+"\n", 120) }
	for _, c := range []struct {
		name, text, want string
		good             bool
	}{
		{"plain", "3,4\n" + repeat("0.12,-0.03,9.81"), "csv value0 value1 value2 [] 50", true},
		{"header", "accX,accY\n" + repeat("1,2"), "csv accX accY [] 50", true},
		{"plotter", repeat("temp:21.5 hum:40"), "csv temp hum [] 50", true},
		{"label", repeat("1,idle,2\n1,busy,2"), "csv value0 value1 [] label 2 50", true},
		{"time of day", strings.Join(slices.Collect(func(yield func(string) bool) {
			for i := range 180 {
				if !yield(fmt.Sprintf("12:00:%02d;1.5;2", i/3)) {
					return
				}
			}
		}), "\n"), "csv value0 value1 [1] 50", true},
		{"greeting", "Sensor v1.2 ready\n" + repeat("1 2"), "csv value0 value1 [] 50", true},
		{"json", repeat(`{"t":21.5,"unit":"C","h":40}`), "json t h [] 50", true},
		{"nmea", repeat("$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A"), "nmea latitude longitude speed_knots [] 50", true},
		{"no fix", repeat("$GPGGA,120000,,,,,0,00,,,M,,M,,*65"), "nmea latitude longitude altitude []", true},
		{"prose", repeat("nothing to see here"), "", false},
		{"nothing", "", "", false},
	} {
		p := Propose(linesOf(c.text, 20*time.Millisecond))
		got := p.Format
		for _, s := range p.Sensors {
			got += " " + s.Name
		}
		if got += " " + fmt.Sprint(p.SkipColumns); p.LabelColumn != "" {
			got += " label " + p.LabelColumn
		}
		if p.Frequency > 0 {
			got += " " + p.Frequency.String()
		}
		if p.Good() != c.good || c.good && got != c.want {
			t.Errorf("%s: got %q, good: %v (%d of %d, %s), want %q", c.name, got, p.Good(), p.Readings, p.Lines, p.Why, c.want)
		}
	}
}

func TestASlowDeviceGetsALongWindow(t *testing.T) {
	p := Propose(linesOf(strings.Repeat("20.5,1013\n", 20), 10*time.Second))
	if p.Frequency != 0.1 || p.Window != 200*time.Second {
		t.Errorf("got %v Hz and a window of %v, want 0.1 and 200s", p.Frequency, p.Window)
	}
}

// FuzzPropose: whatever a device sends, what is proposed is a configuration.
func FuzzPropose(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n1,2\n1,2\n"), uint16(20))
	f.Add([]byte("$GPGGA,120000,,,,,0,00,,,M,,M,,*6B\r\n\x00\xff{\"a\":1}\n"), uint16(1))
	f.Add([]byte("x:1 y:2\nx:1 y:2\nx:1 y:2\nx:1 y:2\n"), uint16(9000))
	f.Fuzz(func(t *testing.T, text []byte, apart uint16) {
		var lines []Line
		for i, l := range bytes.Split(text, []byte("\n")) {
			lines = append(lines, Line{Text: l, At: time.Duration(i) * time.Duration(apart) * time.Millisecond})
		}
		p := Propose(lines)
		if !p.Good() {
			return
		}
		p.ValidateReadings(func(field, problem, remedy string) {
			t.Errorf("proposed %+v, which is faulty: %s: %s", p.ReadingConfig, field, problem)
		})
	})
}
