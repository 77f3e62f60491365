package dataapi

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"status":"succeeded","data":[{"id":"a.000102030405060708090a0b","output":{"actions":["x",1],"labels":[{"label":"l","confidence":"high"}],"fields":{"risk_score":92}}}],"x":{}}`))
	f.Add([]byte(`{"status":1,"data":null,"data_url":null}`))
	f.Add([]byte("{\"id\":\"a\",\"output\":null}\n{\"id\":7}\n"))
	d := &Destination{config: Config{Namespace: "ns"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		take := func(res result) error {
			parseID(res.ID)
			found := d.detection(res, "r", &spool.Record{})
			if !(found.Score >= 0 && found.Score <= 1) {
				t.Errorf("score %v", found.Score)
			}
			for _, l := range found.Labels {
				if !(l.Probability >= 0 && l.Probability <= 1) || math.IsNaN(l.Probability) {
					t.Errorf("probability %v", l.Probability)
				}
			}
			return nil
		}
		_, err := readStatus(bytes.NewReader(text), take)
		if err == nil && !json.Valid(text) {
			var first json.RawMessage // what follows the object is not looked at
			if json.NewDecoder(bytes.NewReader(text)).Decode(&first) != nil {
				t.Errorf("%q is no JSON and was taken", text)
			}
		}
		_ = readLines(bytes.NewReader(text), take)
	})
}

func FuzzPending(f *testing.F) {
	p := &pending{id: "request_01", since: time.Unix(1, 2), objects: map[key]uint64{{1}: 7, {2}: 8}}
	f.Add(p.text())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePending(text)
		if err != nil {
			return
		}
		again, err := parsePending(p.text())
		if err != nil || again.id != p.id || len(again.objects) != len(p.objects) {
			t.Errorf("%x is read as %+v and then %+v (%v)", text, p, again, err)
		}
	})
}

func FuzzTicket(f *testing.F) {
	f.Add([]byte(`{"requestId":"req_1","upload_url":"https://storage.example/x"}`))
	f.Add([]byte(`{"error":{"message":"x"},"message":"y"}`))
	d := &Destination{config: Config{URL: "https://far.example"}}
	f.Fuzz(func(t *testing.T, text []byte) {
		if said := reason(text, testSecret); len(said) > maxShown*3+len("…") || said == "" {
			t.Errorf("%d bytes are shown of %q", len(said), text)
		}
		ticket, err := readTicket(uploader.Answer{Status: 200, Body: text})
		if err == nil && (ticket.RequestID == "" || len(ticket.RequestID) > maxRequestID) {
			t.Errorf("%q is a request", ticket.RequestID)
		}
		if d.trust(ticket.UploadURL) == nil && !strings.HasPrefix(strings.ToLower(ticket.UploadURL), "https://") {
			t.Errorf("%q is trusted", ticket.UploadURL)
		}
		if v := share(string(text)); v != nil && !(*v >= 0 && *v <= 1) {
			t.Errorf("%q is the share %v", text, *v)
		}
	})
}

const testSecret = "sk_0123456789abcdef"
