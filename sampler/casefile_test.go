package sampler

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// wav is a file of 16-bit PCM.
func wav(rate, channels int, samples ...int16) []byte {
	b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00"), byte(channels), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = append(b, 0, 0, 0, 0, 0, 0, 16, 0)
	b = append(b, "junk\x01\x00\x00\x00x\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(2*len(samples)))
	for _, s := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}

// document is an acquisition document of two axes at 62.5 Hz.
func document(t testing.TB) []byte {
	t.Helper()
	payload, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{DeviceType: "TEST", IntervalMS: 16,
		Sensors: []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "g"}}}, []float64{1, 2, 3, 4, 5, 6})
	if err != nil {
		t.Fatal(err)
	}
	all, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCaseFromFile(t *testing.T) {
	two := []Sensor{{Name: "accY", Units: "m/s2", Scale: 2}, {Name: "accX", Units: "m/s2"}}
	for _, tc := range []struct {
		what, name, raw string
		sensors         []Sensor
		names           string
		values          []float64
		hz              float64
		fault           string
	}{
		{what: "CBOR", name: "a.cbor", raw: string(document(t)), names: "accX accY", values: []float64{1, 2, 3, 4, 5, 6}, hz: 62.5},
		{what: "CBOR of a source", name: "A.CBOR", raw: string(document(t)), sensors: two, names: "accY accX", values: []float64{2, 1, 4, 3, 6, 5}, hz: 62.5},
		{what: "CSV", name: "a.csv", raw: "timestamp,accX,accY\r\n0,1,2\r\n10,3,4\r\n\r\n20,5,6\r\n", names: "accX accY", values: []float64{1, 2, 3, 4, 5, 6}, hz: 100},
		{what: "CSV of a source with fewer axes", name: "a.csv", raw: "accX;\"accY\"\n1;2\n3;4", sensors: two[:1], names: "accY", values: []float64{2, 4}},
		{what: "CSV without names", name: "a.csv", raw: "1\t-2e1\n3\t4\n", sensors: two, names: "accY accX", values: []float64{1, -20, 3, 4}},
		{what: "CSV without anything", name: "a.csv", raw: "7\n", names: "axis1", values: []float64{7}},
		{what: "WAV", name: "a.wav", raw: string(wav(16000, 2, 1, -2, 3, 4)), names: "axis1 axis2", values: []float64{1, -2, 3, 4}, hz: 16000},
		{what: "WAV of a source", name: "a.wav", raw: string(wav(8000, 1, 1, -2)), sensors: two[:1], names: "accY", values: []float64{1, -2}, hz: 8000},
		{what: "another kind", name: "a.png", raw: "x", fault: "neither"},
		{what: "nothing", name: "a.csv", fault: "no values"},
		{what: "names only", name: "a.csv", raw: "accX,accY\n", fault: "no values"},
		{what: "text", name: "a.csv", raw: "accX\n1\nx\n", fault: `line 3: "x" is no number`},
		{what: "infinity", name: "a.csv", raw: "accX\n1\nInf\n", fault: "no number"},
		{what: "ragged CSV", name: "a.csv", raw: "accX\n1\n1,2\n", fault: "line 3 has 2 columns instead of 1"},
		{what: "wide CSV", name: "a.csv", raw: strings.Repeat("1,", 100), fault: "axes"},
		{what: "an axis too few", name: "a.csv", raw: "accX\n1\n", sensors: two, fault: "no axis accY"},
		{what: "too few columns", name: "a.csv", raw: "1\n", sensors: two, fault: "1 axes without names"},
		{what: "broken CBOR", name: "a.cbor", raw: string(document(t)[:50]), fault: "recording"},
		{what: "no WAV", name: "a.wav", raw: "RIFF", fault: "no WAV"},
		{what: "WAV of 24 bits", name: "a.wav", raw: strings.Replace(string(wav(8000, 1, 1)), "\x10\x00junk", "\x18\x00junk", 1), fault: "16 bits"},
		{what: "WAV without samples", name: "a.wav", raw: string(wav(8000, 1)[:46]), fault: "no samples"},
		{what: "too long", name: "a.csv", raw: strings.Repeat("1\n", MaxCaseFile), fault: "more than"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c, err := CaseFromFile(tc.name, []byte(tc.raw), tc.sensors)
			if tc.fault != "" {
				if !errors.Is(err, ErrNoCase) || !strings.Contains(err.Error(), tc.fault) {
					t.Fatalf("got %v, want %s", err, tc.fault)
				}
				return
			}
			var names []string
			for _, s := range c.Sensors {
				names = append(names, s.Name)
			}
			if err != nil || strings.Join(names, " ") != tc.names || !slices.Equal(c.Values, tc.values) || c.Hz != tc.hz || c.Rows*len(names) != len(c.Values) {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
}

// FuzzCaseFromFile: whatever a client sends, the rows fit the sensors.
func FuzzCaseFromFile(f *testing.F) {
	f.Add(uint8(0), document(f))
	f.Add(uint8(1), []byte("timestamp,accX\n0,1\n10,2\n"))
	f.Add(uint8(2), wav(16000, 2, 1, 2, 3, 4))
	f.Add(uint8(3), []byte(`{"protected":{"ver":"v1","alg":"none"},"signature":"","payload":{"device_type":"x","interval_ms":1,"sensors":[{"name":"accX","units":"g"}],"values":[1]}}`))
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		name := "a" + []string{".cbor", ".csv", ".wav", ".json"}[kind%4]
		for _, sensors := range [][]Sensor{nil, {{Name: "accX"}}} {
			c, err := CaseFromFile(name, raw, sensors)
			if err == nil && (c.Rows == 0 || len(c.Sensors) == 0 || len(c.Values) != c.Rows*len(c.Sensors)) {
				t.Errorf("%d values are %d rows of %d sensors", len(c.Values), c.Rows, len(c.Sensors))
			}
			if err != nil && !errors.Is(err, ErrNoCase) {
				t.Errorf("got %v", err)
			}
		}
	})
}
