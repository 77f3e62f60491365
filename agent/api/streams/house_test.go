package streams

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
	"github.com/edgespool/edgespool/spool"
)

// A house is a spool with the API over it, at a loopback port.
type house struct {
	t     *testing.T
	dir   string
	spool *spool.Spool
	api   *API
	url   string
	wall  time.Time // of its board, which vouches for it
	pin   bool

	change func(c *spool.Config)
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), wall: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	h.open()
	return h
}

// open opens the house, or opens it again after close.
func (h *house) open() {
	h.t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.MinFree, c.AllowVolatile, c.Keep = h.dir, 0, true, time.Hour
	if h.change != nil {
		h.change(&c)
	}
	var err error
	if h.spool, err = spool.Open(c); err != nil {
		h.t.Fatal(err)
	}
	h.api, err = New(h.t.Context(), h.spool, Options{Device: "b8:27:eb:12:34:56", Categories: []string{"training", "testing", "anomaly"},
		Sources: func() []string { return []string{"vibration", "lan"} }, Pin: h.pin, Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	server := httptest.NewServer(openapitest.Check(h.t, h.api))
	h.url = server.URL
	spooled := h.spool
	h.t.Cleanup(func() {
		server.Close()
		if err := spooled.Close(); err != nil {
			h.t.Error(err)
		}
	})
}

func (h *house) close() {
	h.t.Helper()
	if err := h.spool.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// now is a second after the last call.
func (h *house) now() spool.Instant {
	h.wall = h.wall.Add(time.Second)
	return spool.Instant{Boot: [16]byte{1}, Since: time.Duration(h.wall.Unix()) * time.Second, Wall: h.wall.UnixNano(), State: spool.ClockSynchronised}
}

type object = map[string]any

// ask sends JSON (or a text as it is) and wants a status.
func (h *house) ask(method, path string, body any, code int) object {
	h.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			h.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, bytes.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	if text != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(answer, &o); err != nil {
		h.t.Fatalf("%s %s: %d %q is no JSON object", method, path, resp.StatusCode, answer)
	}
	if resp.StatusCode != code || (o["status"] == "ok") != (code == 200) || code != 200 && o["message"] == "" {
		h.t.Fatalf("%s %s: got %d %s, want %d", method, path, resp.StatusCode, answer, code)
	}
	return o
}

const (
	device  = "/api/v1/datasets/b8-27-eb-12-34-56/"
	project = "/api/v1/datasets/project1/collateral/streams"
)

// define makes a stream.
func (h *house) define(streams, name string, filter any) {
	h.t.Helper()
	def := object{"name": name}
	if filter != nil {
		def["comment_filter"] = filter
	}
	h.ask("PUT", streams, object{"stream": def}, 200)
}

// sample spools a sample.
func (h *house) sample(dataset string, n int, metadata map[string]string) {
	h.t.Helper()
	r, err := h.spool.Append(h.t.Context(), spool.Record{
		Kind: spool.KindFile, Name: fmt.Sprintf("%d.csv", n), Dataset: dataset, Label: spool.Label{Text: "idle"}, ContentType: "text/csv",
		Source: "vibration", Metadata: metadata, Time: h.now(), DeviceName: "b8:27:eb:12:34:56", DeviceType: "RASPBERRY_PI",
		Body: spool.Bytes(fmt.Appendf(nil, "%s sample %d", dataset, n)),
	})
	if err == nil {
		err = r.Wait(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// fetched is what a test reads of a batch.
type fetched struct {
	names  []string // of the samples, or ids of comments
	tokens []string
	labels []string
	whole  object
	next   string
	end    bool
	passed int
}

func (h *house) fetch(stream string, size, maxFiltered int) fetched {
	h.t.Helper()
	body := object{"size": size}
	if maxFiltered > 0 {
		body["max_filtered"] = maxFiltered
	}
	o := h.ask("POST", stream+"/fetch", body, 200)
	f := fetched{whole: o, next: o["sequence_id"].(string), end: o["is_end_sequence"].(bool), passed: int(o["filtered"].(float64))}
	for _, r := range o["results"].([]any) {
		result := r.(object)
		c := result["comment"].(object)
		name := c["id"].(string)
		if files, ok := c["attachments"].([]any); ok {
			name = files[0].(object)["name"].(string)
		}
		labels, err := json.Marshal(result["labels"])
		if err != nil {
			h.t.Fatal(err)
		}
		f.names, f.tokens, f.labels = append(f.names, name), append(f.tokens, result["sequence_id"].(string)), append(f.labels, string(labels))
	}
	return f
}

func (h *house) advance(stream, token string) {
	h.t.Helper()
	if o := h.ask("POST", stream+"/advance", object{"sequence_id": token}, 200); o["sequence_id"] != token {
		h.t.Fatalf("advance answers %v, want the sequence_id %s", o, token)
	}
}

func said(id string, properties object) object {
	return object{"id": id, "timestamp": "2020-06-03T16:05:00Z", "messages": []object{{"body": object{"text": "Hello " + id}}}, "user_properties": properties}
}

func (h *house) sync(source string, comments ...object) string {
	h.t.Helper()
	o := h.ask("POST", "/api/v1/sources/"+source+"/sync", object{"comments": comments}, 200)
	return fmt.Sprint(o["new"], o["updated"], o["unchanged"])
}

func escape(name string) string { return url.PathEscape(name) }
