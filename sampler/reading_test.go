package sampler

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

var xyz = []Sensor{{Name: "accX"}, {Name: "accY"}, {Name: "accZ"}}

func TestParseReading(t *testing.T) {
	csv := ReadingConfig{Format: FormatCSV, Sensors: xyz}
	labelled := ReadingConfig{Format: FormatCSV, Sensors: xyz, LabelColumn: "4"}
	named := ReadingConfig{Format: FormatCSV, Sensors: xyz, LabelColumn: "activity"}
	skipping := ReadingConfig{Format: FormatCSV, Sensors: xyz, SkipColumns: []int{1, 4}, LabelColumn: "6"}
	json := ReadingConfig{Format: FormatJSON, Sensors: xyz, LabelColumn: "activity"}
	array := ReadingConfig{Format: FormatJSON, Sensors: xyz, LabelColumn: "1", SkipColumns: []int{3}}
	tests := []struct {
		config ReadingConfig
		line   string
		want   string // values, then the label; or the fault
	}{
		{csv, "1,2,3", "1 2 3"},
		{csv, " 1, 2 ,3 ", "1 2 3"},
		{csv, "1,\t2,\t3", "1 2 3"},
		{csv, "1;2;3", "1 2 3"},
		{csv, "1\t2\t3", "1 2 3"},
		{csv, "1\t\t2\t3", "1 2 3"},
		{csv, "1  2 3", "1 2 3"},
		{csv, "1,2,3,", "1 2 3"},
		{csv, "1 2 3 ", "1 2 3"},
		{csv, "-1.5,+2e1,.5", "-1.5 20 0.5"},
		{csv, "1,,3", "column 2 is not a number"},
		{csv, ",1,2,3", "column 1 is not a number"},
		{csv, "1,2,3,,", "wrong number of columns: 4 instead of 3"},
		{csv, "1,2", "wrong number of columns: 2 instead of 3"},
		{csv, "1,2,3,4,5", "wrong number of columns: 5 instead of 3"},
		{csv, "1,2,NaN", "column 3 is not a number"},
		{csv, "1,2,0x3", "column 3 is not a number"},
		{csv, "1,5;2,5;3,5", "column 1 is not a number"}, // decimal commas are never taken for others
		{csv, "1,2,3\x00", "line has a byte that is no text: check baud rate, parity and wiring"},
		{csv, "1,2\x01,3", "line has a byte that is no text: check baud rate, parity and wiring"},
		{csv, "1,2,\xff3", "column 3 is not a number"},
		{csv, "ERR sensor", "device reports an error"},
		{csv, "<ERR>", "device reports an error"},
		{csv, "", "line holds no reading"},
		{csv, " \t", "line holds no reading"},
		{csv, "accX,accY,accZ", "line names the columns: line holds no reading"},
		{csv, "Booting...", "column 1 is not a number"},
		{csv, "accX:1,accY:2,accZ:3", "1 2 3"},
		{csv, "accZ:3,accX:1,accY:2", "1 2 3"},
		{csv, "accZ:3 accX:1 accY:2", "1 2 3"},
		{csv, "accX: 1 accY:  2 accZ: 3", "1 2 3"},
		{csv, "accX: 1, accY: 2, accZ: 3, Max:10", "1 2 3"},
		{csv, "accX:1\taccY:2\taccZ:3", "1 2 3"},
		{csv, "a:1,b:2,c:3", "1 2 3"},
		{csv, "accX:1,accY:2", "has no value for sensor accZ"},
		{csv, "accX:1,accX:2,accY:3,accZ:4", "column 2 gives a sensor a second value"},
		{csv, "accX:1,2,3", "column 2 has no name, but others have"},
		{csv, "accX:1,accY:2,accZ:", "column 3 is not a number"},
		{labelled, "1,2,3,running fast", "1 2 3 running fast"},
		{labelled, "1,2,3,größe", "1 2 3 größe"},
		{labelled, "1,2,3", "wrong number of columns: 3 instead of 4"},
		{labelled, "1,2,3,\xff\xfe", "column 4 is no label"},
		{labelled, "1,2,3," + strings.Repeat("x", maxLabel+1), "column 4 is no label"},
		{named, "activity:run,accX:1,accY:2,accZ:3", "1 2 3 run"},
		{named, "1,2,3", "1 2 3"},
		{skipping, "12:30:01,1,2,ok,3,run", "1 2 3 run"},
		{json, `{"accX":1,"accY":-2.5e0,"accZ":3}`, "1 -2.5 3"},
		{json, ` {"t":{"a":[1,"}"]}, "accZ":3 ,"accY" : 2,"accX":1, "activity":"r\u0075n"} `, "1 2 3 run"},
		{json, `{"accX":1,"accY":2,"accZ":3,"activity":null}`, "1 2 3"},
		{json, `{"accX":1,"accY":2,"accZ":3,"activity":7,"say":"\\\"}"}`, "1 2 3 7"},
		{json, `{"accX":1,"accY":2}`, "has no value for sensor accZ"},
		{json, `{"accX":1,"accY":2,"accZ":null}`, "column 3 is not a number"},
		{json, `{"accX":1,"accY":2,"accZ":"3"}`, "column 3 is not a number"},
		{json, `{"accX":1,"accX":1,"accY":2,"accZ":3}`, "column 2 gives a sensor a second value"},
		{json, `{"accX":1,"accY":2,"accZ":3`, "is no JSON"},
		{json, `"accX"`, "is neither a JSON object nor an array"},
		{json, `[1,2,3]`, "1 2 3"},
		{json, `[]`, "wrong number of columns: 0 instead of 3"},
		{json, `{}`, "has no value for sensor accX"},
		{array, `["run",1,{"x":[2]},2,3]`, "1 2 3 run"},
		{array, `["run",1,2,3]`, "wrong number of columns: 4 instead of 5"},
	}
	for _, tt := range tests {
		var r Reading
		got := ""
		if err := ParseReading([]byte(tt.line), NewLayout(tt.config), &r); err != nil {
			got = err.Error()
		} else {
			got = shown(r)
		}
		if got != tt.want {
			t.Errorf("%s %q: got %q, want %q", tt.config.Format, tt.line, got, tt.want)
		}
	}
}

func shown(r Reading) string {
	words := make([]string, 0, len(r.Values)+1)
	for _, v := range r.Values {
		words = append(words, fmt.Sprint(v))
	}
	if len(r.Label) > 0 {
		words = append(words, string(r.Label))
	}
	return strings.Join(words, " ")
}

// TestLayoutFollowsTheLines reads several lines with one layout.
func TestLayoutFollowsTheLines(t *testing.T) {
	none := ErrNoReading.Error()
	header := errHeader.Error()
	tests := []struct {
		what    string
		config  ReadingConfig
		lines   []string
		want    []string
		sensors string
	}{
		{"a header in another order", ReadingConfig{Format: FormatCSV, Sensors: xyz, LabelColumn: "what"},
			[]string{"1,2,3", "time,accZ,what,accX,accY", "9,3,run,1,2"}, []string{"1 2 3", header, "1 2 3 run"}, "accX accY accZ"},
		{"a header that lacks a sensor", ReadingConfig{Format: FormatCSV, Sensors: xyz},
			[]string{"accX,accY", "1,2,3"}, []string{header, "1 2 3"}, "accX accY accZ"},
		{"no sensors: columns", ReadingConfig{Format: FormatCSV},
			[]string{"2,3", "1,2,3", "1,2,3", "4,5,6", "7,8"}, []string{none, none, "1 2 3", "4 5 6", "wrong number of columns: 2 instead of 3"}, "value0 value1 value2"},
		{"no sensors: a header", ReadingConfig{Format: FormatCSV, LabelColumn: "what"},
			[]string{"accX,temp,what", "1,2,run", "3,4,sit"}, []string{none, "1 2 run", "3 4 sit"}, "accX temp"},
		{"no sensors: names", ReadingConfig{Format: FormatCSV, LabelColumn: "what"},
			[]string{"ccX:1,b:2", "accX:1,b:2,what:run", "accX:1,b:2,what:run"}, []string{none, none, "1 2 run"}, "accX b"},
		{"no sensors: skipped columns", ReadingConfig{Format: FormatCSV, SkipColumns: []int{1}, LabelColumn: "3"},
			[]string{"0,1,run,2", "0,1,run,2"}, []string{none, "1 2 run"}, "value0 value1"},
		{"no sensors: JSON", ReadingConfig{Format: FormatJSON, LabelColumn: "what"},
			[]string{`{"a":1,"b":2,"what":"run","n":null}`, `{"a":1,"b":2,"what":"run","n":null}`}, []string{none, "1 2 run"}, "a b"},
		{"no sensors: arrays", ReadingConfig{Format: FormatJSON}, []string{`[1,2]`, `[1,2]`}, []string{none, "1 2"}, "value0 value1"},
		{"no sensors: noise", ReadingConfig{Format: FormatCSV},
			[]string{"hello", "a b", "1", "2"}, []string{"has no number", "has no number", none, "2"}, "value0"},
	}
	for _, tt := range tests {
		l := NewLayout(tt.config)
		var got []string
		var r Reading
		for _, line := range tt.lines {
			if err := ParseReading([]byte(line), l, &r); err != nil {
				got = append(got, err.Error())
			} else {
				got = append(got, shown(r))
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.what, got, tt.want)
		}
		var names []string
		for _, s := range l.Sensors() {
			names = append(names, s.Name)
		}
		if s := strings.Join(names, " "); s != tt.sensors {
			t.Errorf("%s: sensors %s, want %s", tt.what, s, tt.sensors)
		}
	}
}

func TestReopenForgetsOnlyWhatWasLearned(t *testing.T) {
	var r Reading
	learned := NewLayout(ReadingConfig{Format: FormatCSV})
	for range 2 {
		_ = ParseReading([]byte("1,2"), learned, &r)
	}
	learned.Reopen()
	if len(learned.Sensors()) != 0 {
		t.Errorf("learned sensors outlive the device: %v", learned.Sensors())
	}
	configured := NewLayout(ReadingConfig{Format: FormatCSV, Sensors: xyz})
	_ = ParseReading([]byte("accZ,accY,accX"), configured, &r)
	configured.Reopen()
	if err := ParseReading([]byte("3,2,1"), configured, &r); err != nil || shown(r) != "1 2 3" {
		t.Errorf("after a header and reopening: got %q, %v, want %q", shown(r), err, "1 2 3")
	}
}

func TestDefaultUnits(t *testing.T) {
	l := NewLayout(ReadingConfig{Sensors: []Sensor{{Name: "accX"}, {Name: "audio"}, {Name: "temp"}, {Name: "p", Units: "Pa"}}})
	var got []string
	for _, s := range l.Sensors() {
		got = append(got, s.Units)
	}
	if want := []string{"m/s2", "wav", "N/A", "Pa"}; !slices.Equal(got, want) {
		t.Errorf("units: got %v, want %v", got, want)
	}
}

// TestParsingAllocatesNothing is what lets a small board read fast ports.
func TestParsingAllocatesNothing(t *testing.T) {
	l := NewLayout(ReadingConfig{Format: FormatCSV, Sensors: xyz, LabelColumn: "what"})
	var r Reading
	for _, line := range []string{"-0.32,-1.95,-7.4", "1.23456789 -2 3e-5", "accZ:1.5,accX:2,what:run,accY:3", "123456789012345678901,1e-30,0.1"} {
		text := []byte(line)
		if n := testing.AllocsPerRun(100, func() {
			if err := ParseReading(text, l, &r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", line, n)
		}
	}
}

func FuzzParseReading(f *testing.F) {
	for _, seed := range []string{"1,2,3", "accX:1 accY: 2 accZ:3", `{"accX":1,"accY":2,"accZ":3,"l":"x"}`, "[1,[2],\"]\"]", "accX;accY;accZ", "ERR", "1,2,\x00", ":::", "a: ", " : :"} {
		f.Add([]byte(seed), []byte("4,5,6"))
	}
	configs := []ReadingConfig{
		{Format: FormatCSV, Sensors: xyz, LabelColumn: "l"}, {Format: FormatCSV}, {Format: FormatCSV, SkipColumns: []int{2}, LabelColumn: "3"},
		{Format: FormatJSON, Sensors: xyz, LabelColumn: "l"}, {Format: FormatJSON, LabelColumn: "2"},
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, c := range configs {
			l := NewLayout(c)
			var r Reading
			for _, line := range [][]byte{first, first, second, second} {
				before := string(line)
				err := ParseReading(line, l, &r)
				if string(line) != before {
					t.Fatalf("parsing changed the line %q", before)
				}
				if err != nil {
					_ = err.Error()
					continue
				}
				if len(r.Values) != len(l.Sensors()) || len(r.Values) == 0 {
					t.Fatalf("%q: %d values for %d sensors", line, len(r.Values), len(l.Sensors()))
				}
				if slices.ContainsFunc(r.Values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
					t.Fatalf("%q: values %v", line, r.Values)
				}
			}
		}
	})
}

func TestFaultsAreToldApart(t *testing.T) {
	var r Reading
	l := NewLayout(ReadingConfig{Format: FormatCSV, Sensors: xyz})
	if err := ParseReading([]byte("ERR:5"), l, &r); !errors.Is(err, ErrDevice) {
		t.Errorf("got %v, want ErrDevice", err)
	}
	var fault *LineFault
	if err := ParseReading([]byte("1,2"), l, &r); !errors.As(err, &fault) || fault.Got != 2 || fault.Want != 3 {
		t.Errorf("got %v, want a LineFault with both numbers", err)
	}
}

func BenchmarkParseCSV(b *testing.B) {
	for _, line := range []string{"-0.32,-1.95,-7.4", "-0.32,-1.95,-7.4,-7.69,11.72,12.33", "1234\t-567\t890", "accX:-0.32,accY:-1.95,accZ:-7.4", "48.2081743,16.3738189,171.5"} {
		b.Run(line, func(b *testing.B) {
			sensors := xyz
			if strings.Count(line, ",") == 5 {
				sensors = append(slices.Clone(xyz), Sensor{Name: "gyrX"}, Sensor{Name: "gyrY"}, Sensor{Name: "gyrZ"})
			}
			benchmarkParse(b, line, ReadingConfig{Format: FormatCSV, Sensors: sensors})
		})
	}
}

func BenchmarkParseJSON(b *testing.B) {
	benchmarkParse(b, `{"accX":-0.32,"accY":-1.95,"accZ":-7.4}`, ReadingConfig{Format: FormatJSON, Sensors: xyz})
}

func benchmarkParse(b *testing.B, line string, c ReadingConfig) {
	l, text := NewLayout(c), []byte(line)
	var r Reading
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseReading(text, l, &r); err != nil {
			b.Fatal(err)
		}
	}
}
