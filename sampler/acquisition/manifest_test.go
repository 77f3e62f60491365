package acquisition_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// sharedFolder is the material that lies beside the repository; the test is
// skipped where it is missing.
func sharedFolder(t testing.TB, elements ...string) string {
	t.Helper()
	root := os.Getenv("EDGESPOOL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	folder := filepath.Join(append([]string{root}, elements...)...)
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("shared material is missing: %v (set EDGESPOOL_SHARED)", err)
	}
	return folder
}

const everyLabel = `{"version": 1, "files": [
 {"path": "training/a.cbor", "name": "a", "category": "training", "label": {"type": "unlabeled"}},
 {"path": "b.cbor", "category": "split", "label": {"type": "label", "label": "<idle>"}, "metadata": {"site": "plant-4", "n": 4, "on": true, "z": null}},
 {"path": "c.cbor", "category": "testing", "label": {"type": "multi-label", "labels": [{"startIndex": 0, "endIndex": 9, "label": "up", "labelMap": {"k": "v"}}]}},
 {"path": "d.png", "category": "validation", "label": {"type": "keyvalue-labels", "labels": {"k": "v"}}, "boundingBoxes": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4.5}]},
 {"path": "e.png", "category": "post-processing", "label": "by hand", "boundingBoxes": [], "attachments": ["e.txt"], "enabled": true}
], "more": {"x": [1]}}`

func everyLabelWant() []acquisition.ManifestFile {
	return []acquisition.ManifestFile{
		{Path: "training/a.cbor", Name: "a", Category: "training", Label: acquisition.Label{Type: acquisition.LabelNone}},
		{Path: "b.cbor", Category: "split", Label: acquisition.Label{Type: acquisition.LabelText, Text: "<idle>"},
			Metadata: map[string]string{"site": "plant-4", "n": "4", "on": "true", "z": ""}},
		{Path: "c.cbor", Category: "testing", Label: acquisition.Label{Type: acquisition.LabelSegments,
			Segments: []acquisition.Segment{{Start: 0, End: 9, Text: "up", Map: map[string]string{"k": "v"}}}}},
		{Path: "d.png", Category: "validation", Label: acquisition.Label{Type: acquisition.LabelPairs, Pairs: map[string]string{"k": "v"}},
			Boxes: []acquisition.Box{{Label: "cat", X: 1, Y: 2, Width: 3, Height: 4.5}}},
		{Path: "e.png", Category: "post-processing", Label: acquisition.Label{Type: acquisition.LabelText, Text: "by hand"},
			Boxes: []acquisition.Box{}, Attachments: []string{"e.txt"}},
	}
}

func TestParseManifest(t *testing.T) {
	lines := `{"__ndjson":true,"version":1,"files":[]}` + "\n" +
		`{"__key":"files","__item":{"path":"a","category":"training","label":{"type":"unlabeled"}}}` + "\n" +
		`{"__key":"others","__item":{"path":7}}` + "\n" +
		`{"__key":"files","__item":{"path":"b","category":"testing","label":{"type":"label","label":"x"}}}` + "\n"
	for name, c := range map[string]struct {
		text string
		want []acquisition.ManifestFile
	}{
		"every label":  {everyLabel, everyLabelWant()},
		"version last": {`{"files":[{"path":"a"}],"version":1}`, []acquisition.ManifestFile{{Path: "a", Label: acquisition.Label{Type: acquisition.LabelNone}}}},
		"no files":     {`{"version":1,"files":[]}`, nil},
		"lines": {lines, []acquisition.ManifestFile{
			{Path: "a", Category: "training", Label: acquisition.Label{Type: acquisition.LabelNone}},
			{Path: "b", Category: "testing", Label: acquisition.Label{Type: acquisition.LabelText, Text: "x"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := acquisition.ParseManifest(iotest.OneByteReader(strings.NewReader(c.text)))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Files, c.want) {
				t.Errorf("got  %+v\nwant %+v", got.Files, c.want)
			}
		})
	}
}

func TestParseManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             ``,
		"a list":              `[]`,
		"version 2":           `{"version":2,"files":[]}`,
		"version as text":     `{"version":"1","files":[]}`,
		"no version":          `{"files":[]}`,
		"no files":            `{"version":1}`,
		"files as object":     `{"version":1,"files":{}}`,
		"cut short":           `{"version":1,"files":[{"path":"a"}`,
		"cut in a line":       `{"__ndjson":true,"version":1}` + "\n" + `{"__key":"files","__it`,
		"followed by more":    `{"version":1,"files":[]}{}`,
		"no path":             `{"version":1,"files":[{"label":{"type":"unlabeled"}}]}`,
		"absolute path":       `{"version":1,"files":[{"path":"/etc/shadow"}]}`,
		"path out of folder":  `{"version":1,"files":[{"path":"a/../../b"}]}`,
		"attachment outside":  `{"version":1,"files":[{"path":"a","attachments":["../b"]}]}`,
		"unknown label type":  `{"version":1,"files":[{"path":"a","label":{"type":"colour"}}]}`,
		"label without text":  `{"version":1,"files":[{"path":"a","label":{"type":"label"}}]}`,
		"segments backwards":  `{"version":1,"files":[{"path":"a","label":{"type":"multi-label","labels":[{"startIndex":5,"endIndex":4,"label":"x"}]}}]}`,
		"segments missing":    `{"version":1,"files":[{"path":"a","label":{"type":"multi-label"}}]}`,
		"pairs of numbers":    `{"version":1,"files":[{"path":"a","label":{"type":"keyvalue-labels","labels":{"a":1}}}]}`,
		"box without width":   `{"version":1,"files":[{"path":"a","boundingBoxes":[{"label":"x","x":1,"y":1,"height":1}]}]}`,
		"metadata of objects": `{"version":1,"files":[{"path":"a","metadata":{"a":{}}}]}`,
		"not JSON":            `version: 1`,
		"one huge file":       `{"version":1,"files":[{"path":"a","x":"` + strings.Repeat("x", 1<<20) + `"}]}`,
		"too many files":      `{"version":1,"files":[` + strings.Repeat(`{"path":"a"},`, 200_000) + `{"path":"a"}]}`,
		"deep":                `{"version":1,"x":` + strings.Repeat("[", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := acquisition.ParseManifest(strings.NewReader(text))
			if !errors.Is(err, acquisition.ErrLabelFile) {
				t.Errorf("got %v, want %v", err, acquisition.ErrLabelFile)
			}
		})
	}
}

func TestParseManifestKeepsReadErrors(t *testing.T) {
	broken := errors.New("card is gone")
	r := io.MultiReader(strings.NewReader(`{"version":1,"files":[`), iotest.ErrReader(broken))
	_, err := acquisition.ParseManifest(r)
	if !errors.Is(err, broken) || errors.Is(err, acquisition.ErrLabelFile) {
		t.Errorf("got %v, want only %v", err, broken)
	}
}

func TestParseManifestBoundsLength(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(`{"version":1,`), spaces{})
	if _, err := acquisition.ParseManifest(endless); !errors.Is(err, acquisition.ErrLabelFile) {
		t.Errorf("got %v, want %v", err, acquisition.ErrLabelFile)
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestManifestSurvivesWriting(t *testing.T) {
	for _, m := range []acquisition.Manifest{{}, {Files: everyLabelWant()}} {
		var b bytes.Buffer
		n, err := m.WriteTo(&b)
		if err != nil {
			t.Fatal(err)
		}
		if n != int64(b.Len()) {
			t.Errorf("WriteTo says %d bytes, wrote %d", n, b.Len())
		}
		if len(m.Files) > 0 && !strings.Contains(b.String(), `"label":"<idle>"`) {
			t.Errorf("text is escaped: %s", b.String())
		}
		got, err := acquisition.ParseManifest(&b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("got  %+v\nwant %+v", got, m)
		}
	}
}

func TestManifestOfRealExport(t *testing.T) {
	folder := sharedFolder(t, "data", "recordings")
	for name, base := range map[string]string{"info.labels": folder, "testing/info.labels": filepath.Join(folder, "testing")} {
		f, err := os.Open(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, err := acquisition.ParseManifest(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Files) == 0 {
			t.Errorf("%s: no files", name)
		}
		for _, file := range m.Files {
			if _, err := os.Stat(filepath.Join(base, filepath.FromSlash(file.Path))); err != nil {
				t.Error(err)
			}
			if file.Label.Type != acquisition.LabelText || file.Label.Text == "" {
				t.Errorf("%s: label %+v", file.Path, file.Label)
			}
		}
	}
}

func TestCompanions(t *testing.T) {
	boxes := []acquisition.Box{{Label: "cat & dog", X: 1, Y: 2, Width: 3, Height: 4}}
	for _, list := range [][]acquisition.Box{boxes, {}} {
		raw, err := acquisition.BoundingBoxes("a.png", list)
		if err != nil {
			t.Fatal(err)
		}
		got, err := acquisition.ParseBoundingBoxes(bytes.NewReader(raw))
		if want := map[string][]acquisition.Box{"a.png": list}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	raw, err := acquisition.BoundingBoxes("a.png", boxes)
	want := `{"version":1,"type":"bounding-box-labels","boundingBoxes":{"a.png":[{"label":"cat & dog","x":1,"y":2,"width":3,"height":4}]}}`
	if err != nil || string(raw) != want {
		t.Errorf("got %s, %v\nwant %s", raw, err, want)
	}

	segments := []acquisition.Segment{{Start: 0, End: 4, Text: "up"}, {Start: 5, End: 5, Text: "down", Map: map[string]string{"k": "v"}}}
	raw, err = acquisition.StructuredLabels("a.cbor", segments)
	want = `{"version":1,"type":"structured-labels","structuredLabels":{"a.cbor":[{"startIndex":0,"endIndex":4,"label":"up"},{"startIndex":5,"endIndex":5,"label":"down","labelMap":{"k":"v"}}]}}`
	if err != nil || string(raw) != want {
		t.Errorf("got %s, %v\nwant %s", raw, err, want)
	}
	got, err := acquisition.ParseStructuredLabels(bytes.NewReader(raw))
	if err != nil || !reflect.DeepEqual(got, map[string][]acquisition.Segment{"a.cbor": segments}) {
		t.Errorf("got %v, %v", got, err)
	}

	if _, err := acquisition.BoundingBoxes("a.png", []acquisition.Box{{Label: "x"}}); err == nil {
		t.Error("a box without an extent was written")
	}
	for _, text := range []string{
		`{}`, `{"version":1,"type":"structured-labels","boundingBoxes":{}}`, `{"version":1,"boundingBoxes":{}}`,
		`{"version":1,"type":"bounding-box-labels","boundingBoxes":{"a":{}}}`,
		`{"version":1,"type":"bounding-box-labels","boundingBoxes":{"a":[{"width":-1,"height":1}]}}`,
		`{"version":1,"type":"bounding-box-labels","boundingBoxes":{}} x`,
	} {
		if _, err := acquisition.ParseBoundingBoxes(strings.NewReader(text)); !errors.Is(err, acquisition.ErrLabelFile) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestCheckSegments(t *testing.T) {
	stretch := func(start, end int) acquisition.Segment { return acquisition.Segment{Start: start, End: end} }
	mapped := acquisition.Segment{Start: 5, End: 9, Map: map[string]string{"k": "v"}}
	for _, c := range []struct {
		name     string
		segments []acquisition.Segment
		rows     int
		good     bool
	}{
		{"whole", []acquisition.Segment{stretch(0, 9)}, 10, true},
		{"two out of order", []acquisition.Segment{stretch(5, 9), stretch(0, 4)}, 10, true},
		{"overlap", []acquisition.Segment{stretch(0, 9), stretch(3, 4)}, 10, true},
		{"empty sample", nil, 0, true},
		{"gap", []acquisition.Segment{stretch(0, 3), stretch(5, 9)}, 10, false},
		{"late start", []acquisition.Segment{stretch(1, 9)}, 10, false},
		{"early end", []acquisition.Segment{stretch(0, 8)}, 10, false},
		{"beyond", []acquisition.Segment{stretch(0, 10)}, 10, false},
		{"negative", []acquisition.Segment{stretch(-1, 9)}, 10, false},
		{"other keys", []acquisition.Segment{stretch(0, 4), mapped}, 10, false},
		{"nothing labelled", nil, 3, false},
	} {
		if err := acquisition.CheckSegments(c.segments, c.rows); (err == nil) != c.good {
			t.Errorf("%s: got %v, want good %v", c.name, err, c.good)
		}
	}
}

func TestWriteUnknownLabelType(t *testing.T) {
	m := acquisition.Manifest{Files: []acquisition.ManifestFile{{Path: "a", Label: acquisition.Label{Type: "colour"}}}}
	if _, err := m.WriteTo(io.Discard); err == nil {
		t.Error("an unknown label type was written")
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(everyLabel))
	f.Add([]byte(`{"__ndjson":true,"version":1}` + "\n" + `{"__key":"files","__item":{"path":"a"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := acquisition.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			if !errors.Is(err, acquisition.ErrLabelFile) {
				t.Fatalf("an error of nobody: %v", err)
			}
			return
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		again, err := acquisition.ParseManifest(&b)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%+v", again), fmt.Sprintf("%+v", m); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

func FuzzParseCompanions(f *testing.F) {
	f.Add([]byte(`{"version":1,"type":"bounding-box-labels","boundingBoxes":{"a":[{"label":"x","x":1,"y":1,"width":1,"height":1}]}}`))
	f.Add([]byte(`{"version":1,"type":"structured-labels","structuredLabels":{"a":[{"startIndex":0,"endIndex":1,"label":"x"}]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, boxesErr := acquisition.ParseBoundingBoxes(bytes.NewReader(raw))
		_, segmentsErr := acquisition.ParseStructuredLabels(bytes.NewReader(raw))
		if boxesErr == nil && segmentsErr == nil {
			t.Error("one file is of both types")
		}
	})
}
