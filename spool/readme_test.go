package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// onPage is the text of the page's one block of that kind.
func onPage(t *testing.T, kind string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```"+kind+"\n(.*?)```").FindAllStringSubmatch(readPage(t), -1)
	if len(found) != 1 {
		t.Fatalf("the page has %d blocks of %s, want 1", len(found), kind)
	}
	return found[0][1]
}

// bytesOnPage are the bytes before the semicolons of a block.
func bytesOnPage(t *testing.T, kind string) []byte {
	t.Helper()
	var all []byte
	for line := range strings.Lines(onPage(t, kind)) {
		text, _, _ := strings.Cut(line, ";")
		part, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, part...)
	}
	return all
}

// TestREADMEFormat: the examples of the page are what the spool reads and
// writes, byte for byte.
func TestREADMEFormat(t *testing.T) {
	epoch, err := parseFormat([]byte(onPage(t, "format")))
	if err != nil {
		t.Fatal(err)
	}
	if want := onPage(t, "format"); string(formatText(epoch)) != want {
		t.Errorf("FORMAT is written as %q, the page has %q", formatText(epoch), want)
	}
	body := []byte("timestamp,x\n0,1\n")
	sum, at := sha256.Sum256(body), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	want := Record{
		Kind: KindFile, Identity: sum, SHA256: sum, Name: "idle.01.csv", Dataset: "training", Label: Label{Text: "idle"},
		ContentType: "text/csv", Source: "inbox", Size: int64(len(body)),
		Time: Instant{Boot: [16]byte{0xb0, 0x07, 15: 1}, Since: 90 * time.Second, Wall: at.UnixNano(), State: ClockSynchronised},
	}
	envelope, err := appendEnvelope(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCodec(epoch)
	if err != nil {
		t.Fatal(err)
	}
	b := encodeChunk("training", []*pending{{rec: want, envelope: envelope, sequence: 7, created: at.UnixNano(), inline: body}}, &c.arena)
	written := bytes.Clone(c.encode(b))
	shown := bytesOnPage(t, "block")
	if !bytes.Equal(written, shown) {
		t.Errorf("the chunk is written as\n% x\nthe page has\n% x", written, shown)
	}
	if key := bytesOnPage(t, "key"); !bytes.Equal(b.key(), key) {
		t.Errorf("its key is\n% x\nthe page has\n% x", b.key(), key)
	}

	read, err := c.decode(shown)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := decodeChunk(&read)
	if err != nil || len(recs) != 1 || !bytes.Equal(recs[0].inline, body) {
		t.Fatalf("the page's chunk holds %+v, %v", recs, err)
	}
	got, err := recs[0].record()
	if err != nil || got.Sequence != 7 || !got.CreatedAt.Equal(at) || got.Identity != sum || got.Name != want.Name || got.Label.Text != "idle" || got.Time != want.Time {
		t.Errorf("the page's record is %+v, %v", got, err)
	}
}

// TestREADMENamesTests: every test that the page names is there.
func TestREADMENamesTests(t *testing.T) {
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w+`).FindAllString(readPage(t), -1)
	if len(named) < 30 {
		t.Errorf("the page names %d tests only", len(named))
	}
	for _, name := range named {
		if !there[name] {
			t.Errorf("there is no test %s", name)
		}
	}
}
