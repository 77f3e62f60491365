package sampler

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestParseValueKeepsWhatTheTextSays(t *testing.T) {
	tests := []struct {
		text string
		want float64
	}{
		{"0", 0}, {"-0", math.Copysign(0, -1)}, {"+5", 5}, {"5.", 5}, {".5", 0.5}, {"-.25", -0.25}, {"1e3", 1000}, {"1E-2", float64(float32(0.01))},
		{"9.81", float64(float32(9.81))}, {"0.10", float64(float32(0.1))}, {"-1.950", float64(float32(-1.95))},
		{"0.100000000000000000000000", float64(float32(0.1))},
		{"00012.5", 12.5},
		{"16777217", 16777217},                  // one more than float32 counts to
		{"3.4028235e38", math.MaxFloat32},       // the largest float32
		{"3.5e38", 3.5e38},                      // no float32
		{"1e-45", float64(float32(1e-45))},      // the smallest, as its shortest text
		{"48.2081743", 48.2081743},              // GNSS: needs a float64
		{"16.371234", 16.371234},                // 8 digits that a float32 does not give back
		{"0.33333334", float64(float32(1) / 3)}, // 8 digits that it does
		{"123456789012345678", 123456789012345678}, {"0.1234567890123456789", 0.1234567890123456789},
		{"1e-400", 0}, {"0e99999", 0},
	}
	for _, tt := range tests {
		got, ok := parseValue([]byte(tt.text), &Sensor{})
		if !ok || math.Float64bits(got) != math.Float64bits(tt.want) {
			t.Errorf("%s: got %v (%v), want %v", tt.text, got, ok, tt.want)
		}
	}
}

func TestParseValueRefusesWhatIsNoDecimal(t *testing.T) {
	for _, text := range []string{
		"", "-", "+", ".", "-.", "e5", "1e", "1e+", "1.2.3", "--1", "0x1F", "1_000", "NaN", "nan", "Inf", "-inf", "infinity",
		"1e999", "-1e999", "1,5", "12m", "１", "1 ", " 1", "1e5.", "1e_5", "0b1", "1\x00",
	} {
		if got, ok := parseValue([]byte(text), &Sensor{}); ok {
			t.Errorf("%q: got %v, want it refused", text, got)
		}
	}
}

func TestParseValueScales(t *testing.T) {
	tests := []struct {
		text   string
		sensor Sensor
		want   float64
	}{
		{"1000", Sensor{Scale: 0.001}, 1},
		{"-16384", Sensor{Scale: 9.81 / 16384}, float64(float32(-9.81))}, // a 16-bit sensor fits a float32
		{"20", Sensor{Offset: -273.15}, float64(float32(-253.15))},
		{"482081743", Sensor{Scale: 1e-7}, 48.208174299999996}, // and GNSS does not
		{"1", Sensor{Scale: 1, Offset: 0}, 1},
	}
	for _, tt := range tests {
		got, ok := parseValue([]byte(tt.text), &tt.sensor)
		if !ok || got != tt.want {
			t.Errorf("%s with %+v: got %v (%v), want %v", tt.text, tt.sensor, got, ok, tt.want)
		}
	}
	if v, ok := parseValue([]byte("1e300"), &Sensor{Scale: 1e300}); ok {
		t.Errorf("a value that outgrows its scale: got %v, want it refused", v)
	}
}

// checkNumber holds a text against strconv: the same value, and a float32
// exactly where its shortest decimal is the text's.
func checkNumber(t *testing.T, text string) {
	t.Helper()
	want, err := strconv.ParseFloat(text, 64)
	wellFormed := strings.Trim(text, "+-.eE0123456789") == ""
	got, ok := parseValue([]byte(text), &Sensor{})
	if ok != (err == nil && wellFormed) {
		t.Fatalf("%q: got %v (%v), strconv says %v, %v", text, got, ok, want, err)
	}
	if !ok {
		return
	}
	d, _ := scanDecimal([]byte(text))
	if v, _ := d.float64([]byte(text)); math.Float64bits(v) != math.Float64bits(want) {
		t.Fatalf("%q: got %v, strconv %v", text, v, want)
	}
	single := float32(want)
	back, _ := strconv.ParseFloat(strconv.FormatFloat(float64(single), 'g', -1, 32), 64)
	// Decimals of up to 15 digits are equal where their float64 are.
	exact := d.digits <= 15 && !d.long
	if exact && back == want && want != 0 {
		want = float64(single)
	}
	if exact && got != want {
		t.Fatalf("%q: got %v, want %v", text, got, want)
	}
}

func TestParseValueAgreesWithStrconv(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300_000 {
		digits := strconv.FormatUint(random.Uint64()>>random.IntN(64), 10)
		text := digits
		if at := random.IntN(len(digits) + 1); at < len(digits) {
			text = digits[:at] + "." + digits[at:]
		}
		switch random.IntN(6) {
		case 0:
			text = "-" + text
		case 1:
			text += "e" + strconv.Itoa(random.IntN(90)-45)
		case 2:
			text = strconv.FormatFloat(float64(math.Float32frombits(random.Uint32())), 'g', -1, 32)
		case 3:
			text += "000"
		}
		checkNumber(t, text)
	}
}

func FuzzParseValue(f *testing.F) {
	for _, seed := range []string{"1.5", "-0.000", "1e-5", "123456789.123456789", "0x10", "1_0", "NaN", "9007199254740993", "4.9e-324", "1e23"} {
		f.Add(seed)
	}
	f.Fuzz(checkNumber)
}
