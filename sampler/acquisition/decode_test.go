package acquisition_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fxamacker/cbor/v2"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// jsonOf is an unsigned document with this payload.
func jsonOf(payload string) string {
	return `{"protected":{"ver":"v1","alg":"none"},"signature":"` + zeros + `","payload":` + payload + `}`
}

// withValues is an unsigned document of two axes with these values.
func withValues(values string) string {
	return jsonOf(`{"device_type":"T","interval_ms":10,"sensors":[{"name":"x","units":"m"},{"name":"y","units":"m"}],"values":` + values + `}`)
}

// toCBOR writes the same document as JavaScript's cbor would: definite
// lengths, its own order of keys, doubles or integers as they come.
func toCBOR(t testing.TB, text string) []byte {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	raw, err := cbor.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDecodeTakes(t *testing.T) {
	two := `{"device_type":"T","interval_ms":10,"sensors":[{"name":"x","units":"m"},{"name":"y","units":"m"}],"values":[[1,2],[3,4]]}`
	for name, text := range map[string]string{
		"plain":          jsonOf(two),
		"payload first":  `{"payload":` + two + `,"signature":"00","protected":{"alg":"none","ver":"v1"}}`,
		"number 0":       `{"protected":{"ver":"v1","alg":"none"},"signature":0,"payload":` + two + `}`,
		"values first":   jsonOf(`{"values":[[1,2],[3,4]],"sensors":[{"units":"m","name":"x"},{"units":"m","name":"y"}],"interval_ms":10,"device_type":"T"}`),
		"further keys":   `{"a":[{"b":null},1.5,"x",true,false,[]],"protected":{"ver":"v1","alg":"none","exp":1e9},"signature":"00","payload":{"structured_labels":[{"startIndex":0}],` + two[1:] + `}`,
		"white space":    " \n" + strings.NewReplacer(",", " ,\r\n ", ":", "\t: ", "[", " [ ", "]", " ] ").Replace(jsonOf(two)) + "\n",
		"null name":      jsonOf(`{"device_name":null,` + two[1:]),
		"odd metadata":   jsonOf(`{"metadata":{"n":1,"o":{"a":[]},"z":null,"uid":"u"},` + two[1:]),
		"metadata a lie": jsonOf(`{"metadata":[1],` + two[1:]),
		"escapes":        strings.Replace(jsonOf(two), `"device_type"`, `"device\u005ftype"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			for _, raw := range [][]byte{[]byte(text), toCBOR(t, text)} {
				d, err := acquisition.Decode(raw, testKey)
				if err != nil {
					t.Fatalf("%q: %v", raw, err)
				}
				if d.DeviceType != "T" || d.IntervalMS != 10 || d.Rows != 2 || !slices.Equal(d.Values, []float64{1, 2, 3, 4}) || d.Sensors[1] != (acquisition.Sensor{Name: "y", Units: "m"}) {
					t.Errorf("%q decodes to %+v", raw, d)
				}
				if d.Signature != acquisition.Unsigned || len(d.Warnings) > 0 || d.Size != int64(len(raw)) {
					t.Errorf("%q: %s, %q", raw, d.Signature, d.Warnings)
				}
				if !slices.Equal(d.Row(1), []float64{3, 4}) {
					t.Errorf("row 1 is %v", d.Row(1))
				}
				s, err := acquisition.Inspect(iotest.OneByteReader(bytes.NewReader(raw)), acquisition.InspectOptions{})
				if err != nil || fmt.Sprint(s) != fmt.Sprint(d.Summary) {
					t.Errorf("byte by byte: %+v, %v", s, err)
				}
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := jsonOf(`{"device_type":"T","interval_ms":10,"sensors":[{"name":"x","units":"m"}],"values":[1]}`)
	if _, err := acquisition.Decode([]byte(good), nil); err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) string {
		if !strings.Contains(good, from) {
			t.Fatalf("%s does not hold %s", good, from)
		}
		return strings.Replace(good, from, to, 1)
	}
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, text := range map[string]string{
		"another object":       `{"version":1}`,
		"a list":               `[1]`,
		"no object inside":     change(`{"ver":"v1","alg":"none"}`, `"v1"`),
		"version 2":            change(`"v1"`, `"v2"`),
		"version 1 as number":  change(`"v1"`, `1`),
		"unknown algorithm":    change(`"none"`, `"HS512"`),
		"no algorithm":         change(`,"alg":"none"`, ``),
		"iat as text":          change(`"none"`, `"none","iat":"now"`),
		"signature null":       change(`"`+zeros+`"`, `null`),
		"payload twice":        change(`"signature"`, `"payload":{"interval_ms":10,"sensors":[{"name":"x"}],"values":[]},"signature"`),
		"sensors twice":        change(`"values"`, `"sensors":[{"name":"x"}],"values"`),
		"no interval":          change(`"interval_ms":10,`, ``),
		"interval as text":     change(`10`, `"10"`),
		"negative interval":    change(`10`, `-10`),
		"no sensors":           change(`[{"name":"x","units":"m"}]`, `[]`),
		"sensors an object":    change(`[{"name":"x","units":"m"}]`, `{"name":"x"}`),
		"sensor a text":        change(`{"name":"x","units":"m"}`, `"x"`),
		"sensor without name":  change(`"name":"x",`, ``),
		"device type a number": change(`"T"`, `7`),
		"no values":            change(`,"values":[1]`, ``),
		"values null":          change(`[1]`, `null`),
		"values a number":      change(`[1]`, `1`),
		"value a text":         change(`[1]`, `["1"]`),
		"value true":           change(`[1]`, `[true]`),
		"value an object":      change(`[1]`, `[{}]`),
		"row of none":          change(`[1]`, `[[]]`),
		"rows too wide":        change(`[1]`, `[[1,2]]`),
		"rows uneven":          change(`[1]`, `[[1],[1,2]]`),
		"bare then nested":     change(`[1]`, `[1,[1]]`),
		"row in a row":         change(`[1]`, `[[[1]]]`),
		"number then binary":   change(`[1]`, `[1,"Ref-BINARY-i16"]`),
		"binary then number":   change(`[1]`, `["Ref-BINARY-i16",1]`),
		"binary of nothing":    change(`[1]`, `["Ref-BINARY-"]`),
		"bare for two":         change(`[{"name":"x","units":"m"}]`, `[{"name":"x","units":"m"},{"name":"y","units":"m"}]`),
		"nested too deep":      change(`"values"`, `"x":`+deep+`,"values"`),
		"too many sensors":     change(`{"name":"x","units":"m"}`, strings.Repeat(`{"name":"x"},`, 4096)+`{"name":"x"}`),
		"too wide a row":       change(`[1]`, `[[`+strings.Repeat(`1,`, 4096)+`1]]`),
		"long name":            change(`"x"`, `"`+strings.Repeat("x", 17<<10)+`"`),
		"many long texts":      change(`{"name":"x","units":"m"}`, strings.Repeat(`{"name":"`+strings.Repeat("x", 16000)+`"},`, 70)+`{"name":"x"}`),
		"much metadata":        change(`"values"`, `"metadata":{`+metadata(1100)+`},"values"`),
	} {
		for _, raw := range [][]byte{[]byte(text), twiceInCBOR(t, name, text)} {
			if raw == nil {
				continue
			}
			for _, decode := range []func() error{
				func() error { _, err := acquisition.Decode(raw, nil); return err },
				func() error { _, err := acquisition.Verify(raw, testKey); return err },
				func() error { _, err := acquisition.Validate(bytes.NewReader(raw), -1); return err },
			} {
				if err := decode(); !errors.Is(err, acquisition.ErrMalformed) {
					t.Errorf("%s: %.60q: got %v", name, raw, err)
				}
			}
		}
	}
}

// twiceInCBOR is the document in CBOR, but not where it has keys twice, which
// the detour over a map would hide.
func twiceInCBOR(t *testing.T, name, text string) []byte {
	if strings.HasSuffix(name, "twice") {
		return nil
	}
	return toCBOR(t, text)
}

func metadata(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":"v",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestDecodeRefusesBadJSON(t *testing.T) {
	for _, values := range []string{
		`[[01,2]]`, `[[1.,2]]`, `[[.5,2]]`, `[[+1,2]]`, `[[1e,2]]`, `[[1e+,2]]`, `[[-,2]]`, `[[0x1,2]]`, `[[1 2]]`, `[[1,2,]]`, `[[1,2],]`,
		`[,[1,2]]`, `[[1,2]`, `[[1,2}]`, `[[NaN,2]]`, `[[Infinity,2]]`, `[[nul,2]]`, `[[1,2]]]`, `[[1,2]]}}x`, `[["\x"]]`, "[\"a\nb\"]",
		`[[` + strings.Repeat("1", 2000) + `,2]]`, `[['1',2]]`, `[[1,2]] /* two */`, `[[1--1,2]]`, `[[1.5.5,2]]`, `[[0.1e5e5,2]]`,
	} {
		if _, err := acquisition.Decode([]byte(withValues(values)), nil); !errors.Is(err, acquisition.ErrMalformed) {
			t.Errorf("%.60s: got %v", values, err)
		}
	}
	for _, text := range []string{
		``, ` `, `{`, `{"`, "\xef\xbb\xbf" + withValues(`[]`), `{"a" 1}`, `{a:1}`, `{"a":1,}`, `{"a":"` + "\x01" + `"}`, `{"a":tru}`, `{"protected":"\ud800"`, strings.Replace(withValues(`[]`), zeros, "\x11"+zeros[1:], 1), strings.Replace(withValues(`[]`), zeros, "\xff"+zeros[1:], 1),
		strings.Replace(withValues(`[]`), `"T"`, "\"\xff\"", 1), strings.Replace(withValues(`[]`), `"T"`, `"\q"`, 1), strings.Replace(withValues(`[]`), `{"`, `{"x":"\q","`, 1), strings.Replace(withValues(`[]`), `{"`, `{"x":"\u12g4","`, 1), `{"x":"\u12`, withValues(`[]`) + `x`, withValues(`[]`) + withValues(`[]`),
	} {
		if _, err := acquisition.Decode([]byte(text), nil); !errors.Is(err, acquisition.ErrMalformed) {
			t.Errorf("%.60q: got %v", text, err)
		}
	}
}

func TestDecodeRefusesBadCBOR(t *testing.T) {
	good := toCBOR(t, withValues(`[[1,2]]`))
	values := append([]byte("\x66values"), 0x81, 0x82)
	place := bytes.Index(good, values) + len(values)
	front := func(tail ...byte) []byte { return append(bytes.Clone(good[:place]), tail...) }
	for name, raw := range map[string][]byte{
		"more behind":       append(bytes.Clone(good), 0),
		"tag":               append([]byte{0xd9, 0xd9, 0xf7}, good...),
		"tagged value":      front(0xc1, 0x01, 0x02),
		"byte string":       front(0x41, 0x01, 0x02),
		"reserved":          front(0x1c, 0x01),
		"endless number":    front(0x1f, 0x01),
		"break":             front(0xff, 0x01),
		"true":              front(0xf5, 0x01),
		"cut double":        front(0xfb, 0x00),
		"huge text":         append([]byte{0xa1, 0x7b}, bytes.Repeat([]byte{0x7f}, 8)...),
		"huge skipped":      append([]byte("\xa1\x61x\x5b"), bytes.Repeat([]byte{0x3f}, 8)...),
		"huge map":          append([]byte("\xa1\x61x\xbb"), bytes.Repeat([]byte{0xff}, 8)...),
		"huge array":        []byte("\xa1\x61x\x9b\x3f\xff\xff\xff\xff\xff\xff\xff"),
		"deep":              append([]byte("\xa1\x61x"), bytes.Repeat([]byte{0x81}, 100_000)...),
		"deep indefinite":   append([]byte("\xa1\x61x"), bytes.Repeat([]byte{0x9f}, 100_000)...),
		"number as key":     []byte("\xa1\x01\x02"),
		"odd indefinite":    []byte("\xa1\x61x\xbf\x01\xff"),
		"text in pieces":    []byte("\xa1\x7f\x41x\xff\x01"),
		"pieces in pieces":  []byte("\xa1\x7f\x7f\x61x\xff\xff\x01"),
		"empty map":         {0xa0},
		"indefinite no end": {0xbf},
	} {
		if _, err := acquisition.Decode(raw, nil); !errors.Is(err, acquisition.ErrMalformed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Every form that a peer may choose is taken: any width, indefinite lengths
// everywhere, texts in pieces.
func TestDecodeTakesAnyCBOR(t *testing.T) {
	raw := slices.Concat(
		[]byte("\xbf\x69protected\xbf\x63ver\x7f\x61v\x611\xff\x63alg\x64none\xff"),
		[]byte("\x7f\x63sig\x66nature\xff\x00\x67payload\xbf\x6bdevice_type\x60\x6binterval_ms\x1b\x00\x00\x00\x00\x00\x00\x00\x0a"),
		[]byte("\x61x\x5f\x41a\x42bc\xff\x61y\xbf\x01\x9f\xff\x02\xf4\xff"),
		[]byte("\x67sensors\x9f\xbf\x64name\x61a\xff\xff\x66values\x9f\x9f\x01\xff"),
		[]byte("\x81\x18\x02\x81\x19\x00\x03\x81\x1a\x00\x00\x00\x04\x81\x1b\x00\x00\x00\x00\x00\x00\x00\x05\x81\x3b\xff\xff\xff\xff\xff\xff\xff\xff"),
		[]byte("\x81\xf9\x00\x01\x81\xf9\x04\x00\x81\xf9\x80\x00\x81\xfa\x3f\x80\x00\x00\x81\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00\xff\xff\xff"),
	)
	d, err := acquisition.Decode(raw, nil)
	want := []float64{1, 2, 3, 4, 5, -0x1p64, 0x1p-24, 0x1p-14, 0, 1, 1.5}
	if err != nil || !slices.Equal(d.Values, want) || d.Rows != int64(len(want)) {
		t.Errorf("got %+v, %v", d, err)
	}
	if want := []string{"device_type is missing", "a sensor has no units"}; !slices.Equal(d.Warnings, want) {
		t.Errorf("warnings %q, want %q", d.Warnings, want)
	}
}

func TestHalfPrecision(t *testing.T) {
	for h := range 1 << 16 {
		bits := binary.BigEndian.AppendUint16([]byte{0xf9}, uint16(h))
		var want float64
		if err := cbor.Unmarshal(bits, &want); err != nil {
			t.Fatal(err)
		}
		raw := slices.Concat([]byte("\xa3\x69protected\xa2\x63ver\x62v1\x63alg\x64none\x69signature\x00\x67payload\xa3\x6binterval_ms\x01\x67sensors\x81\xa1\x64name\x61a\x66values\x81"), bits)
		d, err := acquisition.Decode(raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Values[0]; math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%#04x is %v, want %v", h, got, want)
		}
	}
}

func TestNotFiniteWarns(t *testing.T) {
	for _, raw := range [][]byte{[]byte(withValues(`[[1,2],[3,null],[1e999,null]]`)), toCBOR(t, withValues(`[[1,2],[3,null],[null,null]]`))} {
		d, err := acquisition.Decode(raw, nil)
		if err != nil || d.Rows != 3 || finiteValues(d.Values) != 3 {
			t.Fatalf("got %+v, %v", d, err)
		}
		if want := []string{"3 values are not finite, first in row 1"}; !slices.Equal(d.Warnings, want) {
			t.Errorf("warnings %q, want %q", d.Warnings, want)
		}
	}
}

func finiteValues(values []float64) (n int) {
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			n++
		}
	}
	return n
}

func TestWarnings(t *testing.T) {
	head := `{"device_type":"T","interval_ms":0,"sensors":[{"name":"x","units":"m"},{"name":"x","units":"m"}],"values":`
	dated := func(iat string) string {
		return strings.Replace(withValues(`[[1,2]]`), `"none"`, `"none","iat":`+iat, 1)
	}
	for _, c := range []struct {
		text string
		want []string
	}{
		{jsonOf(head + `[[1,2],[1,2]]}`), []string{"interval_ms is 0, yet there are 2 rows", "two sensors have the same name"}},
		{withValues(`[]`), []string{"there are no values"}},
		{dated(`1564128599.5`), nil},
		{dated(`1564128599000`), []string{"iat is 1.564128599e+12: milliseconds, where seconds are meant"}},
		{dated(`3600`), []string{"iat is 3600, which is no date of a sample"}},
		{strings.ReplaceAll(withValues(`[[1,2]]`), `"name":"x"`, `"name":""`), []string{"sensor 1 has no name"}},
	} {
		d, err := acquisition.Decode([]byte(c.text), nil)
		if err != nil || !slices.Equal(d.Warnings, c.want) {
			t.Errorf("%s: warnings %q, %v, want %q", c.text, d.Warnings, err, c.want)
		}
	}
}

func TestSignatureStates(t *testing.T) {
	signed, err := acquisition.AppendJSON(nil, oneAxis(), []float64{1}, acquisition.Envelope{Key: testKey})
	if err != nil {
		t.Fatal(err)
	}
	d, err := acquisition.Decode(signed, nil)
	if err != nil || d.Signature != acquisition.Unchecked {
		t.Fatalf("without a key: %v, %v", d.Signature, err)
	}
	sum := d.SignatureText
	for name, c := range map[string]struct {
		text string
		want acquisition.Signature
	}{
		"as it is":          {string(signed), acquisition.Valid},
		"new line behind":   {string(signed) + "\n", acquisition.Invalid},
		"space inside":      {strings.Replace(string(signed), ":", ": ", 1), acquisition.Invalid},
		"zeros":             {strings.Replace(string(signed), sum, zeros, 1), acquisition.Invalid},
		"short":             {strings.Replace(string(signed), sum, sum[:62], 1), acquisition.Invalid},
		"upper case":        {strings.Replace(string(signed), sum, strings.ToUpper(sum), 1), acquisition.Invalid},
		"first escaped":     {strings.Replace(string(signed), sum, fmt.Sprintf(`\u%04x`, sum[0])+sum[1:], 1), acquisition.Invalid},
		"control inside":    {strings.Replace(string(signed), sum, "\u007f"+sum[1:], 1), acquisition.Invalid},
		"a number":          {strings.Replace(string(signed), `"`+sum+`"`, "0", 1), acquisition.Invalid},
		"alg says unsigned": {strings.Replace(string(signed), "HS256", "none", 1), acquisition.Unsigned},
	} {
		if got, err := acquisition.Verify([]byte(c.text), testKey); err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	unfilled, err := acquisition.Decode([]byte(strings.Replace(string(signed), sum, zeros, 1)), nil)
	if err != nil || unfilled.Signature != acquisition.Invalid || len(unfilled.Warnings) != 1 {
		t.Errorf("zeros without a key: %+v, %v", unfilled.Summary, err)
	}
}

// A name made of the signature's text does not distract the verifier.
func TestSignatureIsFoundByPlace(t *testing.T) {
	h := oneAxis()
	for range 3 { // name the device after the signature of the document before
		raw, err := acquisition.AppendJSON(nil, h, []float64{1}, acquisition.Envelope{Key: testKey})
		if err != nil {
			t.Fatal(err)
		}
		d, err := acquisition.Decode(raw, testKey)
		if err != nil || d.Signature != acquisition.Valid {
			t.Fatalf("%s: %v, %v", raw, d.Signature, err)
		}
		h.DeviceName = d.SignatureText
	}
	inner := `{"signature":"` + zeros + `"}`
	text := `{"a":` + inner + `,"payload":{"signature":"` + zeros + `","interval_ms":1,"sensors":[{"name":"x"}],"values":[]},"protected":{"ver":"v1","alg":"HS256","signature":1},"signature":"` + strings.Repeat("a", 64) + `"}`
	if got, err := acquisition.Verify([]byte(text), testKey); err != nil || got != acquisition.Invalid {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestBinarySamples(t *testing.T) {
	values := []float64{0, 1, 2, 3, 100, 127}
	for tag, size := range map[string]int{"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "f32": 4} {
		head := toCBOR(t, withValues(`["Ref-BINARY-`+tag+`   "]`))
		raw := bytes.Clone(head)
		for _, v := range values {
			number := uint32(v)
			if tag == "f32" {
				number = math.Float32bits(float32(v))
			}
			raw = append(raw, binary.LittleEndian.AppendUint32(nil, number)[:size]...)
		}
		d, err := acquisition.Decode(raw, nil)
		if err != nil || d.Binary != tag || d.Rows != 3 || !slices.Equal(d.Values, values) {
			t.Errorf("%s: got %+v, %v", tag, d, err)
		}
		if _, err := acquisition.Decode(raw[:len(raw)-1], nil); !errors.Is(err, acquisition.ErrMalformed) {
			t.Errorf("%s: half a row: %v", tag, err)
		}
		all := append(bytes.Clone(head), bytes.Repeat([]byte{0xff}, 2*size)...)
		d, err = acquisition.Decode(all, nil)
		want := math.Exp2(float64(8*size)) - 1
		if tag[0] == 'i' {
			want = -1
		}
		if err != nil || tag != "f32" && d.Values[0] != want || tag == "f32" && !math.IsNaN(d.Values[0]) {
			t.Errorf("%s: got %+v, %v, want %v", tag, d, err, want)
		}
	}
	image := withValues(`["Ref-BINARY-image/jpeg (4 bytes) abcd"]`)
	for _, raw := range [][]byte{[]byte(image), toCBOR(t, image), append(toCBOR(t, image), 1, 2, 3, 4)} {
		d, err := acquisition.Decode(raw, nil)
		if err != nil || d.Binary != "image/jpeg (4 bytes) abcd" || d.Rows != 0 || d.Size != int64(len(raw)) || len(d.Warnings) != 0 {
			t.Errorf("got %+v, %v", d, err)
		}
	}
}

func TestInspectHandsOnErrors(t *testing.T) {
	raw := []byte(withValues(`[[1,2],[3,4]]`))
	broken := errors.New("card is gone")
	_, err := acquisition.Validate(io.MultiReader(bytes.NewReader(raw[:150]), iotest.ErrReader(broken)), -1)
	if !errors.Is(err, broken) || errors.Is(err, acquisition.ErrMalformed) {
		t.Errorf("got %v, want only %v", err, broken)
	}
	rows := 0
	_, err = acquisition.Inspect(bytes.NewReader(raw), acquisition.InspectOptions{Rows: func([]float64) error { rows++; return broken }})
	if !errors.Is(err, broken) || rows != 1 {
		t.Errorf("got %v after %d rows", err, rows)
	}
	if _, err := acquisition.Validate(bytes.NewReader(raw), 100<<20); !errors.Is(err, acquisition.ErrMalformed) {
		t.Errorf("100 MiB: got %v", err)
	}
	if _, err := acquisition.Validate(bytes.NewReader(raw), 100<<20-1); err != nil {
		t.Error(err)
	}
	if _, err := acquisition.Decode(make([]byte, acquisition.MaxDecode+1), nil); !errors.Is(err, acquisition.ErrMalformed) {
		t.Errorf("too large for Decode: got %v", err)
	}
}

// repeated gives a text again and again, n times in all.
type repeated struct {
	text string
	n    int
	rest string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n, r.rest = r.n-1, r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// A document of 16 MB is validated, its signature computed, in memory that is
// a small part of it; one of more than 100 MiB is refused however it comes.
func TestLargeDocuments(t *testing.T) {
	head := strings.TrimSuffix(strings.Replace(withValues(`[[1,2]]`), `"none"`, `"HS256"`, 1), "]}}")
	head = strings.Replace(head, zeros, strings.Repeat("a", 64), 1)
	rows := strings.Repeat(",[-1.25,2.5]", 1000)
	text := io.MultiReader(strings.NewReader(head), &repeated{text: rows, n: 1333}, strings.NewReader("]}}"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := acquisition.Inspect(text, acquisition.InspectOptions{Key: testKey})
	runtime.ReadMemStats(&after)
	if err != nil || s.Rows != 1_333_001 || s.Signature != acquisition.Invalid {
		t.Fatalf("got %+v, %v", s, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes allocated for a document of %d", got, s.Size)
	}
	huge := io.MultiReader(strings.NewReader("\xa1\x61x\x5b\x00\x00\x00\x01\x00\x00\x00\x00"), &repeated{text: rows, n: math.MaxInt32})
	if _, err := acquisition.Validate(huge, -1); !errors.Is(err, acquisition.ErrMalformed) {
		t.Errorf("an endless document: %v", err)
	}
}

// The border is the same whether the length is known or found out.
func TestLargestDocument(t *testing.T) {
	head, tail, _ := strings.Cut(withValues(`[[1,2],[3,4]]`), "[[1,2]")
	head += "[[1,2]"
	blanks := acquisition.MaxDocument - len(head) - len(tail)
	for more, good := range []bool{true, false, false} {
		text := io.MultiReader(strings.NewReader(head), &repeated{text: strings.Repeat(" ", 1<<16), n: (blanks + more) >> 16},
			strings.NewReader(strings.Repeat(" ", (blanks+more)&0xffff)), strings.NewReader(tail))
		s, err := acquisition.Validate(text, -1)
		if (err == nil) != good || good && s.Size != acquisition.MaxDocument {
			t.Errorf("%d bytes: got %+v, %v, want good %v", acquisition.MaxDocument+more, s, err, good)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	values := noise(625)
	payload, err := acquisition.AppendPayload(nil, threeAxes(), values)
	if err != nil {
		b.Fatal(err)
	}
	e := acquisition.Envelope{Key: testKey}
	binary, err := acquisition.AppendEnvelope(nil, payload, e)
	if err != nil {
		b.Fatal(err)
	}
	text, err := acquisition.AppendJSON(nil, threeAxes(), values, e)
	if err != nil {
		b.Fatal(err)
	}
	for name, raw := range map[string][]byte{"cbor": binary, "json": text} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := acquisition.Decode(raw, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/verify", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if got, err := acquisition.Verify(raw, testKey); err != nil || got != acquisition.Valid {
					b.Fatal(got, err)
				}
			}
		})
	}
}

func addDocuments(f *testing.F) {
	for _, text := range []string{withValues(`[[1,2],[3e5,-0.5]]`), withValues(`["Ref-BINARY-i16"]`), withValues(`[[1,null]]`)} {
		f.Add([]byte(text))
		f.Add(toCBOR(f, text))
		f.Add(append(toCBOR(f, text), 1, 2, 3, 4))
	}
	payload, err := acquisition.AppendPayload(nil, threeAxes(), noise(3))
	if err != nil {
		f.Fatal(err)
	}
	document, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: testKey, UID: "u", IAT: 1795297108})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document)
}

// Whatever comes in: no panic, the stream agrees with the whole, what decodes
// is well-formed for the libraries, and what is finite can be written again.
func FuzzDecode(f *testing.F) {
	addDocuments(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := acquisition.Decode(raw, testKey)
		s, streamErr := acquisition.Inspect(iotest.HalfReader(bytes.NewReader(raw)), acquisition.InspectOptions{Key: testKey})
		if (err == nil) != (streamErr == nil) || fmt.Sprint(s) != fmt.Sprint(d.Summary) {
			t.Fatalf("the whole is %+v, %v; as a stream %+v, %v", d.Summary, err, s, streamErr)
		}
		if err != nil {
			if !errors.Is(err, acquisition.ErrMalformed) {
				t.Fatalf("an error of nobody: %v", err)
			}
			return
		}
		if len(d.Values) != int(d.Rows)*len(d.Sensors) {
			t.Fatalf("%d values, %d rows of %d", len(d.Values), d.Rows, len(d.Sensors))
		}
		if d.Encoding == acquisition.JSON && d.Binary == "" && !json.Valid(raw) {
			t.Fatalf("the library refuses %q", raw)
		}
		var rest cbor.RawMessage
		if d.Encoding == acquisition.CBOR {
			if _, err := cbor.UnmarshalFirst(raw, &rest); err != nil {
				t.Fatalf("the library refuses %x: %v", raw, err)
			}
		}
		if finiteValues(d.Values) < len(d.Values) {
			return
		}
		payload, err := acquisition.AppendPayload(nil, d.PayloadHeader, d.Values)
		if err != nil {
			t.Fatal(err)
		}
		document, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: testKey})
		if err != nil {
			t.Fatal(err)
		}
		again, err := acquisition.Decode(document, testKey)
		if err != nil || again.Signature != acquisition.Valid || !slices.Equal(again.Values, d.Values) {
			t.Fatalf("written again: %+v, %v", again, err)
		}
	})
}

// FuzzVerify changes one byte of a good document: it never holds any more.
func FuzzVerify(f *testing.F) {
	payload, err := acquisition.AppendPayload(nil, threeAxes(), noise(3))
	if err != nil {
		f.Fatal(err)
	}
	document, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: testKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint(0), byte(1))
	f.Fuzz(func(t *testing.T, place uint, change byte) {
		raw := bytes.Clone(document)
		raw[place%uint(len(raw))] ^= change
		got, err := acquisition.Verify(raw, testKey)
		if holds := err == nil && got == acquisition.Valid; holds != (change == 0) {
			t.Errorf("byte %d changed by %#x: %v, %v", place%uint(len(raw)), change, got, err)
		}
	})
}
