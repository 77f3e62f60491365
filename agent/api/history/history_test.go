package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
	"github.com/edgespool/edgespool/spool"
)

// A site is a spool with the history in front of it.
type site struct {
	*spool.Spool
	t    *testing.T
	url  string
	http *http.Client
}

func newSite(t *testing.T, judge Judge) *site {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.MinFree, c.AllowVolatile, c.MaxBytes = t.TempDir(), 0, true, 256<<20
	s, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(openapitest.Check(t, New(Parts{
		Store: s, Records: s, Judge: judge, Device: Device{"b8:27:eb:12:34:56", "RASPBERRY_PI"},
		ClockKnown: func() bool { return true },
	})))
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Errorf("close spool: %v", err)
		}
	})
	return &site{s, t, server.URL, server.Client()}
}

// ask sends one request; pairs are header names and values.
func (s *site) ask(method, path string, body io.Reader, pairs ...string) (int, http.Header, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		req.Header.Set(pairs[i], pairs[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, text
}

// list asks for a page.
func (s *site) list(query string) page {
	s.t.Helper()
	code, _, text := s.ask("GET", "/v1/detection"+query, nil)
	var p page
	if err := json.Unmarshal(text, &p); err != nil || code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", query, code, text)
	}
	if p.Count != len(p.Data) {
		s.t.Errorf("%s: count %d of %d records", query, p.Count, len(p.Data))
	}
	return p
}

func (s *site) detect(all ...spool.Detection) []uint64 {
	s.t.Helper()
	ids, err := s.Detect(s.t.Context(), all...)
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

// refused checks that an answer is a failure in the wire's form.
func refused(t *testing.T, what string, code int, header http.Header, text []byte, want int) {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal(text, &f); err != nil || code != want || header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: got %d %s %s, want %d", what, code, header.Get("Content-Type"), text, want)
		return
	}
	if f["statusCode"] != float64(want) || f["error"] != http.StatusText(want) || f["message"] == "" || len(f) != 3 {
		t.Errorf("%s: got %s", what, text)
	}
}

// The record of the wire's own page, made of a detection as the house has it.
func TestRecordIsThatOfTheWire(t *testing.T) {
	s := newSite(t, nil)
	at := time.Date(2024, 9, 8, 11, 40, 0, 123456000, time.UTC)
	r, err := s.Append(t.Context(), spool.Record{
		Kind: spool.KindFile, Name: "document.jpg", Dataset: "anomaly", ContentType: "image/jpeg", Source: "inbox", Body: spool.Bytes([]byte("jpeg")),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.detect(spool.Detection{
		Sequence: r.Results[0].Sequence, Name: "document.jpg", ContentType: "image/jpeg", Size: 231433, Source: "inbox", Dataset: "anomaly",
		Model: "document", ModelVersion: "1.1.0", Score: 0.155, Classification: "authentic",
		Reasons: []string{"No manipulation detected"},
		Checks:  []spool.Check{{Type: "DOCUMENT_STRUCTURE", Passed: true, Details: "Document structure is consistent"}, {Type: "SEMANTIC_FRAUD", Score: 0.85}},
		Labels:  []spool.PredictedLabel{{Name: []string{"motion", "idle"}, Probability: 0.75}},
		Tags:    map[string]string{"customerId": "9999", "companyName": "DeepXL"}, At: at,
	})
	code, _, text := s.ask("GET", "/v1/detection/1", nil)
	want := `{"result":{"detectionId":1,"mediaType":"image","fileType":"jpeg","fileName":"document.jpg","fileSize":231433,` +
		`"model":"document","modelVersion":"1.1.0","likelihood":15.5,"fraudSeverity":"low","reasoning":["No manipulation detected"],` +
		`"modelResults":{"technicalChecks":[{"type":"DOCUMENT_STRUCTURE","status":"PASS","details":"Document structure is consistent"},` +
		`{"type":"SEMANTIC_FRAUD","status":"FAIL","details":"","likelihood":0.85},{"type":"LABEL","status":"PASS","details":"motion.idle","likelihood":0.75}]},` +
		`"classification":"authentic","timestamp":1725795600,"timestampISO":"2024-09-08T11:40:00.123456",` +
		`"tags":[{"name":"companyName","value":"DeepXL"},{"name":"customerId","value":"9999"},{"name":"device","value":"b8:27:eb:12:34:56"},` +
		`{"name":"deviceType","value":"RASPBERRY_PI"},{"name":"source","value":"inbox"}],` +
		`"files":[{"category":"original_file","fileName":"document.jpg","fileSize":231433,"contentType":"image/jpeg","timestamp":1725795600,` +
		`"timestampISO":"2024-09-08T11:40:00.123456","url":"` + s.url + `/v1/files/fd_1_document.jpg"}]}}` + "\n"
	if code != http.StatusOK || string(text) != want {
		t.Errorf("got %d\n%s\nwant\n%s", code, text, want)
	}
	p := s.list("")
	if p.TotalCount != 1 || p.Count != 1 || p.Data[0].FileName != "document.jpg" {
		t.Errorf("the list is %+v", p)
	}
	code, header, body := s.ask("HEAD", "/v1/detection", nil)
	if code != http.StatusOK || len(body) != 0 || header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD gives %d %v %s", code, header, body)
	}
}

func TestNothingThereIsEmptyAndNotNull(t *testing.T) {
	s := newSite(t, nil)
	if _, _, text := s.ask("GET", "/v1/detection", nil); string(text) != `{"totalCount":0,"count":0,"data":[]}`+"\n" {
		t.Errorf("an empty history is %s", text)
	}
	if _, _, text := s.ask("GET", "/v1/detection-models", nil); string(text) != `{"totalCount":0,"count":0,"data":[]}`+"\n" {
		t.Errorf("no models are %s", text)
	}
	s.detect(spool.Detection{Model: "m"})
	_, _, text := s.ask("GET", "/v1/detection/1", nil)
	for _, part := range []string{`"reasoning":[]`, `"technicalChecks":[]`, `"files":[]`, `"likelihood":0,`, `"fraudSeverity":"low"`} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}

func TestFailuresAreOfTheWiresForm(t *testing.T) {
	s := newSite(t, nil)
	s.detect(spool.Detection{Name: "a.csv"})
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/v1/detection?limit=0", 400}, {"GET", "/v1/detection?limit=101", 400}, {"GET", "/v1/detection?limit=x", 400},
		{"GET", "/v1/detection?offset=-1", 400}, {"GET", "/v1/detection?sortBy=colour", 400}, {"GET", "/v1/detection?direction=up", 400},
		{"GET", "/v1/detection?minLikelihood=101", 400}, {"GET", "/v1/detection?maxLikelihood=NaN", 400}, {"GET", "/v1/detection?tagFilter=x", 400},
		{"GET", "/v1/detection?minTimestamp=1725795600000", 400}, {"GET", "/v1/detection?maxTimestamp=-1", 400}, {"GET", "/v1/detection?model=a&model=b", 400},
		{"GET", "/v1/detection?minLikelyhood=3", 400}, {"GET", "/v1/detection?throughId=0", 400}, {"GET", "/v1/detection?limit=%zz", 400},
		{"GET", "/v1/detection/2", 404}, {"GET", "/v1/detection/0", 404}, {"GET", "/v1/detection/abc", 400}, {"GET", "/v1/detection/1/x", 404},
		{"GET", "/v1/detection/99999999999999999999", 400},
		{"DELETE", "/v1/detection/1", 405}, {"PUT", "/v1/detection", 405}, {"POST", "/v1/detection-models", 405}, {"POST", "/v1/files/x", 405},
		{"GET", "/v1/files/x", 404}, {"GET", "/v1/files/fd_x_y", 404}, {"GET", "/v1/files/fd_1_a.csv", 404}, {"GET", "/v1/files/fd_9_a.csv", 404}, {"GET", "/v1/files/", 404},
		{"POST", "/v1/detection", 415},
	} {
		code, header, text := s.ask(c.method, c.path, nil)
		refused(t, c.method+" "+c.path, code, header, text, c.want)
	}
}

// Pages put one after the other are the list, while detections come and while
// the first page's answer says how to go on.
func TestPagesConcatenateWhileDetectionsCome(t *testing.T) {
	s := newSite(t, nil)
	for i := range 230 {
		s.detect(spool.Detection{Sequence: 1, Name: fmt.Sprint(i), Score: 0.1, Model: []string{"a", "b"}[i%2]})
	}
	for _, query := range []string{"", "&sortBy=createdOn", "&sortBy=fileName&direction=asc", "&model=a&sortBy=likelihood", "&direction=asc"} {
		want := s.everything("?limit=100" + query + "&throughId=" + fmt.Sprint(s.list("?limit=1").Data[0].DetectionID))
		var got []uint64
		next := "/v1/detection?limit=7" + query
		for next != "" {
			code, header, text := s.ask("GET", next, nil)
			var p page
			if err := json.Unmarshal(text, &p); err != nil || code != http.StatusOK {
				t.Fatalf("%s: %d %s", next, code, text)
			}
			for _, r := range p.Data {
				got = append(got, r.DetectionID)
			}
			if int(p.TotalCount) != len(want) {
				t.Fatalf("%s: total %d, want %d", next, p.TotalCount, len(want))
			}
			next = ""
			if link, ok := strings.CutPrefix(header.Get("Link"), "<"); ok {
				next, _, _ = strings.Cut(link, ">")
			}
			s.detect(spool.Detection{Sequence: 1, Name: "later", Model: "a"}) // between the pages
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v\nwant %v", query, got, want)
		}
	}
}

// everything is the list in pages of the largest size.
func (s *site) everything(query string) (ids []uint64) {
	for offset := 0; ; offset += 100 {
		p := s.list(fmt.Sprintf("%s&offset=%d", query, offset))
		for _, r := range p.Data {
			ids = append(ids, r.DetectionID)
		}
		if p.Count < 100 {
			return ids
		}
	}
}

func TestFilesOfRecords(t *testing.T) {
	s := newSite(t, nil)
	large := make([]byte, 700<<10)
	for i := range large {
		large[i] = byte(i >> 8 * (i % 7))
	}
	for _, c := range []struct {
		name  string
		bytes []byte
	}{{"idle 1.csv", []byte("timestamp,x\n0,1\n")}, {"näh/e.wav", large}} {
		r, err := s.Append(t.Context(), spool.Record{Kind: spool.KindFile, Name: c.name, Dataset: "training", ContentType: "text/csv", Body: spool.Bytes(c.bytes)})
		if err == nil {
			err = r.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		id := s.detect(spool.Detection{Sequence: r.Results[0].Sequence, Name: c.name, ContentType: "text/csv", Size: int64(len(c.bytes))})[0]
		_, _, text := s.ask("GET", fmt.Sprintf("/v1/detection/%d", id), nil)
		var one result
		if err := json.Unmarshal(text, &one); err != nil || len(one.Result.Files) != 1 {
			t.Fatalf("%s: %s", c.name, text)
		}
		path := strings.TrimPrefix(one.Result.Files[0].URL, s.url)
		code, header, body := s.ask("GET", path, nil)
		if code != http.StatusOK || !bytes.Equal(body, c.bytes) || header.Get("Content-Type") != "text/csv" {
			t.Errorf("%s: %d %v, %d bytes", path, code, header, len(body))
		}
		for _, part := range []struct {
			ask      string
			from, to int
		}{{"bytes=3-9", 3, 10}, {"bytes=-5", len(c.bytes) - 5, len(c.bytes)}, {"bytes=10-", 10, len(c.bytes)}} {
			code, header, body := s.ask("GET", path, nil, "Range", part.ask)
			if code != http.StatusPartialContent || !bytes.Equal(body, c.bytes[part.from:part.to]) {
				t.Errorf("%s %s: %d %v, %d bytes", path, part.ask, code, header, len(body))
			}
		}
		code, header, body = s.ask("GET", path, nil, "Range", "bytes=99999999-")
		refused(t, "a range beyond the end", code, header, body, http.StatusRequestedRangeNotSatisfiable)
		_, header, _ = s.ask("HEAD", path, nil)
		etag := header.Get("ETag")
		if code, _, body := s.ask("GET", path, nil, "If-None-Match", `"other", `+etag); code != http.StatusNotModified || len(body) != 0 {
			t.Errorf("%s, unchanged: %d, %d bytes", path, code, len(body))
		}
		if code, _, body := s.ask("GET", path, nil, "Range", "bytes=1-2", "If-Range", etag); code != http.StatusPartialContent || len(body) != 2 {
			t.Errorf("%s, of the same: %d, %d bytes", path, code, len(body))
		}
		if code, _, body := s.ask("GET", path, nil, "Range", "bytes=1-2", "If-Range", `"other"`); code != http.StatusOK || len(body) != len(c.bytes) {
			t.Errorf("%s, of another: %d, %d bytes", path, code, len(body))
		}
	}
}

// lengthJudge finds a file suspicious by its length, and reads part of it.
type lengthJudge struct{ seen []File }

func (j *lengthJudge) Models() []Model {
	return []Model{{Name: "length", Version: "2"}, {Name: "picky"}}
}

func (j *lengthJudge) Score(_ context.Context, model string, f File) (spool.Detection, error) {
	j.seen = append(j.seen, f)
	switch {
	case model == "picky":
		return spool.Detection{}, fmt.Errorf("%w: it is of type %s", ErrUnsupported, f.ContentType)
	case model != "length":
		return spool.Detection{}, ErrUnknownModel
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(f.Bytes, head); err != nil {
		return spool.Detection{}, fmt.Errorf("read file: %w", err)
	}
	return spool.Detection{Score: 0.852, ModelVersion: "2", Classification: string(head), Tags: map[string]string{"head": "5", "customerId": "?"}}, nil
}

// form makes the body of a request to score a file; a field "file" is one.
func form(t *testing.T, fields ...string) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for i := 0; i < len(fields); i += 2 {
		var part io.Writer
		var err error
		if fields[i] == "file" {
			part, err = w.CreateFormFile("file", "../x/photo.PNG")
		} else {
			part, err = w.CreateFormField(fields[i])
		}
		if err == nil {
			_, err = io.WriteString(part, fields[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

func TestAFileIsScoredNow(t *testing.T) {
	judge := &lengthJudge{}
	s := newSite(t, judge)
	long := strings.Repeat("picture of something. ", 20000)
	tags := `{"customerId":"9999","attempt":3,"live":true}`
	for i, fields := range [][]string{
		{"model", "length", "file", long, "tags", tags, "country", "mx"},
		{"file", long, "country", "mx", "tags", tags, "model", "length"},
	} {
		body, kind := form(t, fields...)
		code, _, text := s.ask("POST", "/v1/detection", body, "Content-Type", kind)
		var got result
		if err := json.Unmarshal(text, &got); err != nil || code != http.StatusOK {
			t.Fatalf("got %d %s", code, text)
		}
		r := got.Result
		if r.DetectionID != uint64(i+1) || r.Likelihood != 85.2 || r.FraudSeverity != "high" || r.FileName != "photo.PNG" || r.MediaType != "image" ||
			r.FileType != "png" || r.FileSize != int64(len(long)) || r.Model != "length" || r.ModelVersion != "2" || r.Classification != "pictu" {
			t.Errorf("got %s", text)
		}
		want := []tag{{"attempt", "3"}, {"customerId", "9999"}, {"head", "5"}, {"live", "true"}}
		if len(r.Tags) < len(want) || !reflect.DeepEqual(r.Tags[:len(want)], want) {
			t.Errorf("tags are %v", r.Tags)
		}
		if p := s.list("?tagFilter=customerId=9999&tagFilter=attempt=3"); p.TotalCount != int64(i+1) || !reflect.DeepEqual(p.Data[0], r) {
			t.Errorf("the history has %+v, the answer was %+v", p, r)
		}
	}
	if judge.seen[0].Country != "mx" && judge.seen[1].Country != "mx" {
		t.Error("no model was told the country")
	}
}

func TestFilesThatAreNotScored(t *testing.T) {
	s := newSite(t, &lengthJudge{})
	for _, c := range []struct {
		what   string
		fields []string
		want   int
	}{
		{"no model", []string{"file", "abcdef"}, 400}, {"no file", []string{"model", "length"}, 400},
		{"unknown model", []string{"model", "x", "file", "abcdef"}, 404}, {"unknown model behind", []string{"file", "abcdef", "model", "x"}, 404},
		{"two files", []string{"model", "length", "file", "abcdef", "file", "abcdef"}, 400},
		{"tags that are none", []string{"model", "length", "tags", "[]", "file", "abcdef"}, 400},
		{"nested tags", []string{"model", "length", "tags", `{"a":{}}`, "file", "abcdef"}, 400},
		{"another type", []string{"model", "picky", "file", "abcdef"}, 415},
		{"too large", []string{"model", "length", "file", strings.Repeat("x", mostFile+1)}, 413},
		{"too large, held", []string{"file", strings.Repeat("x", mostFile+1), "model", "length"}, 413},
		{"a model that fails", []string{"model", "length", "file", "ab"}, 500},
	} {
		body, kind := form(t, c.fields...)
		code, header, text := s.ask("POST", "/v1/detection", body, "Content-Type", kind)
		refused(t, c.what, code, header, text, c.want)
	}
	code, header, text := s.ask("POST", "/v1/detection", strings.NewReader("--x\r\nnonsense"), "Content-Type", "multipart/form-data; boundary=x")
	refused(t, "a form that is none", code, header, text, 400)
	if p := s.list(""); p.TotalCount != 0 {
		t.Errorf("%d detections of files that were not scored", p.TotalCount)
	}
	none := newSite(t, nil)
	for _, fields := range [][]string{{"model", "length", "file", "abc"}, {"file", "abc", "model", "length"}} {
		body, kind := form(t, fields...)
		code, header, text := none.ask("POST", "/v1/detection", body, "Content-Type", kind)
		refused(t, "no detectors", code, header, text, 404)
	}
}

// brokenStore is a spool whose disk is full.
type brokenStore struct{ err error }

func (b brokenStore) Detections(context.Context, spool.DetectionQuery) (spool.DetectionPage, error) {
	return spool.DetectionPage{}, b.err
}
func (b brokenStore) Detect(context.Context, ...spool.Detection) ([]uint64, error) {
	return nil, b.err
}

func TestTroubleOfTheSpoolIsTold(t *testing.T) {
	for err, want := range map[error]int{spool.ErrFull: 503, spool.ErrReadOnly: 503, spool.ErrClosed: 503, errors.New("odd"): 500} {
		server := httptest.NewServer(openapitest.Check(t, New(Parts{Store: brokenStore{err}})))
		defer server.Close()
		s := &site{t: t, url: server.URL, http: server.Client()}
		code, header, text := s.ask("GET", "/v1/detection", nil)
		refused(t, err.Error(), code, header, text, want)
	}
}
