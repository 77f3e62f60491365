package spool

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

// pageDetections are those of the example in README.md.
func pageDetections() []Detection {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return []Detection{
		{ID: 3, Sequence: 7, Dataset: "anomaly", Name: "a.csv", Size: 16, Model: "statistics", Score: 0.5, Tags: map[string]string{"site": "4"}, At: at},
		{ID: 5, Dataset: "anomaly", Name: "b.csv", Size: 16, Model: "statistics", Score: 1, Reasons: []string{"peak"}, At: at.Add(time.Microsecond)},
	}
}

// TestREADMEDetections: the example of detections on the page is what the spool
// reads and writes, byte for byte.
func TestREADMEDetections(t *testing.T) {
	c := testCodec(t)
	want := pageDetections()
	shown := bytesOnPage(t, "detections")
	value, err := encodeDetections(c, want, false)
	if err != nil || !bytes.Equal(value, shown) {
		t.Errorf("they are written as\n% x (%v)\nthe page has\n% x", value, err, shown)
	}
	got, err := detectionsIn(c, shown, func(uint64) bool { return true })
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the page's are %+v, %v\nwant %+v", got, err, want)
	}
	if key, h := bytesOnPage(t, "detections-key"), (detectionHead{first: 3, last: 5}); !bytes.Equal(key, detectionKey(h.first, h.last)) {
		t.Errorf("the key on the page is % x", key)
	}
}
