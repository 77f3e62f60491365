package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamplesAreGood: check accepts each example of board-configs, and the
// page there names it.
func TestExamplesAreGood(t *testing.T) {
	page, err := os.ReadFile("../../board-configs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../board-configs/examples/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("got %d examples, %v", len(files), err)
	}
	for _, file := range files {
		var out, trouble bytes.Buffer
		if code := runMain([]string{"check", "--config", file}, nil, &out, &trouble); code != exitDone || !strings.Contains(out.String(), ": OK (") {
			t.Errorf("%s: exit code %d, %s%s", file, code, &out, &trouble)
		}
		if !strings.Contains(string(page), "examples/"+filepath.Base(file)) {
			t.Errorf("board-configs/README.md does not name %s", file)
		}
	}
}
