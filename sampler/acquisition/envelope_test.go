package acquisition_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

var testKey = []byte("fed53116f20684c067774ebf9e7bcbdc")

// misleading is a header whose texts look like keys and signatures.
func misleading() acquisition.PayloadHeader {
	return acquisition.PayloadHeader{
		DeviceName: strings.Repeat("0", 64),
		DeviceType: "signature",
		IntervalMS: 9.615384615384615,
		Sensors: []acquisition.Sensor{
			{Name: "values", Units: "\x66values\x00"}, {Name: "payload", Units: strings.Repeat("é", 200)}, {Name: "metadata", Units: ""},
		},
	}
}

func TestEnvelope(t *testing.T) {
	h, values := misleading(), []float64{1, 2.5, -9.81, 0, 1e300, math.Copysign(0, -1)}
	payload, err := acquisition.AppendPayload(nil, h, values)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []acquisition.Envelope{
		{}, {IAT: 1}, {UID: "a"}, {Key: testKey}, {IAT: 1795297108, UID: strings.Repeat("u", 300), Key: testKey}, {IAT: -1, Key: testKey},
	} {
		t.Run(fmt.Sprintf("iat %d, uid %.3s, key %.3s", e.IAT, e.UID, e.Key), func(t *testing.T) {
			raw, err := acquisition.AppendEnvelope([]byte("before"), payload, e)
			if err != nil {
				t.Fatal(err)
			}
			raw = bytes.TrimPrefix(raw, []byte("before"))
			want := acquisition.Unsigned
			if e.Key != nil {
				want = acquisition.Valid
			}
			d, err := acquisition.Decode(raw, testKey)
			if err != nil {
				t.Fatal(err)
			}
			if d.Signature != want || d.IssuedAt != float64(e.IAT) || d.Metadata["uid"] != e.UID || d.Rows != 2 || !slices.Equal(d.Values, values) {
				t.Errorf("got %+v", d)
			}
			if d.DeviceName != h.DeviceName || d.DeviceType != h.DeviceType || d.IntervalMS != h.IntervalMS || !slices.Equal(d.Sensors, h.Sensors) {
				t.Errorf("got %+v", d.PayloadHeader)
			}
			checkKeyOrder(t, raw, e.UID != "")
			s, err := acquisition.NewSigner(e.Key)
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.AppendEnvelope(nil, payload, e.IAT, e.UID)
			if err == nil {
				again, err = s.AppendEnvelope(again[:0], payload, e.IAT, e.UID)
			}
			if err != nil || !bytes.Equal(again, raw) {
				t.Errorf("the same input gave other bytes, %v", err)
			}
		})
	}
}

// checkKeyOrder reads raw with the library and finds values last.
func checkKeyOrder(t *testing.T, raw []byte, marked bool) {
	t.Helper()
	var whole struct {
		Payload cbor.RawMessage `cbor:"payload"`
	}
	if err := cbor.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	want := []string{"device_name", "device_type", "interval_ms", "sensors", "values"}
	if marked {
		want = slices.Insert(want, 4, "metadata")
	}
	rest := whole.Payload[1:]
	if int(whole.Payload[0])-0xa0 != len(want) {
		t.Errorf("payload begins with %#x, want %d pairs", whole.Payload[0], len(want))
	}
	for _, key := range want {
		var got string
		var skipped cbor.RawMessage
		var err error
		if rest, err = cbor.UnmarshalFirst(rest, &got); err != nil || got != key {
			t.Fatalf("key %q, %v, want %q", got, err, key)
		}
		if rest, err = cbor.UnmarshalFirst(rest, &skipped); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	payload, err := acquisition.AppendPayload(nil, misleading(), []float64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := cbor.Marshal(map[string]any{"device_type": "x", "interval_ms": 1.5, "sensors": []any{}, "values": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	extra := bytes.Clone(payload)
	extra[0]++ // one pair more than there is
	for name, p := range map[string][]byte{
		"nothing": nil, "foreign": foreign, "cut": payload[:len(payload)-1], "cut head": payload[:100], "pair count": extra,
		"not a map": payload[1:], "shouting": bytes.Replace(payload, []byte("\x67sensors"), []byte("\x67SENSORS"), 1),
	} {
		if got, err := acquisition.AppendEnvelope([]byte("x"), p, acquisition.Envelope{UID: "u"}); err == nil || string(got) != "x" {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
	for i := range payload[:len(payload)-12] { // no cut may panic
		if _, err := acquisition.AppendEnvelope(nil, payload[:i], acquisition.Envelope{}); err == nil {
			t.Errorf("%d bytes pass", i)
		}
	}
	if _, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: []byte{}}); err == nil {
		t.Error("an empty key passes")
	}
	if _, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{UID: "\xff"}); err == nil {
		t.Error("a uid that is not UTF-8 passes")
	}
	if _, err := acquisition.Verify(payload, []byte{}); err == nil {
		t.Error("an empty key verifies")
	}
}

// A Studio key looks like hexadecimal and is text all the same.
func TestKeyIsText(t *testing.T) {
	payload, err := acquisition.AppendPayload(nil, misleading(), []float64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	upper := bytes.ToUpper(testKey)
	raw, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: upper})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := acquisition.Verify(raw, testKey); err != nil || got != acquisition.Invalid {
		t.Errorf("the key in other case: %v, %v", got, err)
	}
	long := append(bytes.Clone(upper), "and a tail"...)
	if raw, err = acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: long}); err != nil {
		t.Fatal(err)
	}
	if got, err := acquisition.Verify(raw, upper); err != nil || got != acquisition.Invalid {
		t.Errorf("a long key was cut: %v, %v", got, err)
	}
	if got, err := acquisition.Verify(raw, long); err != nil || got != acquisition.Valid {
		t.Errorf("a long key: %v, %v", got, err)
	}
}

func TestAppendJSON(t *testing.T) {
	h, values := misleading(), []float64{1, 2.5, -9.81, 0, 1e300, 1e-7}
	h.DeviceType = "<x> \"y\" \n"
	for _, e := range []acquisition.Envelope{{}, {UID: "a\"b"}, {Key: testKey, IAT: 5, UID: "x"}} {
		raw, err := acquisition.AppendJSON(nil, h, values, e)
		if err != nil {
			t.Fatal(err)
		}
		want := acquisition.Unsigned
		if e.Key != nil {
			want = acquisition.Valid
		}
		d, err := acquisition.Decode(raw, testKey)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if d.Encoding != acquisition.JSON || d.Signature != want || d.DeviceType != h.DeviceType || d.Metadata["uid"] != e.UID || !slices.Equal(d.Values, values) {
			t.Errorf("%s: got %+v", raw, d)
		}
	}
	if _, err := acquisition.AppendJSON(nil, h, values[:4], acquisition.Envelope{}); err == nil {
		t.Error("half a row passes")
	}
	h.Sensors = nil
	if _, err := acquisition.AppendJSON(nil, h, nil, acquisition.Envelope{}); err == nil {
		t.Error("no sensors pass")
	}
}
