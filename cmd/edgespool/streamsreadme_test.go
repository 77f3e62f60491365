package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCurlLinesOfTheREADME runs what the README shows of the streams API
// against the real program, each line of it answered ok.
func TestCurlLinesOfTheREADME(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not here: apt-get install curl")
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Streams")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !found || len(blocks) != 2 {
		t.Fatalf("got %d blocks of shell in the section, want 2", len(blocks))
	}
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write("agent.yaml", strings.Replace(string(text), `"b8:27:eb:12:34:56"`, `"pump 4"`, 1))
	s.run()
	for _, block := range blocks {
		script := strings.ReplaceAll(block[1], "http://127.0.0.1:8347", s.api)
		calls := strings.Count(script, "curl ")
		out, err := exec.Command("bash", "-e", "-c", "curl() { command curl -sS --noproxy '*' --fail-with-body \"$@\"; }\n"+script).CombinedOutput()
		if got := strings.Count(string(out), `"status":"ok"`); err != nil || got != calls {
			t.Errorf("%d of %d calls were answered ok (%v):\n%s", got, calls, err, out)
		}
	}
}
