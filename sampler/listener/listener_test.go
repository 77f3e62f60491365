package listener

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

const testKey = "ei_0000000000000000000000000000000000000000000000000000000000000000"

// A tryout is a running source on a server of its own.
type tryout struct {
	*Source
	t    *testing.T
	url  string
	sink *notingSink
	stop func()
}

// notingSink hands everything on to a real spool and notes what was appended.
// refuse, if set, is what Append fails with.
type notingSink struct {
	*spool.Spool
	mu      sync.Mutex
	records []spool.Record
	refuse  error
	staged  chan struct{} // if set, told of each Stage that begins
}

func (n *notingSink) Stage(ctx context.Context, r io.Reader, limit int64) (spool.Body, error) {
	if n.staged != nil {
		n.staged <- struct{}{}
	}
	return n.Spool.Stage(ctx, r, limit)
}

func (n *notingSink) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse != nil {
		return spool.Receipt{}, n.refuse
	}
	receipt, err := n.Spool.Append(ctx, recs...)
	if err == nil {
		for i, r := range recs {
			if !receipt.Results[i].Duplicate {
				r.Sequence = receipt.Results[i].Sequence
				n.records = append(n.records, r)
			}
		}
	}
	return receipt, err
}

func (n *notingSink) appended() []spool.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.records)
}

func (n *notingSink) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = err
}

func newSink(t testing.TB) *notingSink {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.MaxBytes, c.MinFree, c.AllowVolatile = t.TempDir(), 1<<30, 0, true
	// Nothing is committed in a test's time unless somebody waits for it.
	c.Commit = spool.CommitConfig{Bytes: 1 << 30, Interval: time.Hour}
	s, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &notingSink{Spool: s}
}

func newSource(c Config, key func() (string, error)) *Source {
	return New(sampler.Setup{
		Name: "lan", Labelling: sampler.NewLabelling(sampler.Choice{}), Progress: &sampler.Progress{},
		Log: slog.New(slog.DiscardHandler), Clock: sampler.NewClock(), Metadata: map[string]string{"hall": "3"},
	}, c, key)
}

// start runs a source as the agent does, mounted on a server.
func start(t *testing.T, change ...func(c *Config)) *tryout {
	t.Helper()
	c := DefaultConfig()
	for _, f := range change {
		f(&c)
	}
	s := newSource(c, func() (string, error) { return testKey, nil })
	x := &tryout{Source: s, t: t, sink: newSink(t)}
	server := httptest.NewServer(s)
	x.url = server.URL
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, x.sink) }()
	for s.setup.Progress.Snapshot().State == "" {
		// Run has begun once it shows a state.
		select {
		case err := <-ended:
			t.Fatalf("Run ended early: %v", err)
		default:
		}
	}
	x.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		server.Close()
	})
	t.Cleanup(func() { x.stop() })
	return x
}

// An upload is a request in the making.
type upload struct {
	path   string
	header map[string]string
	body   []byte
}

type part struct{ name, kind, body string }

// files makes a request for /files of parts in the field data.
func files(category string, header map[string]string, parts ...part) upload {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="data"; filename="%s"`, p.name)}}
		if p.kind != "" {
			h.Set("Content-Type", p.kind)
		}
		to, _ := w.CreatePart(h)
		_, _ = io.WriteString(to, p.body)
	}
	_ = w.Close()
	all := map[string]string{"Content-Type": w.FormDataContentType()}
	maps.Copy(all, header)
	return upload{"/api/" + category + "/files", all, b.Bytes()}
}

func data(category, name, kind, body string, header map[string]string) upload {
	all := map[string]string{"Content-Type": kind}
	if name != "" {
		all["x-file-name"] = name
	}
	maps.Copy(all, header)
	return upload{"/api/" + category + "/data", all, []byte(body)}
}

// post sends the request and returns status, text and header of the answer.
func (x *tryout) post(u upload) (int, string, http.Header) {
	x.t.Helper()
	r, err := http.NewRequestWithContext(x.t.Context(), http.MethodPost, x.url+u.path, bytes.NewReader(u.body))
	if err != nil {
		x.t.Fatal(err)
	}
	r.Header.Set("x-api-key", testKey)
	for k, v := range u.header {
		if v == "-" {
			r.Header.Del(k)
			continue
		}
		r.Header.Set(k, v)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		x.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

// want posts and compares status and text.
func (x *tryout) want(u upload, status int, text string) {
	x.t.Helper()
	gotStatus, got, _ := x.post(u)
	if gotStatus != status || got != text {
		x.t.Errorf("%s: got %d %s\nwant %d %s", u.path, gotStatus, got, status, text)
	}
}

func csv(n int) string { return fmt.Sprintf("timestamp,accX\n0,%d\n16,2\n", n) }

func bodyText(t *testing.T, b spool.Body) string {
	t.Helper()
	text, err := readBody(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFilesAreKeptAsTheyCame(t *testing.T) {
	x := start(t)
	x.want(files("training", map[string]string{"x-metadata": `{"site":"\u00e4"}`},
		part{"idle.01.csv", "text/csv", csv(1)}, part{"sub/dir\\späce wave.csv", "text/csv", csv(2)}, part{"noise.bin", "", "??"},
		part{"cut.cbor", "", "\xa1"}),
		200, `{"success":true,"files":[{"success":true,"projectId":1,"sampleId":1,"fileName":"idle.01.csv"},`+
			`{"success":true,"projectId":1,"sampleId":2,"fileName":"späce wave.csv"},`+
			`{"success":false,"error":"Invalid mimetype: files like noise.bin are not supported"},`+
			`{"success":false,"error":"Invalid document: read document: not an acquisition document: at byte 1: it ends too early"}]}`)
	if commits := x.sink.Stats().Commits; commits != 1 {
		t.Errorf("got %d commits before the answer, want 1", commits)
	}
	got := x.sink.appended()
	if len(got) != 2 {
		t.Fatalf("got %d records, want 2", len(got))
	}
	r := got[0]
	if r.Name != "idle.01.csv" || r.Dataset != "training" || r.Label.Text != "idle" || r.ContentType != "text/csv" ||
		r.Source != "lan" || r.Kind != spool.KindFile || r.Identity != r.SHA256 || r.Size != int64(len(csv(1))) || r.Time.Boot == [16]byte{} {
		t.Errorf("got record %+v", r)
	}
	if want := map[string]string{"hall": "3", "site": "ä"}; !maps.Equal(r.Metadata, want) {
		t.Errorf("got metadata %v, want %v", r.Metadata, want)
	}
	if text := bodyText(t, r.Body); text != csv(1) {
		t.Errorf("got body %q", text)
	}
	if got[1].Label.Text != "sp" {
		t.Errorf("got label %q, want sp", got[1].Label.Text)
	}
	p := x.setup.Progress.Snapshot()
	if p.Samples != 2 || p.Rejected != 2 || p.Duplicates != 0 || p.LastSample.IsZero() || p.Detail["requests"] != 1 || !strings.Contains(p.LastBad, "document") {
		t.Errorf("got progress %+v", p)
	}
}

func TestLabelHeaders(t *testing.T) {
	x := start(t)
	for i, c := range []struct {
		header map[string]string
		want   string
	}{
		{nil, "idle"},
		{map[string]string{"x-label": "wave%20motion"}, "wave motion"},
		{map[string]string{"x-label": "sp%C3%A4ce%2Fl%C3%A1bel%20%E6%B8%A9"}, "späce/lábel 温"},
		{map[string]string{"x-label": "100%"}, "100%"},
		{map[string]string{"x-label": "h\xf6t"}, "höt"},
		{map[string]string{"x-label": ""}, "idle"},
		{map[string]string{"x-label": "", "x-no-label": "1"}, ""},
		{map[string]string{"x-no-label": "1"}, ""},
		{map[string]string{"x-no-label": "0"}, "idle"},
	} {
		if status, text, _ := x.post(files("testing", c.header, part{"idle.01.csv", "", csv(i)})); status != 200 {
			t.Fatalf("%v: got %d %s", c.header, status, text)
		}
		if got := x.sink.appended()[i]; got.Label.Text != c.want || got.Dataset != "testing" {
			t.Errorf("%v: got label %q in %s, want %q in testing", c.header, got.Label.Text, got.Dataset, c.want)
		}
	}
}

func TestOperatorsChoice(t *testing.T) {
	x := start(t)
	last := func(header map[string]string) string {
		n := len(x.sink.appended())
		if status, text, _ := x.post(files("training", header, part{"idle.csv", "", csv(n)})); status != 200 {
			t.Fatalf("got %d %s", status, text)
		}
		r := x.sink.appended()[n]
		return r.Dataset + "/" + r.Label.Text
	}
	label := map[string]string{"x-label": "sent"}
	x.setup.Labelling.Set(sampler.Choice{Label: "chosen"})
	if got := last(label) + " " + last(nil) + " " + last(map[string]string{"x-no-label": "1"}); got != "training/sent training/chosen training/" {
		t.Errorf("for good: got %s", got)
	}
	x.setup.Labelling.SetFor(sampler.Choice{Label: "recorded", Category: "testing"}, 1<<40)
	if got := last(label); got != "testing/recorded" {
		t.Errorf("for a while: got %s", got)
	}
	x.setup.Labelling.Set(sampler.Choice{Disabled: true})
	status, _, h := x.post(files("training", nil, part{"idle.csv", "", csv(99)}))
	if status != 503 || h.Get("Retry-After") == "" {
		t.Errorf("paused: got %d, Retry-After %q", status, h.Get("Retry-After"))
	}
}

func TestCategories(t *testing.T) {
	x := start(t)
	for i, c := range sampler.Categories {
		if status, text, _ := x.post(files(c, nil, part{"a.csv", "", csv(i)})); status != 200 {
			t.Errorf("%s: got %d %s", c, status, text)
		} else if got := x.sink.appended()[i].Dataset; got != c {
			t.Errorf("got %s, want %s", got, c)
		}
	}
	seen := map[string]int{}
	for i := range 40 {
		x.post(files("split", nil, part{"a.csv", "", csv(1000 + i)}))
	}
	for _, r := range x.sink.appended()[len(sampler.Categories):] {
		seen[r.Dataset]++
		if want := sampler.Split(r.Identity); r.Dataset != want {
			t.Errorf("split: got %s, want %s", r.Dataset, want)
		}
	}
	if len(seen) != 2 || seen["training"] <= seen["testing"] {
		t.Errorf("split: got %v", seen)
	}
	x.want(files("bogus", nil, part{"a.csv", "", csv(0)}), 400,
		`{"success":false,"error":"Invalid category \"bogus\", expected training, testing, anomaly, validation, post-processing or split"}`)
}

// TestRepeats is the whole matrix: endpoint, header, first in the same or in
// an earlier request.
func TestRepeats(t *testing.T) {
	x := start(t)
	strict := map[string]string{"x-disallow-duplicates": "1"}
	stored := func(id int, name string) string {
		return fmt.Sprintf(`{"success":true,"projectId":1,"sampleId":%d,"fileName":%q}`, id, name)
	}
	known := func(id int) string {
		return fmt.Sprintf(`{"success":false,"error":"An item with this hash already exists (ids: %d)"}`, id)
	}
	list := func(lines ...string) string {
		return `{"success":true,"files":[` + strings.Join(lines, ",") + `]}`
	}
	a, b, c := part{"a.csv", "", csv(1)}, part{"b.csv", "", csv(2)}, part{"c.csv", "", csv(1)}
	x.want(files("training", strict, a), 200, list(stored(1, "a.csv")))
	x.want(files("training", strict, a), 200, list(known(1)))
	x.want(files("training", nil, a), 200, list(stored(1, "a.csv")))
	x.want(files("testing", strict, c), 200, list(known(1)))
	x.want(files("training", strict, b, a, b), 200, list(stored(2, "b.csv"), known(1), known(2)))
	x.want(files("training", nil, c, b), 200, list(stored(1, "c.csv"), stored(2, "b.csv")))
	x.want(files("training", map[string]string{"x-disallow-duplicates": "true"}, b), 200, list(known(2)))

	const plain = "application/octet-stream"
	x.want(data("training", "d.csv", plain, csv(3), strict), 200, "d.csv")
	x.want(data("training", "d.csv", plain, csv(3), strict), 400, "An item with this hash already exists (ids: 3)")
	x.want(data("anomaly", "e.csv", plain, csv(3), strict), 400, "An item with this hash already exists (ids: 3)")
	x.want(data("training", "d.csv", plain, csv(3), nil), 200, "d.csv")
	x.want(files("training", strict, part{"d.csv", "", csv(3)}), 200, list(known(3)))

	if got := len(x.sink.appended()); got != 3 {
		t.Errorf("got %d records, want 3", got)
	}
	if p := x.setup.Progress.Snapshot(); p.Samples != 3 || p.Duplicates != 12 {
		t.Errorf("got %d samples and %d duplicates, want 3 and 12", p.Samples, p.Duplicates)
	}
}

func TestAddDateID(t *testing.T) {
	x := start(t)
	x.post(files("training", map[string]string{"x-add-date-id": "1"}, part{"idle.01.csv", "", csv(1)}))
	r := x.sink.appended()[0]
	if want := "idle.01." + r.ID() + ".csv"; r.Name != want || r.Label.Text != "idle" {
		t.Errorf("got %s labelled %q, want %s labelled idle", r.Name, r.Label.Text, want)
	}
}

func TestRefusedRequests(t *testing.T) {
	x := start(t, func(c *Config) { c.MaxRequest, c.MaxFile = 512<<10, 4<<10 })
	good := files("training", nil, part{"a.csv", "", csv(1)})
	with := func(u upload, k, v string) upload {
		u.header = maps.Clone(u.header)
		u.header[k] = v
		return u
	}
	many := make([]part, 1001)
	for i := range many {
		many[i] = part{"a.csv", "", ""}
	}
	cut := good
	cut.body = cut.body[:len(cut.body)-8]
	for _, c := range []struct {
		name   string
		u      upload
		status int
		says   string
	}{
		{"no key", with(good, "x-api-key", "-"), 401, "Missing x-api-key header"},
		{"wrong key", with(good, "x-api-key", "ei_1"), 401, "Invalid API key"},
		{"no multipart", with(good, "Content-Type", "text/csv"), 415, "multipart/form-data"},
		{"no boundary", with(good, "Content-Type", "multipart/form-data"), 415, "boundary"},
		{"metadata", with(good, "x-metadata", "site=4"), 400, "x-metadata"},
		{"metadata number", with(good, "x-metadata", `{"site":4}`), 400, "x-metadata"},
		{"metadata null", with(good, "x-metadata", `{"site":null}`), 400, "x-metadata"},
		{"boxes", with(good, "x-bounding-boxes", `{"a":1}`), 400, "x-bounding-boxes"},
		{"box without size", with(good, "x-bounding-boxes", `[{"label":"a"}]`), 400, "x-bounding-boxes"},
		{"long header", with(good, "x-label", strings.Repeat("a", longestHeader+1)), 431, "x-label"},
		{"encoding", with(good, "Content-Encoding", "br"), 415, "br"},
		{"not gzip", with(good, "Content-Encoding", "gzip"), 400, "gzip"},
		{"end missing", cut, 400, "Invalid body"},
		{"too many files", with(files("training", nil, many...), "x-label", "a"), 413, "1000 files"},
		{"too large", files("training", nil, part{"a.csv", "", strings.Repeat("a", 513<<10)}), 413, "524288"},
		{"data without name", data("training", "", "application/json", "{}", nil), 422, "Missing x-file-name header"},
		{"data of a wrong type", data("training", "a.csv", "application/xml", "<a/>", nil), 415, "application/xml"},
		{"data with a bad name", data("training", "..", "text/csv", csv(1), nil), 400, "x-file-name"},
		{"data empty", data("training", "a.csv", "text/csv", "", nil), 400, "empty"},
		{"data too large", data("training", "a.csv", "text/csv", strings.Repeat("a", 5<<10), nil), 400, "larger than 4096"},
		{"data no document", data("training", "a.json", "application/json", `{"a":1}`, nil), 400, "Invalid document"},
		{"endpoint", upload{"/api/training/file", nil, nil}, 404, "endpoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text, _ := x.post(c.u)
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("got %d %s, want %d with %q", status, text, c.status, c.says)
			}
			if json := strings.HasPrefix(text, `{"success":false,"error":"`); json == strings.HasSuffix(c.u.path, "/data") {
				t.Errorf("wrong shape for %s: %s", c.u.path, text)
			}
		})
	}
	if got := len(x.sink.appended()); got != 0 {
		t.Errorf("got %d records, want none", got)
	}
	x.want(files("training", nil, part{"a.csv", "", strings.Repeat("a", 5<<10)}, part{"b.csv", "", csv(1)}), 200,
		`{"success":true,"files":[{"success":false,"error":"The file is larger than 4096 bytes"},{"success":true,"projectId":1,"sampleId":1,"fileName":"b.csv"}]}`)
}

func TestMethods(t *testing.T) {
	x := start(t)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		r, _ := http.NewRequestWithContext(t.Context(), method, x.url+"/api/post-processing/files", nil)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 405 || answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s: got %d, Allow %q", method, answer.StatusCode, answer.Header.Get("Allow"))
		}
	}
}

func TestFileNames(t *testing.T) {
	for raw, want := range map[string]string{
		"a.csv": "a.csv", "../../etc/passwd": "passwd", `C:\data\a.csv`: "a.csv", "/": "", "..": "", ".": "", "": "", "a/..": "",
		`..\..`: "", "a\nb": "", "温度.1.json": "温度.1.json", "h\xf6t.csv": "höt.csv", strings.Repeat("a", 201): "", ".hidden": ".hidden", "a/": "a",
	} {
		got, err := baseName(raw)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("baseName(%q) = %q, %v; want %q", raw, got, err, want)
		}
	}
}

func TestKeyRotation(t *testing.T) {
	x := start(t)
	key, failure := "first", error(nil)
	x.key = func() (string, error) { return key, failure }
	post := func(with string, n int) int {
		status, _, _ := x.post(files("training", map[string]string{"x-api-key": with}, part{"a.csv", "", csv(n)}))
		return status
	}
	if got := []int{post("first", 1), post("second", 2)}; !slices.Equal(got, []int{200, 401}) {
		t.Errorf("before: got %v", got)
	}
	key = "second"
	if got := []int{post("first", 3), post("second", 4)}; !slices.Equal(got, []int{401, 200}) {
		t.Errorf("after: got %v", got)
	}
	failure = errors.New("permission denied")
	if got := post("second", 5); got != 503 || x.setup.Progress.Snapshot().State != sampler.StateWaiting {
		t.Errorf("unreadable: got %d, state %s", got, x.setup.Progress.Snapshot().State)
	}
	failure, key = nil, ""
	if got := post("", 6); got != 503 {
		t.Errorf("empty key: got %d", got)
	}
	key = "second"
	if got := post("second", 7); got != 200 || x.setup.Progress.Snapshot().State != sampler.StateRunning {
		t.Errorf("again: got %d, state %s", got, x.setup.Progress.Snapshot().State)
	}
}

func TestTroubleOfTheSpool(t *testing.T) {
	x := start(t)
	good := files("training", nil, part{"a.csv", "", csv(1)})
	for _, c := range []struct {
		err    error
		status int
		retry  string
	}{
		{fmt.Errorf("append records: %w", spool.ErrFull), 503, "60"},
		{spool.ErrReadOnly, 503, "60"},
		{spool.ErrClosed, 503, "5"},
		{spool.ErrTooLarge, 413, ""},
		{errors.New("input/output error"), 500, ""},
	} {
		x.sink.fail(c.err)
		status, text, h := x.post(good)
		if status != c.status || h.Get("Retry-After") != c.retry || !strings.HasPrefix(text, `{"success":false,"error":"`) {
			t.Errorf("%v: got %d, Retry-After %q, %s", c.err, status, h.Get("Retry-After"), text)
		}
	}
	x.sink.fail(nil)
	x.want(good, 200, `{"success":true,"files":[{"success":true,"projectId":1,"sampleId":1,"fileName":"a.csv"}]}`)
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestLargestFile checks that the largest file Edge Impulse takes is taken,
// and one of a byte more is not.
func TestLargestFile(t *testing.T) {
	x := start(t)
	frame := files("training", nil, part{"long.mp4", "video/mp4", ""})
	end := bytes.Index(frame.body, []byte("\r\n\r\n")) + 4
	for _, c := range []struct {
		size int64
		says string
	}{{100 << 20, "larger than 104857599 bytes"}, {100<<20 - 1, `"success":true,"projectId"`}} {
		body := io.MultiReader(bytes.NewReader(frame.body[:end]), io.LimitReader(zeros{}, c.size), bytes.NewReader(frame.body[end:]))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, x.url+frame.path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-api-key", testKey)
		r.Header.Set("Content-Type", frame.header["Content-Type"])
		resp, err := new(http.Client).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), c.says) {
			t.Errorf("%d bytes: got %d %s, %v, want %s", c.size, resp.StatusCode, text, err, c.says)
		}
	}
	if recs := x.sink.appended(); len(recs) != 1 || recs[0].Size != sampler.MaxBody {
		t.Errorf("got %d records, want the one of %d bytes", len(recs), sampler.MaxBody)
	}
}
