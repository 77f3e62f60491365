package acquisition_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

func oneAxis() acquisition.PayloadHeader {
	return acquisition.PayloadHeader{DeviceType: "T", IntervalMS: 10, Sensors: []acquisition.Sensor{{Name: "x", Units: "m"}}}
}

func threeAxes() acquisition.PayloadHeader {
	h := oneAxis()
	h.DeviceName, h.DeviceType = "b8:27:eb:12:34:56", "RASPBERRY_PI"
	h.Sensors = []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "m/s2"}, {Name: "accZ", Units: "m/s2"}}
	return h
}

func TestNumberWidths(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "f90000"}, {math.Copysign(0, -1), "f98000"}, {1, "f93c00"}, {10, "f94900"}, {1.25, "f93d00"}, {65504, "f97bff"},
		{65505, "fa477fe100"}, {65536, "fa47800000"}, {0.1, "fb3fb999999999999a"}, {float64(float32(0.1)), "fa3dcccccd"},
		{0x1p-14, "f90400"}, {0x1p-15, "fa38000000"}, {0x1p-24, "fa33800000"}, // half has subnormals here, the C SDK does not use them
		{0x1p-126, "fa00800000"}, {0x1p-127, "fb3800000000000000"}, {math.SmallestNonzeroFloat32, "fb36a0000000000000"},
		{math.MaxFloat32, "fa7f7fffff"}, {math.MaxFloat32 * 2, "fb47ffffffe0000000"}, {math.MaxFloat64, "fb7fefffffffffffff"},
		{math.SmallestNonzeroFloat64, "fb0000000000000001"}, {16777217, "fb4170000010000000"}, {-2049, "fac5001000"},
	} {
		got, err := acquisition.AppendRow(nil, []float64{c.v})
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%v: got %x, %v, want %s", c.v, got, err, c.want)
		}
	}
}

// The library decides what is exact: its shortest form is ours wherever it is
// no subnormal, and ours always reads back as the same bits.
func TestNumbersAgainstLibrary(t *testing.T) {
	mode, err := cbor.EncOptions{ShortestFloat: cbor.ShortestFloat16}.EncMode()
	if err != nil {
		t.Fatal(err)
	}
	dice := rand.New(rand.NewPCG(1, 2))
	var got []byte
	for i := range 300_000 {
		v := math.Float64frombits(dice.Uint64())
		switch i % 4 {
		case 1:
			v = float64(math.Float32frombits(dice.Uint32()))
		case 2:
			v = float64(dice.IntN(200_000)-100_000) / 128
		case 3:
			v = float64(float32(dice.IntN(20_000)-10_000) / 100)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		got, err = acquisition.AppendRow(got[:0], []float64{v})
		if err != nil {
			t.Fatal(err)
		}
		want, err := mode.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if size := math.Abs(v); size != 0 && size < 0x1p-14 && len(want) == 3 || size != 0 && size < 0x1p-126 && len(want) == 5 {
			var back float64
			if err := cbor.Unmarshal(got, &back); err != nil || back != v || len(got) <= len(want) {
				t.Fatalf("%v: %x reads back as %v, %v", v, got, back, err)
			}
			continue
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%v: got %x, want %x", v, got, want)
		}
	}
}

func TestIntegersAgainstLibrary(t *testing.T) {
	empty, err := acquisition.AppendPayloadInt16(nil, oneAxis(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for v := math.MinInt16; v <= math.MaxInt16; v++ {
		got, err := acquisition.AppendPayloadInt16(nil, oneAxis(), []int16{int16(v)})
		if err != nil {
			t.Fatal(err)
		}
		want, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if number := got[len(empty)-1 : len(got)-1]; !bytes.Equal(number, want) {
			t.Fatalf("%d: got %x, want %x", v, number, want)
		}
	}
	got, err := acquisition.AppendPayloadInt16(nil, threeAxes(), []int16{1, -2, 300, 4, 5, 6})
	if want := "83012119012c83040506ff"; err != nil || !bytes.HasSuffix(got, unhex(t, want)) {
		t.Errorf("got %x, %v, want …%s", got, err, want)
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPayloadInPieces(t *testing.T) {
	values := []float64{1, 2, 3, 4.1, 5.1, 6.1}
	whole, err := acquisition.AppendPayload(nil, threeAxes(), values)
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := acquisition.AppendPayloadHeader(nil, threeAxes())
	for row := range slices.Chunk(values, 3) {
		if err == nil {
			pieces, err = acquisition.AppendRow(pieces, row)
		}
	}
	if pieces = acquisition.AppendPayloadEnd(pieces); err != nil || !bytes.Equal(pieces, whole) {
		t.Errorf("got %x, %v, want %x", pieces, err, whole)
	}
	var p struct {
		DeviceName string               `cbor:"device_name"`
		DeviceType string               `cbor:"device_type"`
		IntervalMS float64              `cbor:"interval_ms"`
		Sensors    []acquisition.Sensor `cbor:"sensors"`
		Values     [][]float64          `cbor:"values"`
	}
	if err := cbor.Unmarshal(whole, &p); err != nil {
		t.Fatal(err)
	}
	h := threeAxes()
	if p.DeviceName != h.DeviceName || p.DeviceType != h.DeviceType || p.IntervalMS != h.IntervalMS || !slices.Equal(p.Sensors, h.Sensors) ||
		!slices.Equal(slices.Concat(p.Values...), values) {
		t.Errorf("the library reads %+v", p)
	}
}

func TestPayloadRefuses(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got, err := acquisition.AppendRow([]byte("x"), []float64{1, bad}); err == nil || string(got) != "x" {
			t.Errorf("row of %v: got %x, %v", bad, got, err)
		}
		if got, err := acquisition.AppendPayload([]byte("x"), oneAxis(), []float64{bad}); err == nil || string(got) != "x" {
			t.Errorf("payload of %v: got %x, %v", bad, got, err)
		}
		h := oneAxis()
		h.IntervalMS = bad
		if _, err := acquisition.AppendPayload(nil, h, nil); err == nil {
			t.Errorf("interval of %v passes", bad)
		}
		if _, err := acquisition.AppendJSON(nil, oneAxis(), []float64{bad}, acquisition.Envelope{}); err == nil {
			t.Errorf("JSON of %v passes", bad)
		}
	}
	if _, err := acquisition.AppendPayload(nil, threeAxes(), []float64{1, 2}); err == nil {
		t.Error("half a row passes")
	}
	if _, err := acquisition.AppendPayloadInt16(nil, threeAxes(), []int16{1, 2}); err == nil {
		t.Error("half a row of integers passes")
	}
	for name, change := range map[string]func(*acquisition.PayloadHeader){
		"no sensors":        func(h *acquisition.PayloadHeader) { h.Sensors = nil },
		"too many sensors":  func(h *acquisition.PayloadHeader) { h.Sensors = make([]acquisition.Sensor, 5000) },
		"negative interval": func(h *acquisition.PayloadHeader) { h.IntervalMS = -1 },
		"long name":         func(h *acquisition.PayloadHeader) { h.Sensors[0].Name = strings.Repeat("x", 17<<10) },
		"device name":       func(h *acquisition.PayloadHeader) { h.DeviceName = "\xff" },
		"device type":       func(h *acquisition.PayloadHeader) { h.DeviceType = "\xff" },
		"sensor name":       func(h *acquisition.PayloadHeader) { h.Sensors[0].Name = "\xff" },
		"sensor units":      func(h *acquisition.PayloadHeader) { h.Sensors[0].Units = "\xff" },
	} {
		h := oneAxis()
		change(&h)
		if _, err := acquisition.AppendPayload(nil, h, nil); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	h, values := threeAxes(), noise(625)
	signer, err := acquisition.NewSigner(testKey)
	if err != nil {
		t.Fatal(err)
	}
	var payload, document []byte
	run := func() {
		payload, err = acquisition.AppendPayloadHeader(payload[:0], h)
		for row := 0; row < len(values) && err == nil; row += 3 {
			payload, err = acquisition.AppendRow(payload, values[row:row+3])
		}
		payload = acquisition.AppendPayloadEnd(payload)
		if err == nil {
			document, err = signer.AppendEnvelope(document[:0], payload, 1795297108, "0123456789abcdef01234567")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a sample, want none", n)
	}
}

// noise is rows of three axes of accelerations with two decimals, rounded to
// single precision as the parser does.
func noise(rows int) []float64 {
	dice := rand.New(rand.NewPCG(3, 4))
	values := make([]float64, 3*rows)
	for i := range values {
		values[i] = float64(float32(dice.IntN(4000)-2000) / 100)
	}
	return values
}

func BenchmarkEncodeSign(b *testing.B) {
	h, values := threeAxes(), noise(625)
	signer, err := acquisition.NewSigner(testKey)
	if err != nil {
		b.Fatal(err)
	}
	var payload, document []byte
	b.ReportAllocs()
	for b.Loop() {
		if payload, err = acquisition.AppendPayload(payload[:0], h, values); err != nil {
			b.Fatal(err)
		}
		if document, err = signer.AppendEnvelope(document[:0], payload, 1795297108, ""); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(document)))
}

func BenchmarkEncode(b *testing.B) {
	h, values := threeAxes(), noise(625)
	var payload []byte
	var err error
	b.ReportAllocs()
	for b.Loop() {
		if payload, err = acquisition.AppendPayload(payload[:0], h, values); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(payload)))
}

func FuzzAppendPayload(f *testing.F) {
	f.Add("dev", "type", 10.0, "x", "m", 1, []byte("\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	f.Add("", "", 0.0625, "values", "\x66values", 3, make([]byte, 48))
	f.Fuzz(func(t *testing.T, name, kind string, interval float64, sensor, units string, axes int, raw []byte) {
		h := acquisition.PayloadHeader{DeviceName: name, DeviceType: kind, IntervalMS: interval}
		for range uint(axes) % 5 {
			h.Sensors = append(h.Sensors, acquisition.Sensor{Name: sensor, Units: units})
		}
		var values []float64
		for ; len(raw) >= 8; raw = raw[8:] {
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		}
		payload, err := acquisition.AppendPayload(nil, h, values)
		if err != nil {
			return
		}
		if err := cbor.Wellformed(payload); err != nil {
			t.Fatalf("the library refuses %x: %v", payload, err)
		}
		document, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{IAT: 1, UID: "u", Key: testKey})
		if err != nil {
			t.Fatal(err)
		}
		d, err := acquisition.Decode(document, testKey)
		if err != nil {
			t.Fatal(err)
		}
		if d.Signature != acquisition.Valid || d.DeviceName != name || d.DeviceType != kind || d.IntervalMS != interval ||
			!slices.Equal(d.Sensors, h.Sensors) || !slices.Equal(d.Values, values) || d.Metadata["uid"] != "u" {
			t.Errorf("decodes to %+v", d)
		}
	})
}
