package acquisition

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends a whole document as JSON text, byte for byte as the
// vendor's own JavaScript client writes it (but one axis flat, where that
// client nests). It is for people and tests; the spool keeps CBOR. Values are
// rows one after another, len(h.Sensors) values each.
func AppendJSON(dst []byte, h PayloadHeader, values []float64, e Envelope) ([]byte, error) {
	s, err := NewSigner(e.Key)
	if err != nil {
		return dst, err
	}
	if err := h.check(); err != nil {
		return dst, fmt.Errorf("encode JSON: %w", err)
	}
	axes := len(h.Sensors)
	if len(values)%axes != 0 {
		return dst, fmt.Errorf("encode JSON: %d values make no rows of %d", len(values), axes)
	}
	if !utf8.ValidString(e.UID) {
		return dst, errors.New("encode JSON: uid is not UTF-8")
	}
	algorithm, signature := algorithmNone, noSignature
	if s.mac != nil {
		algorithm, signature = algorithmHS256, zeroSignature
	}
	start := len(dst)
	out := append(dst, `{"protected":{"ver":"v1","alg":"`...)
	out = append(append(out, algorithm...), '"')
	if e.IAT != 0 {
		out = strconv.AppendInt(append(out, `,"iat":`...), e.IAT, 10)
	}
	out = append(out, `},"signature":"`...)
	place := len(out) - start
	out = append(append(out, signature...), `","payload":{`...)
	out = appendJSONHeader(out, h, e.UID)
	for i, v := range values {
		if !finite(v) {
			return dst, errNotFinite
		}
		out = append(out, rowBefore(i, axes)...)
		out = appendJSONNumber(out, v)
	}
	if axes > 1 && len(values) > 0 {
		out = append(out, ']')
	}
	out = append(out, `]}}`...)
	s.sign(out[start:], place)
	return out, nil
}

func appendJSONHeader(out []byte, h PayloadHeader, uid string) []byte {
	if h.DeviceName != "" {
		out = append(append(append(out, `"device_name":`...), jsonText(h.DeviceName)...), ',')
	}
	out = append(append(out, `"device_type":`...), jsonText(h.DeviceType)...)
	out = appendJSONNumber(append(out, `,"interval_ms":`...), h.IntervalMS)
	out = append(append(out, `,"sensors":`...), jsonText(h.Sensors)...)
	if uid != "" {
		out = append(append(append(out, `,"metadata":{"uid":`...), jsonText(uid)...), '}')
	}
	return append(out, `,"values":[`...)
}

// rowBefore is what stands before value i.
func rowBefore(i, axes int) string {
	switch {
	case axes == 1 && i == 0:
		return ""
	case axes == 1 || i%axes != 0:
		return ","
	case i == 0:
		return "["
	}
	return "],["
}

// jsonText writes what cannot fail: texts and sensors.
func jsonText(v any) []byte {
	text, err := marshalJSON(v)
	if err != nil {
		return []byte("null")
	}
	return text
}
