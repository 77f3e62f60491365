package listener

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shared finds material outside the repository, or skips.
func shared(t *testing.T, path string) string {
	t.Helper()
	dir := os.Getenv("EDGESPOOL_SHARED")
	if dir == "" {
		root, err := filepath.Abs(".")
		if err != nil {
			t.Fatal(err)
		}
		for !exists(filepath.Join(root, "go.mod")) {
			if root == filepath.Dir(root) {
				t.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared")
	}
	full := filepath.Join(dir, path)
	if !exists(full) {
		t.Skipf("%s is not here: set EDGESPOOL_SHARED to the folder that holds it", full)
	}
	return full
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// send writes raw bytes to the server as one connection does, and reads one
// answer.
func (x *tryout) send(raw []byte) *http.Response {
	x.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(x.url, "http://"))
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write(raw); err != nil {
		x.t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// A capture is what the vendor's client sent and what a stub answered.
type capture struct {
	name    string
	request []byte
	status  int
	body    []byte
}

func captures(t *testing.T) []capture {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(shared(t, "captures/edge-impulse"), "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	var all []capture
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		request, answer, ok := bytes.Cut(raw, []byte("\n<<<<<<<< response from the stub >>>>>>>>\n"))
		if !ok {
			t.Fatalf("%s: no answer in it", name)
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, capture{strings.TrimSuffix(filepath.Base(name), ".txt"), request, r.StatusCode, body.Bytes()})
	}
	return all
}

// provoked are the captures where the stub was told to fail; a listener that
// is well answers them like any other upload.
func (c capture) provoked() bool { return strings.Contains(c.name, "-server-") }

// TestCaptures replays what the vendor's own client sent, byte for byte, each
// to a fresh source, and expects what that client expects: the stub's status,
// content type and shape. The categories and labels are those of the record.
func TestCaptures(t *testing.T) {
	want := map[string]struct{ dataset, label, name, kind string }{
		"01-cbor-training-infer":           {"training", "idle", "idle.01.cbor", "application/cbor"},
		"02-json-training-label":           {"training", "wave motion", "wave.02.json", "application/json"},
		"03-csv-training-label":            {"training", "snake", "snake.csv", "text/csv"},
		"04-wav-training-label-metadata":   {"training", "noise", "noise.wav", "audio/wav"},
		"05-cbor-testing":                  {"testing", "idle", "idle.01.cbor", "application/cbor"},
		"06-json-anomaly":                  {"anomaly", "wave", "wave.02.json", "application/json"},
		"08-json-allow-duplicates":         {"training", "wave", "wave.02.json", "application/json"},
		"09-duplicate-second-upload":       {"training", "wave", "wave.02.json", "application/json"},
		"10-duplicate-dont-allow-failed":   {"training", "wave", "wave.02.json", "application/json"},
		"11-label-unicode":                 {"training", "späce/lábel 温", "wave.02.json", "application/json"},
		"14-server-500":                    {"training", "wave", "wave.02.json", "application/json"},
		"15-server-429":                    {"training", "wave", "wave.02.json", "application/json"},
		"16-server-401":                    {"training", "wave", "wave.02.json", "application/json"},
		"21-legacy-data-anomaly.1":         {"anomaly", "höt", "temp.1.json", "application/json"},
		"10-duplicate-dont-allow-failed.2": {}, "18-category-bogus": {}, "21-legacy-data-anomaly.2": {},
	}
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			w, ok := want[c.name]
			if !ok {
				t.Fatal("a capture that this test does not know")
			}
			x := start(t)
			if strings.HasSuffix(c.name, ".2") {
				x.send(c.request) // the first of the two sent the same
			}
			before := len(x.sink.appended())
			answer := x.send(c.request)
			var body bytes.Buffer
			if _, err := body.ReadFrom(answer.Body); err != nil {
				t.Fatal(err)
			}
			switch {
			case c.name == "18-category-bogus":
				// The stub took any word; the client reports what it is told.
				if answer.StatusCode != 400 || !strings.Contains(body.String(), `{"success":false,"error":"Invalid category`) {
					t.Errorf("got %d %s", answer.StatusCode, &body)
				}
			case !c.provoked() && answer.StatusCode != c.status:
				t.Errorf("got %d %s, want %d", answer.StatusCode, &body, c.status)
			case c.provoked() && answer.StatusCode != 200:
				t.Errorf("got %d %s, want 200", answer.StatusCode, &body)
			case !c.provoked():
				sameShape(t, body.Bytes(), c.body)
			}
			got := x.sink.appended()[before:]
			if w.name == "" {
				if len(got) != 0 {
					t.Errorf("got %d records, want none", len(got))
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("got %d records, want 1: %s", len(got), &body)
			}
			r := got[0]
			if r.Dataset != w.dataset || r.Label.Text != w.label || r.Name != w.name || r.ContentType != w.kind {
				t.Errorf("got %s %q %s %s, want %+v", r.Dataset, r.Label.Text, r.Name, r.ContentType, w)
			}
			if !bytes.Contains(c.request, []byte(bodyText(t, r.Body))) {
				t.Error("the stored bytes are not those of the request")
			}
			if isDocument(r.ContentType) && (r.DeviceName == "" || r.DeviceType == "" || r.DeviceType == "EDGE_IMPULSE_CLI") {
				t.Errorf("got device %q of type %q, want those of the document", r.DeviceName, r.DeviceType)
			}
			if strings.Contains(c.name, "metadata") && (r.Metadata["rig"] != "a=1, b" || r.Metadata["site"] != "Amsterdam") {
				t.Errorf("got metadata %v", r.Metadata)
			}
		})
	}
}

// sameShape compares two answers: the same keys and the same kinds of values
// in the same places; for plain text the beginning that clients look for.
func sameShape(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if json.Unmarshal(want, &w) != nil {
		if head, _, repeated := bytes.Cut(want, []byte(" (ids:")); repeated && !bytes.HasPrefix(got, head) {
			t.Errorf("got %s, want %s", got, want)
		}
		if bytes.HasPrefix(got, []byte("{")) {
			t.Errorf("got %s, want plain text such as %s", got, want)
		}
		return
	}
	if err := json.Unmarshal(got, &g); err != nil {
		t.Errorf("got %s: %v", got, err)
		return
	}
	if shapeOf(g) != shapeOf(w) {
		t.Errorf("got %s of shape %s, want %s", got, shapeOf(g), shapeOf(w))
	}
}

// shapeOf writes a JSON value with its kinds instead of its values; truth
// values and fixed sentences stay.
func shapeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		shapes := make(map[string]string, len(v))
		for k, e := range v {
			shapes[k] = shapeOf(e)
		}
		text, _ := json.Marshal(shapes)
		return string(text)
	case []any:
		shapes := make([]string, len(v))
		for i, e := range v {
			shapes[i] = shapeOf(e)
		}
		return "[" + strings.Join(shapes, " ") + "]"
	case string:
		head, _, repeated := strings.Cut(v, " (ids:")
		if repeated {
			return head
		}
		return "text"
	case float64:
		return "number"
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return "null"
}
