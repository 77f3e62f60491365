package listener

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler"
)

const fuzzBoundary = "edge"

// FuzzFiles sends any body as multipart, to both endpoints. Whatever comes:
// there is one answer of the right shape, only 200 stores, each line that
// says so is a record, and no record has a name that leads elsewhere.
func FuzzFiles(f *testing.F) {
	part := func(disposition, body string) string {
		return "--edge\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + body + "\r\n"
	}
	one := part(`name="data"; filename="a.csv"`, csv(1))
	for _, body := range []string{
		one + "--edge--", one + "--edge--\r\n", one, one + one + "--edge--\r\n", "--edge--", "",
		part(`name="data"; filename="../x.json"`, document("a", 2)) + "--edge--",
		part(`name="data"; filename="bounding_boxes.labels"`, `{"version":1,"type":"bounding-box-labels","boundingBoxes":{"a.csv":[]}}`) + one + "--edge--",
		part(`name="data"; filename="attachments.labels"`, `{"version":1,"type":"attachments","attachments":{"a.csv":[{"filename":"a.csv"}]}}`) + one + "--edge--",
		part(`name="data"; filename="label_map.labels"`, `{"version":1,"type":"label-map-labels","labels":{"a.csv":{"k":"v"}}}`) + one + "--edge--",
		part(`name="data"; filename="info.labels"`, `{}`) + part(`name="x"`, "y") + part(`name="data"`, "") + "--edge--",
		part(`name="attachments[]"; filename="m.json"`, document("a", 0)) + part(`name="data"; filename="b.wav"`, "RIFF") + "--edge--",
	} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, legacy bool) {
		s := newSource(DefaultConfig(), nil)
		sink := &memorySink{}
		s.door.open(sink)
		defer s.door.close()
		path := "/api/split/files"
		if legacy {
			path = "/api/split/data"
		}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary="+fuzzBoundary)
		r.Header.Set("x-file-name", "given.csv")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		checkAnswer(t, w, sink, legacy)
		if got := s.inMemory.Load(); got != 0 {
			t.Errorf("%d bytes are still counted as held", got)
		}
	})
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder, sink *memorySink, legacy bool) {
	t.Helper()
	if w.Code != 200 && w.Code != 400 && w.Code != 413 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if (w.Code != 200) && len(sink.records) != 0 {
		t.Errorf("got %d %s with %d records", w.Code, w.Body, len(sink.records))
	}
	stored := make(map[uint64]bool)
	if !legacy {
		var answer struct {
			Success bool
			Error   string
			Files   []fileAnswer
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Success != (w.Code == 200) || answer.Success == (answer.Error != "") {
			t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
		}
		for _, a := range answer.Files {
			if a.Success == (a.Error != "") || a.Success != (a.SampleID > 0) {
				t.Errorf("got line %+v", a)
			}
			if a.Success {
				stored[a.SampleID] = true
			}
		}
		if len(stored) != len(sink.records) {
			t.Errorf("%d samples in the answer, %d records: %s", len(stored), len(sink.records), w.Body)
		}
	}
	for _, rec := range sink.records {
		name, err := baseName(rec.Name)
		if err != nil && !strings.Contains(err.Error(), "longer") || err == nil && name != rec.Name || !sampler.IsCategory(rec.Dataset) || rec.Size == 0 {
			t.Errorf("got record %+v", rec)
		}
		text, err := readBody(rec.Body)
		if err != nil || sha256.Sum256(text) != rec.Identity {
			t.Errorf("%s: identity is not the hash of its bytes (%v)", rec.Name, err)
		}
	}
}
