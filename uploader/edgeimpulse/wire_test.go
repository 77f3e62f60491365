package edgeimpulse_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

func stored(t *testing.T, verdicts []uploader.Verdict) {
	t.Helper()
	for i, v := range verdicts {
		if v.Kind != uploader.Stored || v.RemoteID == "" || v.Status != 200 {
			t.Errorf("record %d: got %+v, want it stored with an id", i, v)
		}
	}
}

// TestGroups checks that records go together exactly where the headers allow.
func TestGroups(t *testing.T) {
	dest, server := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) {
		c.Concurrency, c.Metadata = 1, map[string]string{"plant": "4"}
	})
	var batch []spool.Record
	batch = append(batch, uploadertest.Files(1, 2, "training", "späce/lábel 温")...)
	batch = append(batch, uploadertest.Files(3, 2, "training", "")...)
	batch = append(batch, uploadertest.Files(5, 2, "testing", "späce/lábel 温")...)
	batch = append(batch, uploadertest.Files(7, 2, "anomaly", "")...)
	site := uploadertest.Files(9, 1, "training", "")[0]
	site.Metadata = map[string]string{"site": "Köln 😀", "plant": "5"}
	batch = append(batch, site, uploadertest.Files(10, 1, "training", "späce/lábel 温")[0])
	stored(t, dest.Send(t.Context(), batch))

	type seen struct {
		path, label, none string
		files             int
	}
	var got []seen
	for _, r := range server.Requests() {
		got = append(got, seen{r.Path, r.Header.Get("X-Label"), r.Header.Get("X-No-Label"), r.Files})
		for name, want := range map[string]string{
			"X-Api-Key": testKey, "X-Disallow-Duplicates": "1", "X-Upload-Source": "EDGESPOOL", "User-Agent": "edgespool/test",
		} {
			if r.Header.Get(name) != want {
				t.Errorf("%s: got %q, want %q", name, r.Header.Get(name), want)
			}
		}
		if r.Length <= 0 {
			t.Errorf("Content-Length: got %d, want an exact one", r.Length)
		}
	}
	const label = "sp%C3%A4ce%2Fl%C3%A1bel%20%E6%B8%A9" // as in the vendor's capture 11
	want := []seen{
		{"/api/training/files", label, "", 3}, {"/api/training/files", "", "1", 2}, {"/api/testing/files", label, "", 2},
		{"/api/anomaly/files", "", "1", 1}, {"/api/anomaly/files", "", "1", 1}, {"/api/training/files", "", "1", 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("requests:\ngot  %v\nwant %v", got, want)
	}
	last := server.Requests()[5].Header.Get("X-Metadata")
	if last != `{"plant":"5","site":"K\u00F6ln \uD83D\uDE00"}` {
		t.Errorf("x-metadata: got %s", last)
	}
	if m := server.Samples()[7].Metadata; m["record"] != batch[6].ID() || m["plant"] != "4" {
		t.Errorf("metadata of an anomaly: got %v", m)
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("got %d connections, want 1 that is kept", n)
	}
}

// TestScoresStayWithAnomalies: they differ from record to record, and each
// other metadata is a request of its own.
func TestScoresStayWithAnomalies(t *testing.T) {
	dest, server := open(t, nil)
	batch := append(uploadertest.Files(1, 3, "training", "idle"), uploadertest.Files(4, 1, "anomaly", "idle")...)
	for i := range batch {
		batch[i].Metadata = map[string]string{"model": "statistics", "anomaly_score": "0." + string(rune('1'+i))}
	}
	own := uploadertest.Files(5, 1, "training", "idle")[0]
	own.Metadata = map[string]string{"model": "X200"} // the site's own word, and nobody judged
	stored(t, dest.Send(t.Context(), append(batch, own)))
	var got []string
	for _, r := range server.Requests() {
		got = append(got, r.Path+" "+r.Header.Get("X-Metadata"))
	}
	slices.Sort(got) // two go at a time
	if len(got) != 3 || !strings.Contains(got[0], `"anomaly_score":"0.4"`) || got[1] != "/api/training/files " || got[2] != `/api/training/files {"model":"X200"}` {
		t.Errorf("requests: got %q", got)
	}
}

func TestManyFilesFewConnections(t *testing.T) {
	dest, server := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) { c.Concurrency, c.Batch.Files = 4, 10 })
	if got, want := dest.BatchLimit(), (spool.Limit{Records: 40, Bytes: 32 << 20}); got != want {
		t.Errorf("batch limit: got %v, want %v", got, want)
	}
	for i := range uint64(10) {
		stored(t, dest.Send(t.Context(), uploadertest.Files(100*i+1, 40, "training", "idle")))
	}
	if r, c := len(server.Requests()), server.Connections(); r != 40 || c > 4 {
		t.Errorf("got %d requests over %d connections, want 40 over at most 4", r, c)
	}
	var bodies int64
	for _, r := range server.Requests() {
		bodies += r.Length
	}
	if dest.BytesSent() != bodies {
		t.Errorf("bytes sent: got %d, want %d", dest.BytesSent(), bodies)
	}
}

// TestLabelFiles checks that several images share one bounding_boxes.labels.
func TestLabelFiles(t *testing.T) {
	dest, server := open(t, nil)
	var batch []spool.Record
	for i, name := range []string{"a.jpg", "b.jpg", "a.jpg", "c.jpg"} {
		batch = append(batch, uploadertest.File(uint64(i+1), "training", name, "", []byte{0xff, 0xd8, byte(i)}))
	}
	batch[0].Label.Boxes = []spool.Box{{Label: "cup", X: 1, Y: 2, Width: 3, Height: 4}}
	text, err := acquisition.BoundingBoxes("b.jpg", nil) // background
	if err != nil {
		t.Fatal(err)
	}
	batch[1].Companions = []spool.Companion{{Name: acquisition.BoundingBoxesName, ContentType: "application/json", Bytes: text}}
	batch[2].Label.Boxes = []spool.Box{{Label: "other", X: 5, Y: 6, Width: 7, Height: 8}}
	batch[3].Label.Segments = []spool.Segment{{Start: 0, End: 9, Text: "up"}}
	stored(t, dest.Send(t.Context(), batch))

	requests := server.Requests()
	if len(requests) != 2 {
		t.Fatalf("got %d requests, want 2, since a.jpg can be in one only once", len(requests))
	}
	boxes := func(r uploadertest.Request) map[string][]acquisition.Box {
		got, err := acquisition.ParseBoundingBoxes(bytes.NewReader(r.LabelFiles[acquisition.BoundingBoxesName]))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	byFiles := requests
	if byFiles[0].LabelFiles[acquisition.StructuredLabelsName] != nil { // the two go at once
		byFiles[0], byFiles[1] = byFiles[1], byFiles[0]
	}
	if got, want := boxes(byFiles[0]), (map[string][]acquisition.Box{"a.jpg": {{Label: "cup", X: 1, Y: 2, Width: 3, Height: 4}}, "b.jpg": {}}); !reflect.DeepEqual(got, want) {
		t.Errorf("first request: got %v, want %v", got, want)
	}
	if got := boxes(byFiles[1])["a.jpg"]; len(got) != 1 || got[0].Label != "other" {
		t.Errorf("second request: got %v", got)
	}
	segments, err := acquisition.ParseStructuredLabels(bytes.NewReader(byFiles[1].LabelFiles[acquisition.StructuredLabelsName]))
	if err != nil || segments["c.jpg"][0].Text != "up" {
		t.Errorf("structured labels: got %v, %v", segments, err)
	}
}

// TestAttachments sends a record as the listener keeps one that came with
// attachments: they go in its request, which is its own.
func TestAttachments(t *testing.T) {
	dest, server := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) { c.Concurrency = 1 })
	batch := uploadertest.Files(1, 3, "training", "idle")
	batch[1].Name = "with.csv"
	batch[1].Companions = []spool.Companion{
		{Name: "attachments.labels", ContentType: "application/json",
			Bytes: []byte(`{"attachments":{"with.csv":[{"filename":"photo.png"},{"filename":"a\"b.txt"},{"filename":"gone.png"},{"filename":"photo.png"}]},"type":"attachments","version":1}`)},
		{Name: "photo.png", ContentType: "image/png", Bytes: []byte("photo")},
		{Name: `a"b.txt`, ContentType: "text/plain\r\nX-Evil: 1", Bytes: []byte("notes")},
		{Name: "stranger.png", ContentType: "image/png", Bytes: []byte("nobody names it")},
		{Name: "label_map.labels", ContentType: "application/json", Bytes: []byte(`{"labels":{"with.csv":["a","b"]},"type":"label-map-labels","version":1}`)},
	}
	stored(t, dest.Send(t.Context(), batch))
	requests, samples := server.Requests(), server.Samples()
	if len(requests) != 3 || len(samples) != 3 {
		t.Fatalf("got %d requests with %d samples, want the attachments in a request of their own: 3 with 3", len(requests), len(samples))
	}
	own := requests[1]
	for name, want := range map[string]string{
		"attachments.labels": `{"attachments":{"with.csv":[{"filename":"photo.png"},{"filename":"a_b.txt"}]},"type":"attachments","version":1}`,
		"label_map.labels":   `{"labels":{"with.csv":["a","b"]},"type":"label-map-labels","version":1}`,
	} {
		if got := string(own.LabelFiles[name]); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	attached := samples[1].Attached
	if samples[1].Name != "with.csv" || len(attached) != 2 {
		t.Fatalf("got %q with attachments %+v, want two", samples[1].Name, attached)
	}
	if p := attached[0]; p.Name != "photo.png" || p.ContentType != "image/png" || string(p.Bytes) != "photo" {
		t.Errorf("got %+v", p)
	}
	if n := attached[1]; n.Name != "a_b.txt" || n.ContentType != "text/plain" || string(n.Bytes) != "notes" {
		t.Errorf("got %+v", n)
	}
	for _, r := range []uploadertest.Request{requests[0], requests[2]} {
		if len(r.LabelFiles) != 0 || r.Files != 1 {
			t.Errorf("another request got %d files and label files %v", r.Files, r.LabelFiles)
		}
	}
	// A service that lists attachments as well: the record's line comes first.
	server.Script(answer(200, `{"success":true,"files":[{"success":false,"error":"no good"},{"success":true,"sampleId":8},{"success":true,"sampleId":9}]}`))
	if v := dest.Send(t.Context(), batch[1:2])[0]; v.Kind != uploader.Rejected {
		t.Errorf("attachments listed: got %+v, want the record's own verdict", v)
	}
	server.Script(answer(200, `{"success":true,"files":[{"success":true,"sampleId":8},{"success":true,"sampleId":9}]}`))
	if v := dest.Send(t.Context(), batch[1:2])[0]; v.Kind != uploader.TryLater {
		t.Errorf("one too few listed: got %+v, want it tried again", v)
	}
}

// window makes a window of so many rows, captured at capture time.
func window(t *testing.T, sequence uint64, length time.Duration) spool.Record {
	t.Helper()
	payload, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{
		DeviceName: "b8:27:eb:12:34:56", DeviceType: "RASPBERRY_PI", IntervalMS: 10,
		Sensors: []acquisition.Sensor{{Name: "accX", Units: "m/s2"}},
	}, []float64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	body := spool.Bytes(payload)
	rec := spool.Record{Sequence: sequence, Kind: spool.KindWindow, SHA256: body.SHA256(), Dataset: "training",
		Label: spool.Label{Text: "idle"}, ContentType: "application/cbor", Size: body.Size(), Body: body, Length: length}
	rec.Identity = sha256.Sum256([]byte{byte(sequence)})
	return rec
}

func TestWindows(t *testing.T) {
	const hmac = "fed53116f20684c067774ebf9e7bcbdc"
	at := time.Unix(1_700_000_000, 0)
	dest, server := open(t, func(c *edgeimpulse.Config, d *edgeimpulse.Deps) {
		c.HMACKeyFile = keyFile(t, hmac)
		d.Dated = func(r *spool.Record) (time.Time, bool) { return at, r.Sequence != 2 }
	})
	batch := []spool.Record{window(t, 1, 2*time.Second), window(t, 2, 2*time.Second), window(t, 3, time.Second/2)}
	stored(t, dest.Send(t.Context(), batch))
	samples := server.Samples()
	if len(samples) != 3 {
		t.Fatalf("got %d samples, want 3: equal payloads must not be taken for duplicates", len(samples))
	}
	for i, s := range samples {
		if want := "idle." + batch[i].ID() + ".cbor"; s.Name != want || s.ContentType != "application/cbor" {
			t.Errorf("window %d: got %q of type %s, want %q", i, s.Name, s.ContentType, want)
		}
		iat, uid := int64(1_700_000_000), ""
		if i == 1 {
			iat = 0
		}
		if i > 0 {
			uid = batch[i].ID()
		}
		body, err := batch[i].Body.Open()
		if err != nil {
			t.Fatal(err)
		}
		var payload bytes.Buffer
		if _, err := payload.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		want, err := acquisition.AppendEnvelope(nil, payload.Bytes(), acquisition.Envelope{IAT: iat, UID: uid, Key: []byte(hmac)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Bytes, want) {
			t.Errorf("window %d: the document is not as it should be", i)
		}
	}
	for _, v := range dest.Send(t.Context(), batch) { // the same bytes again
		if v.Kind != uploader.AlreadyThere {
			t.Errorf("repeat: got %v", v.Kind)
		}
	}
}

func TestMissingHMACKeySendsNothing(t *testing.T) {
	dest, server := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) {
		c.HMACKeyFile = filepath.Join(t.TempDir(), "none")
	})
	v := dest.Send(t.Context(), uploadertest.Files(1, 1, "training", "idle"))[0]
	if v.Kind != uploader.Stop || len(server.Requests()) != 0 || !strings.Contains(v.Err.Error(), "put the key into that file") {
		t.Errorf("got %v (%v) and %d requests, want a stop with the remedy", v.Kind, v.Err, len(server.Requests()))
	}
}

func TestKeyIsReadAgain(t *testing.T) {
	path := keyFile(t, "ei_wrong")
	dest, _ := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) { c.APIKeyFile = path })
	batch := uploadertest.Files(1, 1, "training", "idle")
	if v := dest.Send(t.Context(), batch)[0]; v.Kind != uploader.Stop {
		t.Fatalf("wrong key: got %v", v.Kind)
	}
	if dest.CredentialsChanged() {
		t.Error("the key is said to have changed")
	}
	if err := os.WriteFile(path, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if !dest.CredentialsChanged() {
		t.Error("the key's change was not noticed")
	}
	stored(t, dest.Send(t.Context(), batch))
}

// TestRedirectKeepsKey checks that no other host ever sees the key.
func TestRedirectKeepsKey(t *testing.T) {
	other := uploadertest.Serve(t, uploadertest.NewService())
	dest, server := open(t, nil)
	for _, status := range []int{301, 302, 307, 308} {
		server.Script(uploadertest.Action{Status: status, Header: map[string]string{"Location": other.URL + "/api/training/files"}})
		if v := dest.Send(t.Context(), uploadertest.Files(1, 1, "training", ""))[0]; v.Kind != uploader.TryLater {
			t.Errorf("%d: got %v", status, v.Kind)
		}
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}

// TestEarlyRefusal checks that an answer is seen which comes, with a hang-up,
// before a large body was read.
func TestEarlyRefusal(t *testing.T) {
	dest, server := open(t, nil)
	server.Script(uploadertest.Action{Status: 413, Body: "too large", Unread: true, Header: map[string]string{"Connection": "close"}})
	rec := uploadertest.File(1, "training", "large.wav", "", bytes.Repeat([]byte("x"), 20<<20))
	v := dest.Send(t.Context(), []spool.Record{rec})[0]
	if v.Kind != uploader.Rejected {
		t.Errorf("got %v (%v), want it rejected as too large", v.Kind, v.Err)
	}
}

func TestMetadataTime(t *testing.T) {
	dest, server := open(t, func(c *edgeimpulse.Config, d *edgeimpulse.Deps) {
		c.MetadataTime = true
		d.Dated = func(r *spool.Record) (time.Time, bool) { return time.Unix(int64(r.Sequence), 5e6), true }
	})
	stored(t, dest.Send(t.Context(), uploadertest.Files(1, 2, "training", "idle")))
	got := make(map[string]bool)
	for _, s := range server.Samples() {
		got[s.Metadata["captured_at"]] = true
	}
	if !got["1970-01-01T00:00:01.005Z"] || !got["1970-01-01T00:00:02.005Z"] {
		t.Errorf("got %v", got)
	}
}

func TestLabelTextIsEncodedAsJavaScriptDoes(t *testing.T) {
	dest, server := open(t, nil)
	const label = "AZaz09-_.!~*'() %+&=?/#\"\xff"
	stored(t, dest.Send(t.Context(), []spool.Record{uploadertest.File(1, "training", "x.csv", label, []byte("1"))}))
	const want = "AZaz09-_.!~*'()%20%25%2B%26%3D%3F%2F%23%22%EF%BF%BD" // encodeURIComponent in node
	if got := server.Requests()[0].Header.Get("X-Label"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add("site", "Köln 😀\x00\x7f\"")
	f.Fuzz(func(t *testing.T, key, value string) {
		dest, server := open(t, nil)
		rec := uploadertest.File(1, "training", "x.csv", "", []byte("1"))
		rec.Metadata = map[string]string{key: value}
		stored(t, dest.Send(t.Context(), []spool.Record{rec}))
		text, err := json.Marshal(rec.Metadata)
		if err != nil {
			t.Skip()
		}
		var want map[string]string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got := server.Samples()[0].Metadata; !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
