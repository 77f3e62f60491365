package detect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/edgespool/edgespool/sampler"
)

// checkOpinion finds what no detector may say.
func checkOpinion(t *testing.T, o opinion) {
	t.Helper()
	if !(o.score >= 0 && o.score <= 1) || len(o.labels) > maxLabels || len(o.reasons) > maxReasons || len(o.name) > maxText {
		t.Errorf("got %+v", o)
	}
	for i, l := range o.labels {
		if !(l.Probability >= 0 && l.Probability <= 1) || i > 0 && o.labels[i-1].Probability < l.Probability || len(l.Name) != 1 || l.Name[0] == "" {
			t.Errorf("label %d: got %+v", i, l)
		}
	}
}

// Whatever a program answers, there is a proper opinion or an error.
func FuzzParseOpinion(f *testing.F) {
	for _, line := range []string{
		`{"score":0.5}`, `{"id":3,"score":1,"label":"loose","reasons":["a"],"version":"2","model":"m"}`, `{"score":0.1,"labels":{"a":0.4,"b":0.6}}`,
		`{"score":-1}`, `{"score":1e999}`, `{"score":"high"}`, `{"error":"no"}`, `[]`, `{`, "", `{"score":0,"labels":{"":0.1}}`, `{"score":0,"model":"\u0000"}`,
		`{"score":null}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		answers(line, 3)
		if o, err := parseOpinion(line); err == nil {
			checkOpinion(t, o)
		}
	})
}

// Whatever a model answers, there are proper facts and opinions or an error.
func FuzzModelAnswers(f *testing.F) {
	f.Add(fmt.Appendf(nil, helloAnswer, 1))
	for _, text := range []string{
		`{"id":2,"success":true,"result":{"classification":{"calm":0.9,"wild":0.1},"anomaly":-0.2}}`, `{"success":false,"error":"no"}`,
		`{"id":2,"success":true,"result":{"classification":{"calm":null},"anomaly":1e300}}`, `{"success":true}`, `{"id":1,"success":true,"model_parameters":{"input_features_count":-1}}`,
		`{"id":1,"success":true,"model_parameters":{"input_features_count":33,"axis_count":2,"labels":[]}}`, "null", "", `{"success":true,"result":null}`,
		`{"id":1,"success":true,"model_parameters":{"input_features_count":4,"axis_count":0,"thresholds":[{"min_anomaly_score":-3}]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		answerID(answer)
		m := newModel(&ModelConfig{Anomalous: []string{"wild"}}, "fuzz", quiet)
		m.facts = facts{features: 20, axes: 2}
		if r, err := parseClassified(answer); err == nil {
			checkOpinion(t, m.opine([]classified{r, r}))
		}
		var err error
		if m.facts, err = parseHello(answer); err != nil {
			return
		}
		if at := m.facts.anomalyAt(m.config); !(at > 0) {
			t.Errorf("anomaly limit: got %v", at)
		}
		pieces, err := m.pieces(readings(1))
		for _, p := range pieces {
			if len(p) != m.facts.features || err != nil {
				t.Errorf("got a piece of %d values for %+v, %v", len(p), m.facts, err)
			}
		}
	})
}

// What can be read of notes is what was written.
func FuzzDecodeNotes(f *testing.F) {
	f.Add((&notes{}).encode())
	f.Add((&notes{of: [32]byte{1}, seen: 7, kept: [][]float32{{1, 2}, {3, 4}}}).encode())
	f.Add([]byte(notesMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := decodeNotes(b); err == nil && !bytes.Equal(n.encode(), b) && len(n.kept) > 0 && n.seen>>31 == 0 {
			t.Errorf("read %d bytes as %+v", len(b), n)
		} else if err != nil && !errors.Is(err, errNotes) {
			t.Error(err)
		}
	})
}

// A window is one line of JSON that says the same values.
func FuzzAppendCase(f *testing.F) {
	f.Add("pump", "accX", 1.5, -0.25)
	f.Add("a\"b\n", "\xff", math.MaxFloat64, math.SmallestNonzeroFloat64)
	f.Fuzz(func(t *testing.T, source, sensor string, a, b float64) {
		if math.IsNaN(a-a) || math.IsNaN(b-b) {
			return // a reading never is
		}
		c := sampler.Case{Source: source, Sensors: []sampler.Sensor{{Name: sensor}, {Name: "y"}}, Values: []float64{a, b, b, a}, Rows: 2, Hz: 10}
		line := appendCase(nil, 7, c)
		var got struct {
			ID        uint64
			Frequency float64
			Sensors   []struct{ Name, Units string }
			Values    [][]float64
		}
		if err := json.Unmarshal(line, &got); err != nil || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q: %v", line, err)
		}
		if fmt.Sprint(got.Values) != fmt.Sprint([][]float64{{a, b}, {b, a}}) || got.ID != 7 || got.Frequency != 10 || len(got.Sensors) != 2 {
			t.Errorf("got %+v", got)
		}
	})
}
