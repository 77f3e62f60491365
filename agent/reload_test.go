package agent

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// reload gives a running agent another configuration.
func (h *house) reload(text string) error {
	h.t.Helper()
	c, err := ParseConfig("edgespool.yaml", []byte(text))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.Reload(c)
}

func (h *house) members() []any {
	var all []any
	for _, s := range h.crew.sourceList() {
		all = append(all, s)
	}
	for _, d := range h.crew.destinationList() {
		all = append(all, d)
	}
	return all
}

// TestReloadLeavesTheUnchangedAlone: the same configuration read twice starts
// nothing anew, of whatever type it is and whatever it says.
func TestReloadLeavesTheUnchangedAlone(t *testing.T) {
	dir := t.TempDir()
	server := uploadertest.Serve(t, uploadertest.NewService())
	writeFile(t, dir, "key", "secret\n")
	text := fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources:
  - {name: wire, type: serial, port: /dev/none, sensors: [{name: accX, units: m/s2}], frequency: 100, window: 1s, label: idle, metadata: {site: plant-4}, detect: [{type: threshold, axes: {accX: {max: 4}}}], before: 1s, on_detection: {command: [/bin/true]}}
  - {name: recordings, type: directory, path: %[1]s/in, include: ["*.csv"]}
  - {name: lan, type: ingestion, api_key_file: %[1]s/key}
destinations:
  - {name: studio, type: edge-impulse, url: %[2]s, api_key_file: %[1]s/key, limit: {rate: 200KiB/s}}
  - {name: archive, type: dataset, path: %[1]s/out}
api: {listen: "127.0.0.1:0"}
`, dir, server.URL)
	h := live(t, text)
	before := h.members()
	if err := h.reload(text); err != nil {
		t.Fatal(err)
	}
	if after := h.members(); len(after) != 5 || !reflect.DeepEqual(pointers(before), pointers(after)) {
		t.Errorf("parts were %v, are %v", pointers(before), pointers(after))
	}
	if err := h.reload(strings.Replace(text, "max: 4", "max: 5", 1)); err != nil {
		t.Fatal(err)
	}
	if after := h.members(); after[0] == before[0] || !reflect.DeepEqual(pointers(before[1:]), pointers(after[1:])) {
		t.Errorf("parts were %v, are %v", pointers(before), pointers(after))
	}
	if err := h.reload(strings.Replace(text, "min_free: 1MiB", "min_free: 2MiB", 1)); err != nil {
		t.Fatal(err)
	}
	h.stop()
	if said := h.log.String(); strings.Count(said, "counts after a restart") != 1 || !strings.Contains(said, "section=spool") {
		t.Errorf("the agent said:\n%s", said)
	}
	if err := h.reload(text); !errors.Is(err, ErrStopping) {
		t.Errorf("a stopped agent: got %v, want ErrStopping", err)
	}
}

func pointers(parts []any) (all []string) {
	for _, p := range parts {
		all = append(all, fmt.Sprintf("%p", p))
	}
	return all
}

// TestReloadChangesSourcesAndDestinations: what is added works, what is taken
// out ends, and a changed destination goes on where it was.
func TestReloadChangesSourcesAndDestinations(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir, "lan-key", "lan\n")
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := func(source, archive string) string {
		return fmt.Sprintf(`
spool: {path: %[1]s/spool, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB, commit: {interval: 50ms}}
sources:
  - %[2]s
destinations:
  - {name: archive, type: dataset, path: %[1]s/%[3]s}
api: {listen: "127.0.0.1:0"}
`, dir, strings.ReplaceAll(source, "DIR", dir), archive)
	}
	const a, lan = "{name: in, type: directory, path: DIR/a, settle: 10ms}", "{name: lan, type: ingestion, api_key_file: DIR/lan-key}"
	h := live(t, text(a, "out"))
	archived := func(archive, name string) func(Status) bool {
		return func(Status) bool {
			found, _ := filepath.Glob(filepath.Join(dir, archive, "*", name+"*"))
			return len(found) == 1
		}
	}
	writeFile(t, dir, "a/first.1.csv", "timestamp,x\n0,1\n10,2\n")
	h.until("the first is archived", archived("out", "first.1"))

	if err := h.reload(text(strings.Replace(a, "/a", "/b", 1), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "a/nobody.1.csv", "timestamp,x\n0,5\n10,2\n")
	writeFile(t, dir, "b/second.1.csv", "timestamp,x\n0,3\n10,4\n")
	h.until("the second is archived elsewhere", archived("elsewhere", "second.1"))
	if archived("elsewhere", "first.1")(Status{}) || archived("elsewhere", "nobody.1")(Status{}) {
		t.Error("a destination began again, or a source that was taken out goes on")
	}

	url := "http://" + h.Address() + "/api/training/files"
	if code := answer(t, url); code != http.StatusNotFound {
		t.Errorf("without a source that takes samples: got %d, want 404", code)
	}
	if err := h.reload(text(lan, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	post(t, url, "lan", "third.1.csv", "timestamp,x\n0,6\n10,7\n")
	h.until("the third is archived", archived("elsewhere", "third.1"))
	if err := h.reload(text(a, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if code := answer(t, url); code != http.StatusNotFound {
		t.Errorf("with that source gone again: got %d, want 404", code)
	}
	h.until("what waited in its folder comes", archived("elsewhere", "nobody.1"))

	const other = "{name: in, type: directory, path: DIR/b, settle: 10ms}"
	if err := h.reload(strings.Replace(text(other, "third"), "name: archive", "name: other", 1)); err != nil {
		t.Fatal(err)
	}
	h.until("another destination begins at the beginning", archived("third", "first.1"))
	for _, info := range h.spool.Streams() {
		if pinned := strings.HasPrefix(info.Name, "other/"); info.Pinned != pinned {
			t.Errorf("records wait for stream %s: %v, want %v", info.Name, info.Pinned, pinned)
		}
	}
}

func answer(t *testing.T, url string) int {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(url, "text/plain", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestReloadThatFailsChangesNothing: what cannot be built ends nothing.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	built := 0
	m, err := match([]string{"a", "b"}, []string{"b", "c", "bad"}, func(p, c string) bool { return p == c }, func(c string) (string, error) {
		if built++; c == "bad" {
			return "", errors.New("bad")
		}
		return c, nil
	})
	if err == nil || built != 2 {
		t.Errorf("got %+v, %v after %d builds", m, err, built)
	}
	m, err = match([]string{"a", "b"}, []string{"b", "c"}, func(p, c string) bool { return p == c }, func(c string) (string, error) { return c, nil })
	if want := (changes[string]{all: []string{"b", "c"}, fresh: []string{"c"}, gone: []string{"a"}}); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, %v, want %+v", m, err, want)
	}
}
