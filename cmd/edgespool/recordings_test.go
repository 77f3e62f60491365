package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// A recording is one real file and what it is to arrive as.
type recording struct {
	path            string
	category, label string
}

// recordings reads the shared export by its own manifest.
func recordings(t *testing.T) []recording {
	t.Helper()
	dir := shared(t, "data", "recordings")
	m, err := readManifest(filepath.Join(dir, "info.labels"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	for _, f := range m.Files {
		all = append(all, recording{path: filepath.Join(dir, f.Path), category: f.Category, label: f.Label.Label})
	}
	if len(all) < 50 {
		t.Fatalf("the shared export names %d recordings, which cannot be all", len(all))
	}
	return all
}

// TestRecordingsInAWatchedFolder drops all real recordings into the folder of
// a running agent, with and without their manifests, and looks at what the
// ingestion service got.
func TestRecordingsInAWatchedFolder(t *testing.T) {
	for _, c := range []struct {
		name          string
		withManifests bool
	}{
		{"as they are", false},
		{"through info.labels", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := recordings(t)
			s := newSite(t, `
  - name: recordings
    type: directory
    path: $DIR/inbox
    settle: 200ms
    label: filename
    category: folder
    default_category: anomaly
`)
			inbox := s.path("inbox")
			if err := os.MkdirAll(inbox, 0o755); err != nil {
				t.Fatal(err)
			}
			s.run()
			if c.withManifests {
				export := shared(t, "data", "recordings")
				for _, m := range []string{"info.labels", "README.txt", "LICENSE"} {
					copyFile(t, filepath.Join(export, m), filepath.Join(inbox, m))
				}
			}
			for _, r := range want {
				folder := r.category
				if c.withManifests {
					folder = filepath.Base(filepath.Dir(r.path))
				}
				copyFile(t, r.path, filepath.Join(inbox, folder, filepath.Base(r.path)))
			}
			got := s.receivedCount(len(want))
			compareArrivals(t, got, want)
			st, err := s.status()
			if err != nil {
				t.Fatal(err)
			}
			if src := st.Sources[0]; src.Samples != uint64(len(want)) || src.Rejected != 0 {
				t.Errorf("the source counts %d samples and %d rejected files, want %d and 0", src.Samples, src.Rejected, len(want))
			}
		})
	}
}

// compareArrivals wants each recording once, byte for byte, with its label
// and category.
func compareArrivals(t *testing.T, got []arrival, want []recording) {
	t.Helper()
	bySHA := map[string]arrival{}
	for _, a := range got {
		bySHA[a.sha] = a
	}
	for _, r := range want {
		body, err := os.ReadFile(r.path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		a, ok := bySHA[hex.EncodeToString(sum[:])]
		switch {
		case !ok:
			t.Errorf("%s did not arrive", filepath.Base(r.path))
		case a.label != r.label || a.category != r.category:
			t.Errorf("%s arrived as %s/%s, want %s/%s", filepath.Base(r.path), a.category, a.label, r.category, r.label)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
