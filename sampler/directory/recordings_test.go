package directory

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// sharedFolder finds a folder of the shared test material, or skips.
func sharedFolder(t *testing.T, rel string) string {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for !there(filepath.Join(root, "go.mod")) {
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the test")
		}
		root = filepath.Dir(root)
	}
	shared := os.Getenv("EDGESPOOL_SHARED")
	if shared == "" {
		shared = filepath.Join(root, "..", "shared")
	}
	path := filepath.Join(shared, rel)
	if !there(path) {
		t.Skipf("%s is missing: set EDGESPOOL_SHARED to the folder of shared test material", path)
	}
	return path
}

// TestRealRecordings drops an export of Edge Impulse into the folder: as it
// is with its info.labels, and its files alone.
func TestRealRecordings(t *testing.T) {
	t.Parallel()
	export := sharedFolder(t, "data/recordings")
	text, err := os.ReadFile(filepath.Join(export, "info.labels"))
	if err != nil {
		t.Fatal(err)
	}
	listed, err := acquisition.ParseManifest(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{true, false} {
		name := map[bool]string{true: "with info.labels", false: "files alone"}[whole]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t)
			if whole { // the manifest of the export settles first
				b.write("info.labels", string(text))
			}
			for _, f := range listed.Files {
				text, err := os.ReadFile(filepath.Join(export, filepath.FromSlash(f.Path)))
				if err != nil {
					t.Fatal(err)
				}
				b.write(f.Path, string(text))
			}
			c := quick(b.dir)
			c.After = AfterDelete
			b.run(c)
			b.until("all recordings are taken", func() bool { return len(b.names()) == len(listed.Files) })
			b.stop()
			for _, f := range listed.Files {
				want := filepath.Base(f.Path)
				if whole {
					want = f.Name + ".json"
				}
				r := b.record(t, want)
				if r.Label.Text != f.Label.Text || r.Dataset != f.Category || r.ContentType != "application/json" {
					t.Errorf("%s: label %q, category %q, type %q", want, r.Label.Text, r.Dataset, r.ContentType)
				}
			}
			if p := b.progress.Snapshot(); p.Rejected != 0 || p.Samples != uint64(len(listed.Files)) {
				t.Errorf("progress: %+v", p)
			}
		})
	}
}
