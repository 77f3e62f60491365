package listener

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// document is an unsigned acquisition document of so many rows.
func document(device string, rows int) string {
	return fmt.Sprintf(`{"protected":{"ver":"v1","alg":"none"},"signature":"00","payload":{"device_name":%q,"device_type":"TEST",`+
		`"interval_ms":10,"sensors":[{"name":"a","units":"m/s2"}],"values":[%s]}}`, device, strings.TrimSuffix(strings.Repeat("1.5,", rows), ","))
}

func (x *tryout) byName() map[string]spool.Record {
	all := make(map[string]spool.Record)
	for _, r := range x.sink.appended() {
		all[r.Name] = r
	}
	return all
}

// TestLabelFiles sends the label files before and behind the files they
// speak of. They get no line in the answer.
func TestLabelFiles(t *testing.T) {
	boxes := part{"bounding_boxes.labels", "application/json",
		`{"version":1,"type":"bounding-box-labels","boundingBoxes":{"cat.jpg":[{"label":"cat","x":1,"y":2,"width":3,"height":4}],"none.jpg":[]}}`}
	rows := part{"structured_labels.labels", "application/json",
		`{"version":1,"type":"structured-labels","structuredLabels":{"move.json":[{"startIndex":0,"endIndex":1,"label":"up"},{"startIndex":2,"endIndex":2,"label":"down"}]}}`}
	pairs := part{"label_map.labels", "application/json",
		`{"version":1,"type":"label-map-labels","labels":{"pairs.csv":{"speed":"fast"},"list.csv":["a","b"]}}`}
	attached := part{"attachments.labels", "application/json",
		`{"version":1,"type":"attachments","attachments":{"with.csv":[{"filename":"photo.png"}]}}`}
	labels := []part{boxes, rows, pairs, attached}
	samples := []part{{"cat.jpg", "", "cat"}, {"none.jpg", "", "none"}, {"move.json", "", document("aa", 3)}, {"pairs.csv", "", csv(1)},
		{"list.csv", "", csv(2)}, {"photo.png", "image/png", "photo"}, {"with.csv", "", csv(3)}, {"plain.csv", "", csv(4)}}
	for name, order := range map[string][]part{"before": append(labels[:4:4], samples...), "behind": append(samples[:8:8], labels...)} {
		t.Run(name, func(t *testing.T) {
			x := start(t)
			status, text, _ := x.post(files("training", map[string]string{"x-label": "said"}, order...))
			var answer struct{ Files []fileAnswer }
			if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 || len(answer.Files) != 7 {
				t.Fatalf("got %d %s, want 7 files", status, text)
			}
			for i, want := range []string{"cat.jpg", "none.jpg", "move.json", "pairs.csv", "list.csv", "with.csv", "plain.csv"} {
				if answer.Files[i].FileName != want {
					t.Errorf("line %d: got %+v, want %s", i, answer.Files[i], want)
				}
			}
			got := x.byName()
			for name, want := range map[string]spool.Label{
				"cat.jpg":   {Boxes: []spool.Box{{Label: "cat", X: 1, Y: 2, Width: 3, Height: 4}}},
				"none.jpg":  {},
				"move.json": {Segments: []spool.Segment{{Start: 0, End: 1, Text: "up"}, {Start: 2, End: 2, Text: "down"}}},
				"pairs.csv": {Pairs: map[string]string{"speed": "fast"}},
				"list.csv":  {},
				"with.csv":  {Text: "said"},
				"plain.csv": {Text: "said"},
			} {
				if label := got[name].Label; !reflect.DeepEqual(label, want) {
					t.Errorf("%s: got %+v, want %+v", name, label, want)
				}
			}
			for name, want := range map[string]string{
				"none.jpg": `bounding_boxes.labels {"version":1,"type":"bounding-box-labels","boundingBoxes":{"none.jpg":[]}}`,
				"list.csv": `label_map.labels {"labels":{"list.csv":["a","b"]},"type":"label-map-labels","version":1}`,
				"with.csv": `attachments.labels {"attachments":{"with.csv":[{"filename":"photo.png"}]},"type":"attachments","version":1} photo.png photo`,
			} {
				var all []string
				for _, c := range got[name].Companions {
					all = append(all, c.Name+" "+string(c.Bytes))
				}
				if strings.Join(all, " ") != want {
					t.Errorf("%s: got companions %s, want %s", name, all, want)
				}
			}
			if got["move.json"].DeviceName != "aa" || got["move.json"].DeviceType != "TEST" {
				t.Errorf("got device %q %q", got["move.json"].DeviceName, got["move.json"].DeviceType)
			}
		})
	}
}

func TestFaultyLabelFiles(t *testing.T) {
	x := start(t)
	sample := part{"a.json", "", document("aa", 2)}
	for _, c := range []struct {
		label part
		says  string
	}{
		{part{"bounding_boxes.labels", "", `{"version":1,"type":"boxes","boundingBoxes":{}}`}, `{"success":false,"error":"Invalid type`},
		{part{"bounding_boxes.labels", "", `{"version":1,`}, `{"success":false,"error":"Invalid type`},
		{part{"structured_labels.labels", "", `[]`}, `{"success":false,"error":"Invalid type`},
		{part{"label_map.labels", "", `{"version":2,"type":"label-map-labels","labels":{}}`}, `{"success":false,"error":"Invalid type`},
		{part{"label_map.labels", "", `{"version":1,"type":"label-map-labels","labels":{"a.json":{"k":1}}}`}, `{"success":false,"error":"Invalid type`},
		{part{"attachments.labels", "", `{"version":1,"type":"attachments"}`}, `{"success":false,"error":"Invalid type`},
	} {
		if status, text, _ := x.post(files("training", nil, sample, c.label)); status != 400 || !strings.HasPrefix(text, c.says) {
			t.Errorf("%s %s: got %d %s", c.label.name, c.label.body, status, text)
		}
	}
	for _, c := range []struct {
		parts []part
		says  string
	}{
		{[]part{sample, {"info.labels", "", `{"version":1,"files":[]}`}}, "Invalid mimetype"},
		{[]part{{"b.json", "", document("aa", 2)}, {"structured_labels.labels", "",
			`{"version":1,"type":"structured-labels","structuredLabels":{"b.json":[{"startIndex":0,"endIndex":5,"label":"x"}]}}`}}, "Invalid structured labels"},
		{[]part{{"c.csv", "", csv(1)}, {"attachments.labels", "",
			`{"version":1,"type":"attachments","attachments":{"c.csv":[{"filename":"missing.png"}]}}`}}, "missing.png"},
	} {
		if status, text, _ := x.post(files("training", nil, c.parts...)); status != 200 || !strings.Contains(text, `"success":false,"error":"`) || !strings.Contains(text, c.says) {
			t.Errorf("%s: got %d %s", c.says, status, text)
		}
	}
	if got := x.byName(); len(got) != 1 || got["a.json"].Label.Text != "a" {
		t.Errorf("got %d records", len(got))
	}
	large := part{"bounding_boxes.labels", "", strings.Repeat(" ", mostLabelBytes+1)}
	if status, text, _ := x.post(files("training", nil, large)); status != 413 {
		t.Errorf("large label file: got %d %s", status, text)
	}
}

func TestBoundingBoxesHeader(t *testing.T) {
	x := start(t)
	x.post(files("training", map[string]string{"x-bounding-boxes": `[{"label":"cat","x":1,"y":2,"width":3,"height":4}]`}, part{"a.jpg", "", "a"}))
	x.post(files("training", map[string]string{"x-bounding-boxes": `[]`}, part{"b.jpg", "", "b"}))
	got := x.byName()
	if want := []spool.Box{{Label: "cat", X: 1, Y: 2, Width: 3, Height: 4}}; !reflect.DeepEqual(got["a.jpg"].Label.Boxes, want) {
		t.Errorf("got %+v, want %+v", got["a.jpg"].Label, want)
	}
	if c := got["b.jpg"].Companions; len(c) != 1 || c[0].Name != acquisition.BoundingBoxesName {
		t.Errorf("background: got %+v", c)
	}
}

// TestLegacyParts sends what OpenMV's editor sends: a document that names an
// image, and the image.
func TestLegacyParts(t *testing.T) {
	x := start(t)
	about := `{"protected":{"ver":"v1","alg":"HS256"},"signature":"` + strings.Repeat("0", 64) + `","payload":{"device_name":"aa:bb","device_type":"OPENMV_IDE",` +
		`"interval_ms":0,"sensors":[{"name":"image","units":"rgba"}],"values":["Ref-BINARY-image/jpeg (3 bytes) 00"],"metadata":{"hostname":"bench"}}}`
	u := files("training", map[string]string{"x-label": "cat", "x-file-name": "cat.00001"},
		part{"metadata.json", "application/json", about}, part{"00001.jpg", "image/jpeg", "JPG"})
	u.path = "/api/training/data"
	u.body = []byte(strings.ReplaceAll(string(u.body), `name="data"`, `name="attachments[]"`))
	x.want(u, 200, "cat.00001.jpg")
	x.want(u, 200, "cat.00001.jpg")
	u.header["x-disallow-duplicates"] = "1"
	x.want(u, 400, "An item with this hash already exists (ids: 1)")
	r := x.sink.appended()[0]
	if r.DeviceName != "aa:bb" || r.DeviceType != "OPENMV_IDE" || r.ContentType != "image/jpeg" || r.Label.Text != "cat" ||
		!maps.Equal(r.Metadata, map[string]string{"hall": "3", "hostname": "bench"}) || bodyText(t, r.Body) != "JPG" {
		t.Errorf("got %+v", r)
	}

	two := files("training", map[string]string{"x-file-name": "ignored"}, part{"d.csv", "", csv(1)}, part{"e.json", "", "{}"})
	two.path = "/api/training/data"
	if status, text, _ := x.post(two); status != 400 || !strings.HasPrefix(text, "Invalid document") {
		t.Errorf("one bad of two: got %d %s", status, text)
	}
	if got := len(x.sink.appended()); got != 1 {
		t.Errorf("got %d records, want 1", got)
	}
}

// TestTypes finds what a file is when its name does not say so.
func TestTypes(t *testing.T) {
	x := start(t)
	for _, c := range []struct{ name, kind, body, want string }{
		{"idle", "application/json", document("a", 1), "idle.json application/json"},
		{"idle.1", "application/octet-stream", document("b", 1), "idle.1.json application/json"},
		{"idle.cbor", "application/cbor", document("c", 1), "idle.cbor application/json"},
		{"snake", "text/csv", csv(1), "snake.csv text/csv"},
		{"snake.CSV", "", csv(2), "snake.CSV text/csv"},
	} {
		status, text, _ := x.post(data("training", c.name, c.kind, c.body, nil))
		r := x.sink.appended()[len(x.sink.appended())-1]
		if got := r.Name + " " + r.ContentType; status != 200 || text != r.Name || got != c.want {
			t.Errorf("%s: got %d %s, %s; want %s", c.name, status, text, got, c.want)
		}
	}
}
