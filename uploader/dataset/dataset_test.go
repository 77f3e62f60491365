package dataset_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataset"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

func open(t *testing.T, root string) *dataset.Destination {
	t.Helper()
	c := dataset.DefaultConfig()
	c.Path = root
	d, err := dataset.New(c, dataset.Deps{Dated: func(*spool.Record) (time.Time, bool) { return time.Unix(1_700_000_000, 0), true }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// taken lists the files of a dataset folder by category.
func taken(t *testing.T, root string) map[string][][32]byte {
	t.Helper()
	all := make(map[string][][32]byte)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if errors.Is(err, fs.ErrNotExist) && rel == "." {
			return nil
		}
		if err != nil || e.IsDir() || filepath.Dir(rel) == "." || strings.HasPrefix(rel, ".") {
			return err
		}
		content, err := os.ReadFile(path)
		all[filepath.Dir(rel)] = append(all[filepath.Dir(rel)], sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func manifest(t *testing.T, root string) map[string]acquisition.ManifestFile {
	t.Helper()
	f, err := os.Open(filepath.Join(root, acquisition.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := acquisition.ParseManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	byPath := make(map[string]acquisition.ManifestFile)
	for _, file := range m.Files {
		if _, twice := byPath[file.Path]; twice {
			t.Errorf("%s is listed twice", file.Path)
		}
		if _, err := os.Stat(filepath.Join(root, file.Path)); err != nil {
			t.Errorf("listed but not there: %v", err)
		}
		byPath[file.Path] = file
	}
	return byPath
}

func send(t *testing.T, d *dataset.Destination, want uploader.Kind, batch ...spool.Record) {
	t.Helper()
	for i, v := range d.Send(t.Context(), batch) {
		if v.Kind != want {
			t.Errorf("record %d: got %v (%v), want %v", i, v.Kind, v.Err, want)
		}
	}
}

func TestSuite(t *testing.T) {
	uploadertest.Suite(t, func(t *testing.T) uploadertest.FarSide {
		root := filepath.Join(t.TempDir(), "dataset")
		return uploadertest.FarSide{
			Destination: open(t, root),
			Taken:       func() map[string][][32]byte { return taken(t, root) },
			// A file in the place of the folder works for root as well.
			Down: func() { write(t, root, nil) },
			Up: func() {
				if err := os.Remove(root); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestManifest(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	plain := uploadertest.File(1, "training", "wave.1.csv", "wave", []byte("1"))
	plain.Metadata = map[string]string{"site": "plant-4"}
	same := uploadertest.File(2, "training", "wave.1.csv", "other", []byte("2"))
	image := uploadertest.File(3, "testing", "cup.jpg", "", []byte("3"))
	image.Label.Boxes = []spool.Box{{Label: "cup", X: 1, Y: 2, Width: 3, Height: 4}}
	background := uploadertest.File(4, "testing", "wall.jpg", "", []byte("4"))
	text, err := acquisition.BoundingBoxes("wall.jpg", nil)
	if err != nil {
		t.Fatal(err)
	}
	background.Companions = []spool.Companion{{Name: acquisition.BoundingBoxesName, Bytes: text}}
	segments := uploadertest.File(5, "anomaly", "run.cbor", "", []byte("5"))
	segments.Label.Segments = []spool.Segment{{Start: 0, End: 4, Text: "up"}}
	pairs := uploadertest.File(6, "validation", "pairs.wav", "", []byte("6"))
	pairs.Label.Pairs = map[string]string{"k": "v"}
	send(t, d, uploader.Stored, plain, same, image, background, segments, pairs)
	if again := d.Tidy(t.Context(), false); again <= 0 {
		t.Errorf("tidy at once: got %v, want a moment of quiet first", again)
	}
	if again := d.Tidy(t.Context(), true); again != 0 {
		t.Errorf("final tidy: got %v", again)
	}
	got := manifest(t, root)
	renamed := "training/wave.1." + same.ID() + ".csv"
	want := map[string]acquisition.ManifestFile{
		"training/wave.1.csv":  {Category: "training", Label: acquisition.Label{Type: acquisition.LabelText, Text: "wave"}, Metadata: plain.Metadata},
		renamed:                {Name: "wave.1", Category: "training", Label: acquisition.Label{Type: acquisition.LabelText, Text: "other"}},
		"testing/cup.jpg":      {Category: "testing", Label: acquisition.Label{Type: acquisition.LabelNone}, Boxes: []acquisition.Box{{Label: "cup", X: 1, Y: 2, Width: 3, Height: 4}}},
		"testing/wall.jpg":     {Category: "testing", Label: acquisition.Label{Type: acquisition.LabelNone}, Boxes: []acquisition.Box{}},
		"anomaly/run.cbor":     {Category: "anomaly", Label: acquisition.Label{Type: acquisition.LabelSegments, Segments: []acquisition.Segment{{Start: 0, End: 4, Text: "up"}}}},
		"validation/pairs.wav": {Category: "validation", Label: acquisition.Label{Type: acquisition.LabelPairs, Pairs: map[string]string{"k": "v"}}},
	}
	for path, w := range want {
		w.Path = path
		if !reflect.DeepEqual(got[path], w) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", path, got[path], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d files listed, want %d", len(got), len(want))
	}
}

func TestWindowIsAWholeDocument(t *testing.T) {
	root := t.TempDir()
	d := open(t, root)
	payload, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{
		DeviceType: "X", IntervalMS: 10, Sensors: []acquisition.Sensor{{Name: "a", Units: "m/s2"}},
	}, []float64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	body := spool.Bytes(payload)
	rec := spool.Record{Sequence: 1, Kind: spool.KindWindow, Identity: [32]byte{7}, SHA256: body.SHA256(), Dataset: "training",
		Label: spool.Label{Text: "a/b:c"}, Size: body.Size(), Body: body, Length: time.Second}
	send(t, d, uploader.Stored, rec)
	got, err := os.ReadFile(filepath.Join(root, "training", "a_b_c."+rec.ID()+".cbor"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{IAT: 1_700_000_000})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x (%v)", got, want, err)
	}
	send(t, d, uploader.AlreadyThere, rec)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if f := manifest(t, root)["training/a_b_c."+rec.ID()+".cbor"]; f.Label.Text != "a/b:c" || f.Name != "" {
		t.Errorf("got %+v", f)
	}
}

// TestCrash goes through what a power cut can leave behind.
func TestCrash(t *testing.T) {
	root := t.TempDir()
	batch := uploadertest.Files(1, 3, "training", "idle")
	d := open(t, root)
	send(t, d, uploader.Stored, batch...)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(root, ".dataset.log")
	rows, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(rows, []byte("\n"))
	// The last file has its name, its row is torn; the first row is flipped,
	// info.labels is old and a file is half-written.
	torn := append(bytes.Replace(lines[0], []byte("idle"), []byte("IDLE"), 1), lines[1]...)
	write(t, log, append(torn, lines[2][:20]...))
	if err := os.Remove(filepath.Join(root, acquisition.ManifestName)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, ".tmp", "half"), []byte("x"))

	d = open(t, root)
	send(t, d, uploader.AlreadyThere, batch...)
	send(t, d, uploader.AlreadyThere, batch...)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := manifest(t, root); len(got) != 3 || got["training/training.1.csv"].Label.Text != "idle" {
		t.Errorf("got %v", got)
	}
	if left, err := os.ReadDir(filepath.Join(root, ".tmp")); err != nil || len(left) != 0 {
		t.Errorf("half-written files: got %v, %v", left, err)
	}
}

func TestTakesOverADataset(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "training"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "training", "old.csv"), []byte("old"))
	write(t, filepath.Join(root, acquisition.ManifestName),
		[]byte(`{"version":1,"files":[{"path":"training/old.csv","category":"training","label":{"type":"label","label":"old"}}]}`))
	d := open(t, root)
	send(t, d, uploader.Stored, uploadertest.File(1, "training", "old.csv", "new", []byte("new")))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := manifest(t, root); len(got) != 2 || got["training/old.csv"].Label.Text != "old" {
		t.Errorf("got %v", got)
	}
}

func TestBrokenManifestIsNotOverwritten(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, acquisition.ManifestName), []byte("{"))
	d := open(t, root)
	v := d.Send(t.Context(), uploadertest.Files(1, 1, "training", ""))[0]
	if v.Kind != uploader.TryLater || !v.Everywhere() || !strings.Contains(v.Err.Error(), "move its info.labels away") {
		t.Errorf("got %v, %v", v.Kind, v.Err)
	}
}

func TestHeldByAnother(t *testing.T) {
	root := t.TempDir()
	send(t, open(t, root), uploader.Stored, uploadertest.Files(1, 1, "training", "")...)
	v := open(t, root).Send(t.Context(), uploadertest.Files(2, 1, "training", ""))[0]
	if v.Kind != uploader.TryLater || !strings.Contains(v.Err.Error(), "held by another program") {
		t.Errorf("got %v, %v", v.Kind, v.Err)
	}
}
