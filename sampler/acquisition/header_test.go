package acquisition_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

func TestParsePayloadHeader(t *testing.T) {
	for _, h := range []acquisition.PayloadHeader{oneAxis(), threeAxes()} {
		payload, err := acquisition.AppendPayload(nil, h, noise(40)[:len(h.Sensors)*40])
		if err != nil {
			t.Fatal(err)
		}
		got, err := acquisition.ParsePayloadHeader(payload)
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("got %+v, %v; want %+v", got, err, h)
		}
		if _, err := acquisition.ParsePayloadHeader(payload[:len(payload)-1]); !errors.Is(err, acquisition.ErrMalformed) {
			t.Errorf("a cut payload gives %v", err)
		}
	}
	for _, bad := range []string{"", "\xa0", "{}", "\xa4kdevice_typeaX"} {
		if _, err := acquisition.ParsePayloadHeader([]byte(bad)); !errors.Is(err, acquisition.ErrMalformed) {
			t.Errorf("%q gives %v", bad, err)
		}
	}
}
