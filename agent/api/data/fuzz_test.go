package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/edgespool/edgespool/spool"
)

func FuzzRequestID(f *testing.F) {
	f.Add("req_01h2m7qdmdjckc30e1mnq6xqfd")
	f.Add(requestID{at: 7, count: 3, nonce: [8]byte{1}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if r, ok := parseRequestID(text); ok && r.String() != text {
			t.Errorf("%q is read as %q", text, r)
		}
	})
}

func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"id": "a", "x": [1, {"id": 2}]}`))
	f.Add([]byte("{\"id\":\"\\u0000\",\n\"id\":\"b\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := parseObject(text)
		if err != nil {
			return
		}
		again, err := parseObject(o.text)
		if err != nil || again.id != o.id || !bytes.Equal(again.text, o.text) || bytes.ContainsAny(o.text, "\n\r") {
			t.Errorf("%q becomes %q of %q, and then %q of %q (%v)", text, o.id, o.text, again.id, again.text, err)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\nb\n\n12345678901\nc"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := newLineReader(bytes.NewReader(text), 8)
		for n := 0; ; n++ {
			line, err := lines.next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil && !errors.Is(err, errLongLine):
				t.Fatal(err)
			case len(line) > 10 || bytes.ContainsRune(line, '\n'):
				t.Errorf("line %d is %q", n, line)
			case n > len(text):
				t.Fatal("there are more lines than bytes")
			}
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"rules":[{"field":"a.b","above":1,"below":-1,"label":"l","action":"x","score":0.5}]}`), []byte(`{"a":{"b":2}}`))
	f.Add([]byte(`{"a":{"content_type":"card","display_hint":{"type":"title"}}}`), []byte(`{"a.b":-2,"anomaly_score":0.3}`))
	f.Fuzz(func(t *testing.T, settings, object []byte) {
		_, _ = parseSchema(settings) // must not panic
		rules, err := parseRules(settings)
		if err != nil || !json.Valid(object) {
			return
		}
		st := &settingsStore{known: map[string]*namespaceSettings{"ns": {rules: rules, row: settingsRow{Version: 1}}}}
		out, err := rulesJudge{st}.Judge(t.Context(), "ns", object)
		if err != nil {
			return
		}
		if score, ok := out.Fields[riskScore].(float64); !ok || score < 0 || score > 1 {
			t.Errorf("risk score %v", out.Fields[riskScore])
		}
		if _, err := json.Marshal(out); err != nil {
			t.Error(err)
		}
	})
}

func FuzzPlace(f *testing.F) {
	f.Add(uint64(9), "2/5", "00112233aabbccdd")
	f.Add(uint64(1), "2/5", "zz")
	f.Add(uint64(9), "0/0", "000000000000000000")
	f.Fuzz(func(t *testing.T, sequence uint64, place, nonce string) {
		id := requestOf(&spool.Record{Sequence: sequence, Metadata: map[string]string{metaPlace: place, metaRequest: nonce}})
		if _, ok := parseRequestID(id); id != "" && place != "" && !ok && sequence < 1<<48 {
			t.Errorf("%d, %q, %q make %q", sequence, place, nonce, id)
		}
	})
}
