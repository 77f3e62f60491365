package sampler

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// sum completes a sentence.
func sum(body string) string {
	var x byte
	for i := range len(body) {
		x ^= body[i]
	}
	return fmt.Sprintf("$%s*%02X", body, x)
}

func nmea(fields ...string) ReadingConfig {
	c := DefaultReadingConfig()
	c.Format = FormatNMEA
	for _, f := range fields {
		c.Sensors = append(c.Sensors, Sensor{Name: f, Field: f})
	}
	return c
}

const (
	gga = "GPGGA,092750.50,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,"
	rmc = "GPRMC,092750.500,A,5321.6802,N,00630.3372,W,0.02,31.66,280511,,,A"
	vtg = "GPVTG,31.66,T,,M,0.02,N,0.04,K,A"
	mwv = "WIMWV,214.8,R,0.1,K,A"
	xdr = "YXXDR,C,-19.5,C,AIR,P,1.02481,B,BARO"
)

func TestParseNMEA(t *testing.T) {
	none := ErrNoReading.Error()
	place := nmea("GGA.latitude", "GGA.longitude", "VTG.speed_kmh")
	scaled := nmea("MWV.speed")
	scaled.Sensors[0].Scale, scaled.Sensors[0].Offset = 10, 1
	bare := nmea("GGA.quality")
	bare.Checksum = "optional"
	tests := []struct {
		what   string
		config ReadingConfig
		lines  []string
		want   string // of the last line
	}{
		{"the names of GGA", nmea("GGA.time", "GGA.quality", "GGA.satellites", "GGA.hdop", "GGA.altitude", "GGA.separation"), []string{sum(gga)}, "34070.5 1 8 1.03 61.7 55.2"},
		{"two sentences", place, []string{sum(gga), sum(vtg)}, "53.36134 -6.50562 0.04"},
		{"one that nobody wants", place, []string{sum(gga), sum(rmc)}, none},
		{"not begun", place, []string{sum(vtg)}, none},
		{"only the later of two", place, []string{sum(gga), sum(strings.Replace(gga, "5321", "5421", 1)), sum(vtg)}, "54.36134 -6.50562 0.04"},
		{"a bad sentence ends the reading", place, []string{sum(gga), "$GPGGA,1*00", sum(vtg)}, none},
		{"without a checksum", bare, []string{"noise$" + gga}, "1"},
		{"without one, but required", nmea("GGA.quality"), []string{"$" + gga}, errNoChecksum.Error()},
		{"optional, but wrong", bare, []string{"$" + gga + "*00"}, errChecksum.Error()},
		{"optional, but cut off", bare, []string{"$" + gga + "*0"}, errNoChecksum.Error()},
		{"optional, and a broken byte", bare, []string{"$" + gga + "\x00"}, errNoText.Error()},
		{"RMC", nmea("RMC.latitude", "RMC.speed_knots", "RMC.course"), []string{sum(rmc)}, "53.36134 0.02 31.66"},
		{"by number", nmea("GPVTG.7"), []string{sum(vtg)}, "0.04"},
		{"of one talker", nmea("GNVTG.7"), []string{sum(vtg)}, none},
		{"proprietary", nmea("PGRME.1"), []string{sum("PGRME,15.0,M,45.0,M,25.0,M")}, "15"},
		{"wind", scaled, []string{sum(mwv)}, "2"},
		{"transducers", nmea("XDR.BARO", "XDR.AIR"), []string{sum(xdr)}, "1.02481 -19.5"},
		{"no such transducer", nmea("XDR.SEA"), []string{sum(xdr)}, none},
		{"noise before", nmea("VTG.7"), []string{"\x00\xff$G" + sum(vtg)}, "0.04"},
		{"no fix", place, []string{sum(strings.Replace(gga, ",1,8,", ",0,8,", 1))}, "device says that its data are not valid (no fix?)"},
		{"void", nmea("RMC.course"), []string{sum(strings.Replace(rmc, ",A,", ",V,", 1))}, "device says that its data are not valid (no fix?)"},
		{"empty", nmea("VTG.3"), []string{sum(vtg)}, "column 3 of the sentence is not a number"},
		{"not there", nmea("VTG.30"), []string{sum(vtg)}, "column 30 of the sentence is not a number"},
		{"no hemisphere", nmea("GGA.latitude"), []string{sum(strings.Replace(gga, ",N,", ",,", 1))}, "column 2 of the sentence is not a number"},
		{"no checksum", place, []string{"$" + gga}, "sentence has no checksum"},
		{"a wrong one", place, []string{"$" + gga + "*00"}, "sentence's checksum is wrong"},
		{"no hexadecimal one", place, []string{"$" + gga + "*+1"}, "sentence's checksum is wrong"},
		{"too long", place, []string{sum(strings.Repeat("x", maxSentence+1))}, "sentence is too long"},
		{"no sentence", place, []string{"1,2,3"}, "line holds no NMEA sentence: check baud rate and wiring"},
		{"blank", place, []string{" "}, none},
	}
	for _, tt := range tests {
		l, got := NewLayout(tt.config), ""
		var r Reading
		for _, line := range tt.lines {
			if err := ParseReading([]byte(line), l, &r); err != nil {
				got = err.Error()
			} else {
				got = strings.Trim(fmt.Sprintf("%.7g", r.Values), "[]") // what a float32 holds
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.what, got, tt.want)
		}
	}
}

// TestNMEAPlacesKeepTheirDigits: a float32 would be metres off.
func TestNMEAPlacesKeepTheirDigits(t *testing.T) {
	var r Reading
	if err := ParseReading([]byte(sum(gga)), NewLayout(nmea("GGA.latitude", "GGA.longitude")), &r); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{53 + 21.6802/60, -(6 + 30.3372/60)} {
		if math.Abs(r.Values[i]-want) > 1e-12 {
			t.Errorf("got %.15g, want %.15g", r.Values[i], want)
		}
	}
}

func TestNMEAFaults(t *testing.T) {
	columns := nmea("GGA.latitude")
	columns.SkipColumns, columns.LabelColumn = []int{1}, "label"
	elsewhere := nmea("GGA.latitude")
	elsewhere.Format = FormatCSV
	for want, c := range map[string]ReadingConfig{
		"":                          nmea("GGA.latitude", "XDR.AIR", "PGRME.1"),
		"sensors":                   nmea(),
		"sensors[1].field":          nmea("GGA.1", "GGA.height"),
		"sensors[0].field":          nmea("gga.1"),
		"sensors[0].field ":         nmea("GGA"),
		"sensors[0].field  ":        nmea("GGA.0"),
		"skip_columns label_column": columns,
		"sensors[0].field   ":       elsewhere,
	} {
		var fields []string
		c.ValidateReadings(func(field, problem, remedy string) { fields = append(fields, field) })
		if got := strings.Join(fields, " "); got != strings.TrimSpace(want) {
			t.Errorf("got faults in %q, want %q", got, want)
		}
	}
}

// TestNMEAOfRealReceivers judges every line of recorded receivers, and counts
// again without the parser.
func TestNMEAOfRealReceivers(t *testing.T) {
	root := os.Getenv("EDGESPOOL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	logs, _ := filepath.Glob(filepath.Join(root, "data", "serial-logs", "*.log"))
	if len(logs) == 0 {
		t.Skipf("no recordings in %s: set EDGESPOOL_SHARED to the folder that holds data/serial-logs", filepath.Join(root, "data", "serial-logs"))
	}
	sentence := regexp.MustCompile(`[$!]([^$!]*)\*(..)[ \t]*$`)
	var good, wrong, fixes int
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		counted, refused, countedWrong := 0, 0, 0
		for _, line := range regexp.MustCompile(`[\r\n]`).Split(string(text), -1) {
			m := sentence.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			var x byte
			for i := range len(m[1]) {
				x ^= m[1][i]
			}
			if said, err := strconv.ParseUint(m[2], 16, 8); err == nil && byte(said) == x {
				counted++
			} else {
				countedWrong++
			}
		}
		l := NewLayout(nmea("GGA.latitude", "GGA.longitude"))
		var s Splitter
		var r Reading
		judged := 0
		for rest := append(text, '\n'); ; {
			line, left, _, ok := s.Next(rest)
			if !ok {
				break
			}
			rest = left
			if _, err := nmeaBody(trimBlank(line), false); err == nil {
				judged++
			} else if errors.Is(err, errChecksum) {
				refused++
			}
			if ParseReading(line, l, &r) == nil {
				fixes++
				if math.Abs(r.Values[0]) > 90 || math.Abs(r.Values[1]) > 180 {
					t.Errorf("%s: %q is at %v", filepath.Base(path), line, r.Values)
				}
			}
		}
		if judged != counted || refused != countedWrong {
			t.Errorf("%s: %d good and %d wrong, want %d and %d", filepath.Base(path), judged, refused, counted, countedWrong)
		}
		good, wrong = good+judged, wrong+refused
	}
	t.Logf("%d recordings: %d good checksums, %d wrong, %d fixes", len(logs), good, wrong, fixes)
	if good == 0 || fixes == 0 {
		t.Error("nothing was read")
	}
}

func TestNMEAAllocatesNothing(t *testing.T) {
	l := NewLayout(nmea("GGA.latitude", "VTG.speed_kmh"))
	first, second := []byte(sum(gga)), []byte(sum(vtg))
	var r Reading
	if n := testing.AllocsPerRun(100, func() {
		if ParseReading(first, l, &r) == nil || ParseReading(second, l, &r) != nil {
			t.Fatal("not one reading")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseNMEA(f *testing.F) {
	for _, body := range []string{gga, rmc, vtg, mwv, xdr, "XXXDR,,,,", "GPGGA"} {
		f.Add([]byte(body), "XDR.AIR")
	}
	f.Fuzz(func(t *testing.T, body []byte, field string) {
		c := nmea("GGA.latitude", "GGA.time", field)
		if _, ok := parsePick(field); !ok {
			c.Sensors = c.Sensors[:2]
		}
		for i := range c.Sensors {
			l := NewLayout(ReadingConfig{Format: FormatNMEA, Sensors: c.Sensors[i:], Checksum: []string{"", "optional"}[len(body)%2]})
			var r Reading
			for _, line := range [][]byte{body, []byte(sum(string(bytes.TrimSpace(body))))} {
				if err := ParseReading(line, l, &r); err == nil && len(r.Values) != len(l.Sensors()) {
					t.Fatalf("%q: %d values", line, len(r.Values))
				}
			}
		}
	})
}

func BenchmarkParseNMEA(b *testing.B) {
	benchmarkParse(b, sum(gga), nmea("GGA.latitude", "GGA.longitude", "GGA.altitude"))
}
