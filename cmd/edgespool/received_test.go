package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// An arrival is one sample as the ingestion service keeps it.
type arrival struct {
	path            string // of the file
	name            string // without its folder
	category, label string
	sha             string
}

// manifestOnDisk is the part of an info.labels that the tests read, written
// here anew so that the product's own reader does not vouch for its writer.
type manifestOnDisk struct {
	Version int `json:"version"`
	Files   []struct {
		Path     string `json:"path"`
		Category string `json:"category"`
		Label    struct {
			Type  string `json:"type"`
			Label string `json:"label"`
		} `json:"label"`
	} `json:"files"`
}

func readManifest(path string) (manifestOnDisk, error) {
	var m manifestOnDisk
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// received reads the dataset folder: every file that the manifest names, and
// an error if folder and manifest do not agree. No two files may be the same.
func received(dir string) ([]arrival, error) {
	m, err := readManifest(filepath.Join(dir, "info.labels"))
	if err != nil {
		return nil, err
	}
	seen := map[string]string{}
	var all []arrival
	for _, f := range m.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		body, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		a := arrival{path: path, name: filepath.Base(path), category: f.Category, label: f.Label.Label, sha: hex.EncodeToString(sum[:])}
		if first, ok := seen[a.sha]; ok {
			return nil, fmt.Errorf("%s and %s are the same sample twice", first, f.Path)
		}
		if filepath.Base(filepath.Dir(path)) != f.Category {
			return nil, fmt.Errorf("%s is not in the folder of its category %s", f.Path, f.Category)
		}
		seen[a.sha] = f.Path
		all = append(all, a)
	}
	onDisk, err := filepath.Glob(filepath.Join(dir, "[^.]*", "*")) // Glob's * means hidden folders too
	if err != nil {
		return nil, err
	}
	if len(onDisk) != len(all) {
		return nil, fmt.Errorf("the folder has %d files, its manifest %d", len(onDisk), len(all))
	}
	return all, nil
}

// receivedCount waits until the dataset folder has n samples and is at peace
// with its manifest, and returns them.
func (s *site) receivedCount(n int) []arrival {
	s.t.Helper()
	var all []arrival
	s.until(fmt.Sprintf("%d samples have arrived", n), func() (err error) {
		if all, err = received(s.path("received")); err != nil {
			return err
		}
		if len(all) < n {
			return fmt.Errorf("%d of %d are there", len(all), n)
		}
		return nil
	})
	if len(all) != n {
		s.t.Fatalf("got %d samples, want %d", len(all), n)
	}
	return all
}

// shared returns a folder of the shared test material, or skips.
func shared(t *testing.T, elem ...string) string {
	t.Helper()
	root := os.Getenv("EDGESPOOL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the shared test material is not here (EDGESPOOL_SHARED): %s", path)
	}
	return path
}
