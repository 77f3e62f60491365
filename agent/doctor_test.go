package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// findings are what an examination says, one line for each.
func findings(t *testing.T, text string, client *Client) string {
	t.Helper()
	c, err := ParseConfig("edgespool.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range Examine(t.Context(), c, client, "test") {
		if f.Grade != FindingOK && f.Remedy == "" && f.Where != "agent" {
			t.Errorf("%s: %q comes without a remedy", f.Where, f.What)
		}
		fmt.Fprintf(&all, "%s %s: %s\n", f.Grade, f.Where, f.What)
	}
	return all.String()
}

// TestExamination looks at a site with good and bad parts of each kind. It
// stores nothing.
func TestExamination(t *testing.T) {
	dir := t.TempDir()
	service := uploadertest.NewService()
	service.Key = "ei_1234"
	server := uploadertest.Serve(t, service)
	down := uploadertest.Serve(t, uploadertest.NewService())
	down.Down()
	nothing := httptest.NewServer(http.NotFoundHandler())
	defer nothing.Close()
	writeFile(t, dir, "key", "ei_1234\n")
	writeFile(t, dir, "wrong", "ei_5678\n")
	if err := os.Mkdir(dir+"/in", 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
spool: {path: %[1]s/not/yet/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: wire, type: serial, port: /dev/none, sensors: [{name: accX, units: m/s2}], frequency: 100, window: 1s, label: idle}
  - {name: recordings, type: directory, path: %[1]s/in}
destinations:
  - {name: studio, type: edge-impulse, url: %[2]s, api_key_file: %[1]s/key}
  - {name: refused, type: edge-impulse, url: %[2]s, api_key_file: %[1]s/wrong}
  - {name: elsewhere, type: edge-impulse, url: %[4]s, api_key_file: %[1]s/key}
  - {name: away, type: edge-impulse, url: %[3]s, api_key_file: %[1]s/key}
  - {name: keyless, type: edge-impulse, url: %[2]s, api_key_file: %[1]s/no-key}
  - {name: archive, type: dataset, path: %[1]s/archive}
api: {listen: "127.0.0.1:0"}
`, dir, server.URL, down.URL, nothing.URL)
	said := findings(t, text, nil)
	for _, want := range []string{
		" clock: ", " spool: " + dir + "/not/yet/spool on ", "warn source wire: ", "ok source recordings: ",
		"ok destination studio: answers", "bad destination refused: ", "refuses the key (401)",
		"bad destination elsewhere: ", "bad destination away: ", "bad destination keyless: ", "no-key", "ok destination archive: ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if n := len(service.Samples()); n != 0 {
		t.Errorf("%d samples were stored", n)
	}
	if _, err := os.Stat(dir + "/not"); err == nil {
		t.Error("a folder was made")
	}
	if t.Failed() {
		t.Logf("it says:\n%s", said)
	}
}

// TestExaminationAsksTheAgent: what a running agent complains of is told, and
// that none runs.
func TestExaminationAsksTheAgent(t *testing.T) {
	dir := t.TempDir()
	text := fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: recordings, type: directory, path: %[1]s/in}
api: {listen: "127.0.0.1:0"}
`, dir)
	h := live(t, text)
	h.until("the folder is missed", func(s Status) bool { return s.Sources[0].Error != "" })
	if said := findings(t, text, h.client); !strings.Contains(said, "ok agent: test runs for ") || !strings.Contains(said, "warn agent: source recordings: open folder") {
		t.Errorf("it says:\n%s", said)
	}
	h.stop()
	if said := findings(t, text, h.client); !strings.Contains(said, "warn agent: ") || !strings.Contains(said, "connection refused") {
		t.Errorf("without an agent it says:\n%s", said)
	}
}
