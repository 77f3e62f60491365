package acquisition

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// The keys of a document.
const (
	keyProtected  = "protected"
	keyVersion    = "ver"
	keyAlgorithm  = "alg"
	keyIssuedAt   = "iat"
	keySignature  = "signature"
	keyPayload    = "payload"
	keyDeviceName = "device_name"
	keyDeviceType = "device_type"
	keyInterval   = "interval_ms"
	keySensors    = "sensors"
	keyName       = "name"
	keyUnits      = "units"
	keyMetadata   = "metadata"
	keyValues     = "values"

	version1       = "v1"
	algorithmHS256 = "HS256"
	algorithmNone  = "none"
)

var errNotFinite = errors.New("encode payload: a value is not finite")

// AppendPayload appends a whole payload: the header and the rows, which
// values holds one after another, len(h.Sensors) values each. The bytes are
// those of the vendor's C SDK for the same input. Values that are not finite
// are refused. On an error dst comes back as it was.
func AppendPayload(dst []byte, h PayloadHeader, values []float64) ([]byte, error) {
	out, err := AppendPayloadHeader(dst, h)
	if err != nil {
		return dst, err
	}
	axes := len(h.Sensors)
	if len(values)%axes != 0 {
		return dst, fmt.Errorf("encode payload: %d values make no rows of %d", len(values), axes)
	}
	for ; len(values) > 0; values = values[axes:] {
		if out, err = AppendRow(out, values[:axes]); err != nil {
			return dst, err
		}
	}
	return AppendPayloadEnd(out), nil
}

// AppendPayloadInt16 is AppendPayload for integer samples such as audio: they
// are written as integers, one to three bytes each.
func AppendPayloadInt16(dst []byte, h PayloadHeader, values []int16) ([]byte, error) {
	out, err := AppendPayloadHeader(dst, h)
	if err != nil {
		return dst, err
	}
	axes := len(h.Sensors)
	if len(values)%axes != 0 {
		return dst, fmt.Errorf("encode payload: %d values make no rows of %d", len(values), axes)
	}
	for i, v := range values {
		if axes > 1 && i%axes == 0 {
			out = appendHead(out, cborArray, uint64(axes))
		}
		out = appendInt(out, int64(v))
	}
	return AppendPayloadEnd(out), nil
}

// AppendPayloadHeader appends a payload up to where its rows begin. Then come
// any number of AppendRow and one AppendPayloadEnd, so that a window can be
// written while it grows.
func AppendPayloadHeader(dst []byte, h PayloadHeader) ([]byte, error) {
	if err := h.check(); err != nil {
		return dst, fmt.Errorf("encode payload: %w", err)
	}
	pairs := uint64(4)
	if h.DeviceName != "" {
		pairs++
	}
	dst = appendHead(dst, cborMap, pairs)
	if h.DeviceName != "" {
		dst = appendText(appendText(dst, keyDeviceName), h.DeviceName)
	}
	dst = appendText(appendText(dst, keyDeviceType), h.DeviceType)
	dst = appendFloat(appendText(dst, keyInterval), h.IntervalMS)
	dst = appendHead(appendText(dst, keySensors), cborArray, uint64(len(h.Sensors)))
	for _, s := range h.Sensors {
		dst = appendHead(dst, cborMap, 2)
		dst = appendText(appendText(dst, keyName), s.Name)
		dst = appendText(appendText(dst, keyUnits), s.Units)
	}
	return append(appendText(dst, keyValues), cborArray|cborIndefinite), nil
}

// AppendRow appends one row: an array, or the bare value if it is only one.
// The caller sees to it that row has as many values as there are sensors.
// Values that are not finite are refused; dst then comes back as it was.
func AppendRow(dst []byte, row []float64) ([]byte, error) {
	out := dst
	if len(row) != 1 {
		out = appendHead(out, cborArray, uint64(len(row)))
	}
	for _, v := range row {
		if !finite(v) {
			return dst, errNotFinite
		}
		out = appendFloat(out, v)
	}
	return out, nil
}

// AppendPayloadEnd ends the rows, and with them the payload.
func AppendPayloadEnd(dst []byte) []byte { return append(dst, cborBreak) }

func (h PayloadHeader) check() error {
	switch {
	case len(h.Sensors) == 0:
		return errors.New("there are no sensors")
	case len(h.Sensors) > maxSensors:
		return fmt.Errorf("%d sensors, more than %d", len(h.Sensors), maxSensors)
	case !finite(h.IntervalMS) || h.IntervalMS < 0:
		return fmt.Errorf("interval of %v ms", h.IntervalMS)
	}
	texts := 0
	text := func(what, s string) error {
		texts += len(s)
		switch {
		case len(s) > maxText || texts > maxTexts:
			return fmt.Errorf("%s is too long", what)
		case !utf8.ValidString(s):
			return fmt.Errorf("%s is not UTF-8", what)
		}
		return nil
	}
	if err := errors.Join(text("device name", h.DeviceName), text("device type", h.DeviceType)); err != nil {
		return err
	}
	for _, s := range h.Sensors {
		if err := errors.Join(text("a sensor's name", s.Name), text("a sensor's units", s.Units)); err != nil {
			return err
		}
	}
	return nil
}
