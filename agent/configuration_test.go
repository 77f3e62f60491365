package agent

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// faultsOf reads text as a configuration and returns its faults as
// "line:column problem".
func faultsOf(t *testing.T, text string) string {
	t.Helper()
	_, err := ParseConfig("edgespool.yaml", []byte(text))
	var faults *Faults
	if err != nil && !errors.As(err, &faults) {
		t.Fatalf("got %v, want faults", err)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDefaultsFillWhatIsNotSaid(t *testing.T) {
	c, err := ParseConfig("x", []byte("destinations: [{name: archive, type: dataset, path: /srv/dataset}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.API.Listen != "127.0.0.1:8347" || c.Spool.Path != "/var/lib/edgespool" || c.Log.Format != "text" || c.Log.Threshold() != slog.LevelInfo {
		t.Errorf("got %+v", c)
	}
}

func TestTenFaultsAtOnce(t *testing.T) {
	got := faultsOf(t, `spool: {path: /var/lib/edgespool, max_byte: 1GiB}
sources:
  - name: lan
    type: ingestion
    api_key_file: /etc/edgespool/lan-key
    timeout: soon
  - name: lan
    type: directory
    path: /srv/recordings
    after: delet
  - name: second look
    type: directory
    path: /srv/recordings/below
  - name: third
    type: folder
destinations:
  - name: studio
    type: edge-impulse
    api_key_file: /etc/edgespool/api-key
    batch: {files: 100, bytes: 8 MiBs}
    concurrency: 2
    concurrency: 3
  - type: dataset
    path: /srv/recordings/archive
api:
  listen: 0.0.0.0:8347
log: {level: loud}
`)
	for _, want := range []string{
		`edgespool.yaml:1:35: unknown field "max_byte"`, `did you mean "max_bytes"?`,
		`:6:14: timeout: "soon" is not a length of time`,
		`:7:11: name: "lan" is already the name of sources[0]`,
		`:10:12: after: "delet" is not known`,
		`:11:11: name: "second look" cannot be used`,
		`:13:11: path: /srv/recordings/below overlaps with /srv/recordings of source lan`,
		`:15:11: unknown type "folder"`,
		`:20:32: bytes: "8 MiBs" is not a size`,
		`:22:5: "concurrency" is given twice, first in line 21`,
		`:23:5: destinations[1] has no name`,
		`:24:11: path: /srv/recordings/archive lies in /srv/recordings, from which source lan takes files`,
		`:26:11: listen: 0.0.0.0:8347 can be reached from the network`, `add token_file`,
		`:27:14: level: "loud" is not known`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if n := strings.Count(got, "edgespool.yaml:"); n != 13 {
		t.Errorf("got %d faults, want 13:\n%s", n, got)
	}
}

func TestClaims(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "a"), link); err != nil {
		t.Fatal(err)
	}
	watch := func(name, path, more string) string {
		return "  - {name: " + name + ", type: directory, path: " + path + more + "}\n"
	}
	ingest := func(name, more string) string {
		return "  - {name: " + name + ", type: ingestion, api_key_file: /k" + more + "}\n"
	}
	port := func(name, path string) string {
		return "  - {name: " + name + ", type: serial, port: \"" + path + "\", sensors: [{name: x}], frequency: auto, window: 1s}\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"apart", "sources:\n" + watch("a", "/a", "") + watch("b", "/ab", ""), ""},
		{"the same", "sources:\n" + watch("a", "/a", "") + watch("b", "/a/", ""), "overlaps"},
		{"through a link", "sources:\n" + watch("a", dir+"/a", "") + watch("b", link, ""), "overlaps"},
		{"through a link, not there yet", "sources:\n" + watch("a", dir+"/a/new", "") + watch("b", link+"/new", ""), "overlaps"},
		{"upper one later", "sources:\n" + watch("a", "/a/b", "") + watch("b", "/a", ""), "overlaps"},
		{"upper one not recursive", "sources:\n" + watch("a", "/a/b", "") + watch("b", "/a", ", recursive: false"), ""},
		{"in a dot folder", "sources:\n" + watch("a", "/a/.b", "") + watch("b", "/a", ""), ""},
		{"moved into its own folder", "sources:\n" + watch("a", "/a", ", after: move, move_to: /a/done"), ""},
		{"moved into another's", "sources:\n" + watch("a", "/a", ", after: move, move_to: /b") + watch("b", "/b", ""), "would take the files"},
		{"kept, not moved into another's", "sources:\n" + watch("a", "/a", ", move_to: /b") + watch("b", "/b", ""), ""},
		{"spool in a watched folder", "spool: {path: /a/spool}\nsources:\n" + watch("a", "/a", ""), "would take the files that the spool keeps"},
		{"two datasets in one", "destinations:\n  - {name: a, type: dataset, path: /d}\n  - {name: b, type: dataset, path: /d}\n", "is used by destination a already"},
		{"two on the API's address", "sources:\n" + ingest("a", "") + ingest("b", ""), "127.0.0.1:8347 is used by source a already"},
		{"two on one port", "sources:\n" + port("a", dir+"/a") + port("b", link), "is used by source a already"},
		{"two on one adapter", "sources:\n" + port("a", "usb:2341:8057") + port("b", "usb:2341:8057"), "is used by source a already"},
		{"two on one adapter, in other letters", "sources:\n" + port("a", "usb:2341:80af:X1") + port("b", "usb:2341:80AF:X1"), "is used by source a already"},
		{"any adapter and one of them", "sources:\n" + port("a", "usb:2341:8057") + port("b", "usb:2341:8057:X1"), "is used by source a already"},
		{"two adapters of a kind", "sources:\n" + port("a", "usb:2341:8057:X1") + port("b", "usb:2341:8057:X2"), ""},
		{"one serial server", "sources:\n" + port("a", "tcp://10.0.0.1:4001") + port("b", "tcp://10.0.0.1:4001"), "is used by source a already"},
		{"two ports", "sources:\n" + port("a", "/dev/ttyUSB0") + port("b", "/dev/ttyUSB1") + port("c", "tcp://10.0.0.1:4001"), ""},
		{"one has its own", "sources:\n" + ingest("a", "") + ingest("b", ", listen: \":4810\""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faultsOf(t, c.text)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWarningsNameWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	c, err := ParseConfig("edgespool.yaml", []byte(`sources:
  - {name: a, type: directory, path: `+dir+`, move_to: `+dir+`-done}
  - {name: b, type: directory, path: `+dir+`-gone}
  - {name: c, type: ingestion, api_key_file: `+dir+`/nokey}
  - {name: p, type: serial, port: `+dir+`/tty, sensors: [{name: x}], frequency: auto, window: 1s}
destinations:
  - {name: d, type: edge-impulse, api_key_file: `+dir+`/nokey}
api: {token_file: `+token+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Warnings().Error()
	for _, want := range []string{"warning: move_to: counts only with after: move", "edgespool.yaml:3:38: warning: path: ", ":4:46: warning: api_key_file", ":5:35: warning: port", ":7:49: warning: api_key_file", ":8:19: warning: token_file"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %s:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "warning: "); n != 6 {
		t.Errorf("got %d warnings, want 6:\n%s", n, got)
	}
}

// The configuration that the contract shows must be good.
func TestContractsConfiguration(t *testing.T) {
	path := filepath.Join(shared(t), "contract.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("%s is not here: %v; set EDGESPOOL_SHARED to the folder that holds contract.md", path, err)
	}
	_, block, found := strings.Cut(string(text), "```yaml\n")
	block, _, ended := strings.Cut(block, "\n```")
	if !found || !ended {
		t.Fatal("the contract shows no configuration")
	}
	c, err := ParseConfig("contract.md", []byte(block))
	if err != nil {
		t.Fatalf("faults:\n%v", err)
	}
	if len(c.Sources) != 3 || len(c.Destinations) != 2 || c.Spool.MaxBytes != 2<<30 || c.Spool.Keep != 0 {
		t.Errorf("got %+v", c)
	}
}

// shared is the folder with the contract and the vectors.
func shared(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("EDGESPOOL_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared")
		}
	}
	t.Fatal("no go.mod above this test")
	return ""
}
