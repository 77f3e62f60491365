package directory

import (
	"crypto/sha256"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

func TestLabelAndCategoryRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		label, category, otherwise string // configured; "" is the default
		file                       string
		wantLabel, wantCategory    string
	}{
		{file: "idle.01.cbor", wantLabel: "idle", wantCategory: "training"},
		{file: "0.5.csv", wantLabel: "0", wantCategory: "training"},
		{file: "wave motion.1.wav", wantLabel: "wave motion", wantCategory: "training"},
		{file: "温度.1.json", wantLabel: "", wantCategory: "training"},
		{file: "testing/a.csv", wantLabel: "a", wantCategory: "testing"},
		{file: "anomaly/pump 3/a.csv", wantLabel: "a", wantCategory: "anomaly"},
		{file: "training/testing/a.csv", wantLabel: "a", wantCategory: "testing"},
		{file: "validation/a.csv", wantLabel: "a", wantCategory: "validation"},
		{file: "Testing/a.csv", wantLabel: "a", wantCategory: "training"},
		{file: "a.csv", otherwise: "anomaly", wantLabel: "a", wantCategory: "anomaly"},
		{file: "testing/a.csv", category: "anomaly", wantLabel: "a", wantCategory: "anomaly"},
		{label: LabelFolder, file: "idle/a.csv", wantLabel: "idle", wantCategory: "training"},
		{label: LabelFolder, file: "idle/testing/a.csv", wantLabel: "idle", wantCategory: "testing"},
		{label: LabelFolder, file: "testing/idle/a.csv", wantLabel: "idle", wantCategory: "testing"},
		{label: LabelFolder, file: "plant/idle/a.csv", wantLabel: "idle", wantCategory: "training"},
		{label: LabelFolder, file: "testing/a.csv", wantLabel: "", wantCategory: "testing"},
		{label: LabelFolder, file: "a.csv", wantLabel: "", wantCategory: "training"},
		{label: LabelNone, file: "idle.csv", wantLabel: "", wantCategory: "training"},
		{label: "=my label.1", file: "idle.csv", wantLabel: "my label.1", wantCategory: "training"},
		// The first hex digit of the identity decides: 0 to b, c to e.
		{category: sampler.CategorySplit, file: "a.csv", wantLabel: "a", wantCategory: "training"},
		{category: sampler.CategorySplit, file: "c0/a.csv", wantLabel: "a", wantCategory: "testing"},
		{file: "split/a.csv", wantLabel: "a", wantCategory: "training"},
	} {
		config := DefaultConfig()
		config.Path = "/watched"
		for set, value := range map[*string]string{&config.Label: c.label, &config.Category: c.category, &config.DefaultCategory: c.otherwise} {
			if value != "" {
				*set = value
			}
		}
		s, err := New(sampler.Setup{}, config)
		if err != nil {
			t.Fatal(err)
		}
		rec := spool.Record{Identity: [32]byte{0x1b}}
		if strings.HasPrefix(c.file, "c0/") {
			rec.Identity = [32]byte{0xfc} // f does not count
		}
		if err := s.describe(&rec, "/watched/"+c.file, Said{}, sampler.Choice{}); err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
		if rec.Label.Text != c.wantLabel || rec.Dataset != c.wantCategory {
			t.Errorf("%s by %q, %q: got label %q, category %q, want %q, %q", c.file, c.label, c.category,
				rec.Label.Text, rec.Dataset, c.wantLabel, c.wantCategory)
		}
	}
}

func TestSplitGoesByContent(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.Category = sampler.CategorySplit
	want := map[string]int{}
	for i := range 40 {
		text := csv(strings.Repeat("7", i+1))
		b.write("a."+strings.Repeat("x", i+1)+".csv", text)
		want[sampler.Split(sha256.Sum256([]byte(text)))]++
	}
	b.run(c)
	b.until("all are taken", func() bool { return len(b.names()) == 40 })
	b.stop()
	got := map[string]int{}
	for _, r := range b.Records() {
		got[r.Dataset]++
	}
	if !maps.Equal(got, want) || len(got) != 2 {
		t.Errorf("got %v, want %v", got, want)
	}
}

const manifest = `{"version": 1, "files": [
  {"path": "none.csv", "category": "testing", "label": {"type": "unlabeled"}},
  {"path": "text.csv", "name": "renamed.7", "category": "testing", "label": {"type": "label", "label": "up.down"}, "metadata": {"site": "lab", "rig": "2"}},
  {"path": "./rows.csv", "category": "split", "label": {"type": "multi-label", "labels": [{"startIndex": 0, "endIndex": 1, "label": "a"}]}},
  {"path": "pairs.csv", "label": {"type": "keyvalue-labels", "labels": {"k": "v"}}},
  {"path": "photo.png", "label": {"type": "unlabeled"}, "boundingBoxes": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}]},
  {"path": "below/both.csv", "label": "outer"}, {"path": "below/outer.csv", "label": "outer"}
]}`

func TestLabelFilesAreHonoured(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	c := quick(b.dir)
	c.Include = []string{"*"}
	b.write("info.labels", manifest)
	b.write("below/info.labels", `{"version": 1, "files": [{"path": "both.csv", "label": "inner"}]}`)
	b.write("bounding_boxes.labels", `{"version": 1, "type": "bounding-box-labels", "boundingBoxes": {
		"dog.jpg": [{"label": "dog", "x": 5, "y": 6, "width": 7, "height": 8}], "empty.jpg": []}}`)
	b.write("structured_labels.labels", `{"version": 1, "type": "structured-labels", "structuredLabels": {
		"steps.csv": [{"startIndex": 0, "endIndex": 4, "label": "step", "labelMap": {"foot": "left"}}]}}`)
	for _, name := range []string{"none.csv", "text.csv", "rows.csv", "pairs.csv", "photo.png", "dog.jpg", "empty.jpg", "steps.csv",
		"unlisted.csv", "below/both.csv", "below/outer.csv", "below/empty.png"} {
		b.write(name, csv(name))
	}
	b.run(c)
	b.until("all are taken", func() bool { return len(b.names()) == 12 })
	b.stop()
	for name, want := range map[string]spool.Label{
		"none.csv": {}, "renamed.7.csv": {Text: "up.down"}, "pairs.csv": {Pairs: map[string]string{"k": "v"}},
		"rows.csv":  {Segments: []spool.Segment{{Start: 0, End: 1, Text: "a"}}},
		"photo.png": {Boxes: []spool.Box{{Label: "cat", X: 1, Y: 2, Width: 3, Height: 4}}},
		"empty.jpg": {Boxes: []spool.Box{}}, "dog.jpg": {Boxes: []spool.Box{{Label: "dog", X: 5, Y: 6, Width: 7, Height: 8}}}, "both.csv": {Text: "inner"}, "outer.csv": {Text: "outer"}, "unlisted.csv": {Text: "unlisted"},
		"steps.csv": {Segments: []spool.Segment{{Start: 0, End: 4, Text: "step", Map: map[string]string{"foot": "left"}}}},
	} {
		if got := b.record(t, name).Label; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: label %+v, want %+v", name, got, want)
		}
	}
	for name, want := range map[string]string{"none.csv": "testing", "renamed.7.csv": "testing", "pairs.csv": "training"} {
		if got := b.record(t, name).Dataset; got != want {
			t.Errorf("%s: category %q, want %q", name, got, want)
		}
	}
	if r := b.record(t, "rows.csv"); r.Dataset != sampler.Split(r.Identity) {
		t.Errorf("rows.csv: category %q", r.Dataset)
	}
	if got := b.record(t, "renamed.7.csv").Metadata; !maps.Equal(got, map[string]string{"site": "lab", "rig": "2"}) {
		t.Errorf("metadata %v", got)
	}
	background := b.record(t, "empty.jpg").Companions
	if len(background) != 1 || background[0].Name != acquisition.BoundingBoxesName {
		t.Fatalf("companions of a background image: %+v", background)
	}
	boxes, err := acquisition.ParseBoundingBoxes(strings.NewReader(string(background[0].Bytes)))
	if err != nil || boxes["empty.jpg"] == nil || len(boxes["empty.jpg"]) != 0 {
		t.Errorf("companion %s: %v", background[0].Bytes, err)
	}
}

func TestAManifestThatChangesIsReadAgain(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	line := func(name, label string) string {
		return `{"version":1,"files":[{"path":"` + name + `","label":"` + label + `"}]}`
	}
	b.write("early.csv", csv("early"))
	b.run(quick(b.dir))
	b.untilNames("early.csv") // settled before its manifest came: its name counts
	b.write("info.labels", line("b.csv", "first"))
	b.write("b.csv", csv("b"))
	b.untilNames("b.csv", "early.csv")
	b.write("info.labels", line("c.csv", "second"))
	b.write("c.csv", csv("c"))
	b.untilNames("b.csv", "c.csv", "early.csv")
	b.stop()
	for name, want := range map[string]string{"early.csv": "early", "b.csv": "first", "c.csv": "second"} {
		if got := b.record(t, name).Label.Text; got != want {
			t.Errorf("%s: label %q, want %q", name, got, want)
		}
	}
}

func TestAMalformedManifestHoldsItsFiles(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	b.write("export/info.labels", `{"version":1,"files":[{"path":"a.csv","label":`)
	b.write("export/deep/a.csv", csv("a"))
	b.write("b.csv", csv("b"))
	b.run(quick(b.dir))
	b.untilNames("b.csv")
	b.until("the fault is shown", func() bool { return strings.Contains(b.progress.Snapshot().Error, "export/info.labels") })
	b.write("export/info.labels", `{"version":1,"files":[{"path":"deep/a.csv","label":"good"}]}`)
	b.untilNames("a.csv", "b.csv")
	if got := b.record(t, "a.csv").Label.Text; got != "good" {
		t.Errorf("label %q", got)
	}
	b.until("the fault is gone", func() bool { return b.progress.Snapshot().Error == "" })
}

func TestAnOperatorDoesNotReplaceBoxes(t *testing.T) {
	t.Parallel()
	choice := sampler.Choice{Label: "chosen", Category: "anomaly"}
	boxes := []acquisition.Box{{Label: "cat", Width: 1, Height: 1}}
	for name, c := range map[string]struct {
		said Said
		want spool.Label
	}{
		"plain":  {Said{}, spool.Label{Text: "chosen"}},
		"listed": {Said{Listed: &acquisition.ManifestFile{Label: acquisition.Label{Type: acquisition.LabelText, Text: "x"}}}, spool.Label{Text: "chosen"}},
		"boxes":  {Said{Boxes: boxes}, spool.Label{Boxes: boxesOf(boxes)}},
		"pairs": {Said{Listed: &acquisition.ManifestFile{Label: acquisition.Label{Type: acquisition.LabelPairs, Pairs: map[string]string{"a": "b"}}}},
			spool.Label{Pairs: map[string]string{"a": "b"}}},
	} {
		var rec spool.Record
		if err := Describe(&rec, "somewhere/a.png", DefaultConfig(), c.said, choice); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(rec.Label, c.want) || rec.Dataset != "anomaly" || rec.Name != "a.png" {
			t.Errorf("%s: %+v", name, rec)
		}
	}
}

// TestAttachmentsAreNotLostSilently: the file is taken, and what is left
// behind is told once.
func TestAttachmentsAreNotLostSilently(t *testing.T) {
	t.Parallel()
	b := prepare(t)
	b.write("a.csv", "x\n1\n")
	b.write("b.csv", "x\n2\n")
	b.write("info.labels", `{"version":1,"files":[{"path":"a.csv","label":"with","attachments":["a.png"]},{"path":"b.csv","label":"without"}]}`)
	b.run(quick(b.dir))
	b.untilNames("a.csv", "b.csv")
	b.stop()
	if p := b.progress.Snapshot(); !strings.Contains(p.LastBad, "info.labels: the attachments of 1 of its files") {
		t.Errorf("status shows %q", p.LastBad)
	}
	if n := b.log.count("lists attachments, which are left behind"); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	if l := b.record(t, "a.csv").Label.Text; l != "with" {
		t.Errorf("labelled %q", l)
	}
}
