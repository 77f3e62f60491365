package acquisition_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// A vector is a document of a peer, with what it was made of.
type vector struct {
	ID       string  `json:"id"`
	Encoding string  `json:"encoding"`
	Key      *string `json:"hmac_key"`
	IAT      int64   `json:"iat"`
	Inputs   struct {
		DeviceName string               `json:"device_name"`
		DeviceType string               `json:"device_type"`
		IntervalMS float64              `json:"interval_ms"`
		Sensors    []acquisition.Sensor `json:"sensors"`
		ValueType  string               `json:"value_type"`
		Values     []json.RawMessage    `json:"values"`
	} `json:"inputs"`
	CBOR          string `json:"cbor_hex"`
	JSON          string `json:"json_text"`
	Signature     string `json:"signature"`
	EffectiveKey  string `json:"effective_hmac_key"`
	HoldsWithText *bool  `json:"valid_with_text_key"`
}

// vectors reads them all; the negative one says so itself.
func vectors(t testing.TB) []vector {
	t.Helper()
	folder := sharedFolder(t, "vectors", "edge-impulse")
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(names) < 19 {
		t.Fatalf("%d vectors in %s, %v", len(names), folder, err)
	}
	list := make([]vector, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func (v vector) raw(t testing.TB) []byte {
	t.Helper()
	if v.CBOR == "" {
		return []byte(v.JSON)
	}
	raw, err := hex.DecodeString(v.CBOR)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (v vector) key() []byte {
	if v.Key == nil {
		return nil
	}
	return []byte(*v.Key)
}

func (v vector) header() acquisition.PayloadHeader {
	in := v.Inputs
	return acquisition.PayloadHeader{DeviceName: in.DeviceName, DeviceType: in.DeviceType, IntervalMS: in.IntervalMS, Sensors: in.Sensors}
}

// values flattens rows and bare values alike.
func (v vector) values(t testing.TB) []float64 {
	t.Helper()
	var flat []float64
	for _, raw := range v.Inputs.Values {
		var row []float64
		if raw[0] != '[' {
			raw = slices.Concat([]byte("["), raw, []byte("]"))
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Fatal(err)
		}
		flat = append(flat, row...)
	}
	return flat
}

func (v vector) negative() bool { return v.HoldsWithText != nil && !*v.HoldsWithText }

func TestVectorsVerifyAndDecode(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			raw := v.raw(t)
			want := acquisition.Valid
			switch {
			case v.Key == nil:
				want = acquisition.Unsigned
			case v.negative():
				want = acquisition.Invalid
			}
			if got, err := acquisition.Verify(raw, v.key()); err != nil || got != want {
				t.Errorf("signature is %q, %v, want %q", got, err, want)
			}
			d, err := acquisition.Decode(raw, v.key())
			if err != nil {
				t.Fatal(err)
			}
			streamed, err := acquisition.Inspect(bytes.NewReader(raw), acquisition.InspectOptions{Key: v.key()})
			if err != nil || streamed.Signature != want || streamed.Rows != d.Rows || streamed.Size != int64(len(raw)) {
				t.Errorf("as a stream: %+v, %v", streamed, err)
			}
			if d.SignatureText != v.Signature || d.IssuedAt != float64(v.IAT) && !v.negative() {
				t.Errorf("signature %s, iat %v", d.SignatureText, d.IssuedAt)
			}
			if v.negative() {
				if len(d.Warnings) == 0 || !strings.Contains(d.Warnings[0], "linux-sdk-go") {
					t.Errorf("warnings %q do not name the cause", d.Warnings)
				}
				return // has no inputs of its own
			}
			checkInputs(t, v, d)
		})
	}
}

func checkInputs(t *testing.T, v vector, d acquisition.Document) {
	t.Helper()
	want := v.header()
	if d.DeviceName != want.DeviceName || d.DeviceType != want.DeviceType || d.IntervalMS != want.IntervalMS || !slices.Equal(d.Sensors, want.Sensors) {
		t.Errorf("got  %+v\nwant %+v", d.PayloadHeader, want)
	}
	values := v.values(t)
	if v.ID == "d01-docs-cbor" { // the documentation prints decimals, its bytes are singles
		for i := range values {
			values[i] = float64(float32(values[i]))
		}
	}
	if !slices.Equal(d.Values, values) {
		t.Errorf("got  %v\nwant %v", d.Values, values)
	}
	if int(d.Rows)*len(want.Sensors) != len(values) {
		t.Errorf("%d rows", d.Rows)
	}
}

// The bytes of the vendor's C SDK come out of its inputs. Not compared as a
// whole: c09 has a protected.exp that only the SDK's sample context writes;
// d01 was printed by hand (integer interval, 1.25 as half but -9.81 as
// single from decimals); n02 is another library's layout (definite array,
// integer interval); b01 stands behind its document.
func TestVectorsAreWhatIsWritten(t *testing.T) {
	compared := 0
	for _, v := range vectors(t) {
		if !strings.HasPrefix(v.ID, "c") {
			continue
		}
		t.Run(v.ID, func(t *testing.T) {
			compared++
			want := v.raw(t)
			payload := encodeVector(t, v)
			if !bytes.HasSuffix(want, payload) {
				t.Fatalf("payload\n%x\nis not the end of\n%x", payload, want)
			}
			e := acquisition.Envelope{IAT: v.IAT}
			if v.Key != nil {
				e.Key = []byte(v.EffectiveKey) // c13: the SDK's cut of the key
			}
			got, err := acquisition.AppendEnvelope(nil, payload, e)
			if err != nil {
				t.Fatal(err)
			}
			if v.ID == "c09-alg-none" {
				exp := append([]byte("\x63exp\x1a"), 0x5d, 0x3a, 0xb1, 0x48)
				want = bytes.Replace(want, exp, nil, 1)
				want[11]-- // protected has a pair less
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
		})
	}
	if compared != 10 {
		t.Errorf("%d vectors compared, want 10", compared)
	}
}

func encodeVector(t *testing.T, v vector) []byte {
	t.Helper()
	values := v.values(t)
	var payload []byte
	var err error
	if v.Inputs.ValueType == "int16" {
		samples := make([]int16, len(values))
		for i, x := range values {
			if samples[i] = int16(x); float64(samples[i]) != x {
				t.Fatalf("%v is no int16", x)
			}
		}
		payload, err = acquisition.AppendPayloadInt16(nil, v.header(), samples)
	} else {
		payload, err = acquisition.AppendPayload(nil, v.header(), values)
	}
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// d01 differs from what is written here in its interval alone, once its
// decimals are the singles that they were.
func TestDocumentationExample(t *testing.T) {
	for _, v := range vectors(t) {
		if v.ID != "d01-docs-cbor" {
			continue
		}
		values := v.values(t)
		for i := range values {
			values[i] = float64(float32(values[i]))
		}
		payload, err := acquisition.AppendPayload(nil, v.header(), values)
		if err != nil {
			t.Fatal(err)
		}
		payload = bytes.Replace(payload, []byte("interval_ms\xf9\x49\x00"), []byte("interval_ms\x0a"), 1)
		if want := v.raw(t); !bytes.HasSuffix(want, payload) {
			t.Errorf("payload\n%x\nis not the end of\n%x", payload, want)
		}
	}
}

// The vendor's JavaScript client writes the same JSON; only one axis is flat
// here and nested there (j04).
func TestJSONVectorsAreWhatIsWritten(t *testing.T) {
	compared := 0
	for _, v := range vectors(t) {
		if !strings.HasPrefix(v.ID, "j") {
			continue
		}
		got, err := acquisition.AppendJSON([]byte("before"), v.header(), v.values(t), acquisition.Envelope{IAT: v.IAT, Key: v.key()})
		if err != nil {
			t.Fatal(err)
		}
		got = bytes.TrimPrefix(got, []byte("before"))
		if len(v.Inputs.Sensors) > 1 {
			if string(got) != v.JSON {
				t.Errorf("%s: got %s\nwant %s", v.ID, got, v.JSON)
			}
		} else {
			d, err := acquisition.Decode(got, v.key())
			if err != nil || d.Signature != acquisition.Valid || !slices.Equal(d.Values, v.values(t)) {
				t.Errorf("%s: %+v, %v", v.ID, d, err)
			}
			if want := `"values":[20,20.1,-0.5,1e+21,1e-7]`; !bytes.Contains(got, []byte(want)) {
				t.Errorf("%s: %s is without %s", v.ID, got, want)
			}
		}
		compared++
	}
	if compared != 5 {
		t.Errorf("%d vectors compared, want 5", compared)
	}
}

func TestChangedVectorsDoNotHold(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Key == nil || v.negative() {
			continue
		}
		raw := v.raw(t)
		for i := range raw {
			changed := bytes.Clone(raw)
			changed[i] ^= 1
			if got, err := acquisition.Verify(changed, v.key()); err == nil && got == acquisition.Valid {
				t.Errorf("%s: holds although byte %d was changed", v.ID, i)
			}
		}
		if got, err := acquisition.Verify(raw, append(v.key(), 'x')); err != nil || got == acquisition.Valid && len(v.key()) < 32 {
			t.Errorf("%s: %v, %v with another key", v.ID, got, err)
		}
		for cut := range raw {
			if _, err := acquisition.Decode(raw[:cut], nil); err == nil && v.ID[0] != 'b' {
				t.Errorf("%s: %d of %d bytes decode", v.ID, cut, len(raw))
			}
		}
	}
}

func TestRecordingsDecode(t *testing.T) {
	folder := sharedFolder(t, "data", "recordings")
	names, err := filepath.Glob(filepath.Join(folder, "t*", "*.json"))
	if err != nil || len(names) != 54 {
		t.Fatalf("%d recordings, %v", len(names), err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := acquisition.Decode(raw, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Signature != acquisition.Unchecked || d.Rows == 0 || len(d.Warnings) != 0 || math.IsNaN(d.Row(int(d.Rows) - 1)[0]) {
			t.Errorf("%s: %+v", name, d.Summary)
		}
	}
}
