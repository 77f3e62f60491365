package streams

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// A window says what axes it has and how far apart its rows are.
func TestWindowAsComment(t *testing.T) {
	h := newHouse(t)
	h.define(device+"anomaly/streams", "three", object{"user_properties": object{"number:Axes": object{"one_of": []int{3}}, "number:Anomaly Score": object{"minimum": 0.5}}})
	sensors := []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "m/s2"}, {Name: "accZ", Units: "m/s2"}}
	for i, axes := range []int{3, 2, 3} {
		head := acquisition.PayloadHeader{DeviceName: "d", DeviceType: "T", IntervalMS: 16, Sensors: sensors[:axes]}
		payload, err := acquisition.AppendPayload(nil, head, make([]float64, axes*(10+i)))
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := h.spool.Append(t.Context(), spool.Record{
			Kind: spool.KindWindow, Name: "w.cbor", Dataset: "anomaly", ContentType: "application/cbor", Source: "vibration", Time: h.now(),
			Metadata: map[string]string{"anomaly_score": []string{"0.4", "0.9", "0.9"}[i]}, Length: 160 * time.Millisecond, Body: spool.Bytes(payload),
		})
		if err == nil {
			err = receipt.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got := h.fetch(device+"anomaly/streams/three", 8, 0)
	if len(got.names) != 1 || got.passed != 2 {
		t.Fatalf("got %v, want the last one", got.whole)
	}
	properties := got.whole["results"].([]any)[0].(object)["comment"].(object)["user_properties"].(object)
	for name, want := range map[string]any{"number:Axes": 3.0, "number:Interval ms": 16.0, "string:Sensors": "accX, accY, accZ", "number:Length ms": 160.0} {
		if properties[name] != want {
			t.Errorf("%s is %v, want %v", name, properties[name], want)
		}
	}
}

func TestFilters(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	c := &comment{sourceID: "5", at: at, label: "Pump > Loud", properties: properties{
		"number:n": numberProperty(5), "string:s": textProperty("uk"), "string:from": textProperty("alice@company.com")}}
	for text, want := range map[string]bool{
		`{}`: true, `{"user_properties":{}}`: true, `{"user_properties":null}`: true,
		`{"user_properties":{"number:n":{"minimum":5}}}`: true, `{"user_properties":{"number:n":{"maximum":5}}}`: true,
		`{"user_properties":{"number:n":{"minimum":5.001}}}`: false, `{"user_properties":{"number:n":{"maximum":4.999}}}`: false,
		`{"user_properties":{"number:n":{"minimum":1,"maximum":9,"one_of":[5,6]}}}`: true, `{"user_properties":{"number:n":{"minimum":1,"maximum":9,"one_of":[6]}}}`: false,
		`{"user_properties":{"number:n":{"minimum":1,"not_one_of":[5]}}}`: false, `{"user_properties":{"number:n":{"not_one_of":[6]}}}`: true,
		`{"user_properties":{"string:s":{"one_of":["de","uk"]}}}`: true, `{"user_properties":{"string:s":{"one_of":["UK"]}}}`: false,
		`{"user_properties":{"string:s":{"one_of":["uk"]},"number:n":{"one_of":[4]}}}`: false, `{"user_properties":{"string:s":{"not_one_of":["uk"]}}}`: false,
		`{"user_properties":{"string:none":{"not_one_of":["uk"]}}}`: false, `{"user_properties":{"string:s":{}}}`: true, `{"user_properties":{"string:none":{}}}`: false,
		`{"user_properties":{"string:n":{}}}`: false, `{"user_properties":{"string:from":{"domain_not_one_of":["company.com"]}}}`: false,
		`{"user_properties":{"string:from":{"domain_not_one_of":["other.com"]}}}`: true,
		`{"timestamp":{"minimum":"2026-05-01T12:00:00Z"}}`:                        true, `{"timestamp":{"minimum":"2026-05-01T12:00:01"}}`: false,
		`{"timestamp":{"maximum":"2026-05-01T12:00:00"}}`: true, `{"timestamp":{"maximum":"2026-05-01T13:59:59+02:00"}}`: false,
		`{"sources":["4","5"]}`: true, `{"sources":["4"]}`: false, `{"reviewed":"only_reviewed"}`: true, `{"reviewed":"only_unreviewed"}`: false,
		`{"annotations":{"labels":{"one_of":[["Pump","Loud"]]}}}`: true, `{"annotations":{"labels":{"one_of":["Pump > Loud"]}}}`: true,
		`{"annotations":{"labels":{"not_one_of":["Pump > Loud"]}}}`: false, `{"annotations":{"labels":{"one_of":["Pump"]}}}`: false,
	} {
		f, err := parseFilter([]byte(text))
		if err != nil || f.matches(c) != want {
			t.Errorf("%s: got another answer than %v (%v)", text, want, err)
		}
	}
}

// Only under refuse does a stream hold records back; else what went before it
// came there is counted.
func TestStreamsPinOnlyUnderRefuse(t *testing.T) {
	if testing.Short() {
		t.Skip("fills two spools; leave out -short to run it")
	}
	dice := rand.NewChaCha8([32]byte{1})
	for _, policy := range []string{"drop-oldest", "refuse"} {
		h := &house{t: t, dir: t.TempDir(), wall: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), pin: policy == "refuse",
			change: func(c *spool.Config) { c.MaxBytes, c.WhenFull, c.Keep = 48<<20, policy, 0 }}
		h.open()
		h.define(device+"training/streams", "slow", nil)
		taken, full := 0, false
		for ; taken < 1500 && !full; taken++ {
			body := make([]byte, 60<<10)
			_, _ = dice.Read(body)
			r, err := h.spool.Append(t.Context(), spool.Record{Kind: spool.KindFile, Name: fmt.Sprint(taken), Dataset: "training",
				ContentType: "text/csv", Source: "vibration", Time: h.now(), Body: spool.Bytes(body)})
			if err == nil {
				err = r.Wait(t.Context())
			}
			if full = errors.Is(err, spool.ErrFull); err != nil && !full {
				t.Fatal(err)
			}
		}
		if full {
			taken--
		}
		v := h.ask("GET", device+"training/streams/slow", nil, 200)["stream"].(object)
		lost, backlog := int(v["_lost"].(float64)), int(v["_backlog"].(float64))
		t.Logf("%s: %d taken, %d lost, %d to come", policy, taken, lost, backlog)
		if full != h.pin || (lost == 0) != h.pin || lost+backlog != taken {
			t.Errorf("%s: %d taken (full: %v), %d lost, %d to come", policy, taken, full, lost, backlog)
		}
		if got := h.fetch(device+"training/streams/slow", 1, 0); len(got.names) != 1 || got.names[0] != fmt.Sprint(lost) {
			t.Errorf("%s: the next one is %v, want %d", policy, got.names, lost)
		}
	}
}
