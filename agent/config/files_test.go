package config

import (
	"strings"
	"testing"
)

func decodeFiles(t *testing.T, texts ...string) (*testFile, string) {
	t.Helper()
	f := &testFile{Spool: testSpool{Full: "refuse", Commit: testCommit{Bytes: 64}}}
	var files []File
	for i, text := range texts {
		files = append(files, File{string(rune('a' + i)), []byte(text)})
	}
	if _, err := Decode(f, files...); err != nil {
		return f, err.Error()
	}
	return f, ""
}

func TestFragmentsAddToTheFile(t *testing.T) {
	f, faults := decodeFiles(t, "spool: {path: /one}\nsources:\n", "# nothing yet\n", "sources: [{name: x, type: directory, path: /x}]\nspool:\n  keep: 7d\n",
		"sources:\n  - {name: y, type: directory, path: /y}\n")
	if faults != "" {
		t.Fatal(faults)
	}
	if f.Spool.Path != "/one" || f.Spool.Keep.Hours() != 7*24 || len(f.Sources) != 2 || f.Sources[0].Name != "x" || f.Sources[1].Name != "y" {
		t.Errorf("got %+v", f)
	}
}

func TestFaultsOfFragmentsHaveTheirFileAndLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []string
		want  []string
	}{
		{"unknown field", []string{"spool: {path: /a}\n", "# one\nsources:\n  - {name: x, type: serial, buad: 1}\n"}, []string{"b:3:29: unknown field \"buad\"\n      - {name: x, type: serial, buad: 1}\n"}},
		{"given twice", []string{"# a\nspool: {path: /a}\n", "spool: {path: /b}\n"}, []string{"b:1:9: \"path\" is given already, in a:2\n"}},
		{"of other kinds", []string{"sources: []\n", "sources: {name: x}\n"}, []string{"b:1:1: \"sources\" is given already, in a:1\n"}},
		{"a range", []string{"spool: {path: /a}\n", "spool: {when_full: drop}\n"}, []string{"b:1:20: when_full must be refuse\n"}},
		{"no YAML", []string{"spool: {path: /a}\n", "\n\nsources: [\n", "spool: {{\n"}, []string{"b:4:1: this is not YAML", "c:2:1: this"}},
		{"no sections", []string{"spool: {path: /a}\n", "- x\n"}, []string{"b:1:1: the file is a list, not a list of sections\n"}},
		{"nothing at all", []string{"# a\n", "# b\n"}, []string{"a: the file is empty\n"}},
		{"two in one file", []string{"spool: {path: /a}\n", "limit:\n  bytes: 1\n  bytes: 2\n"}, []string{"b:3:3: \"bytes\" is given twice, first in line 2\n"}},
	} {
		_, got := decodeFiles(t, c.texts...)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got\n%s\nwant it to hold %q", c.name, got, want)
			}
		}
	}
}

func TestVariablesOfTheEnvironment(t *testing.T) {
	t.Setenv("SITE", "plant ${SITE}: [4] # north")
	t.Setenv("BYTES", "99")
	t.Setenv("DIR", "/srv")
	f, faults := decodeFiles(t, "# ${NOBODY} is no variable in a comment\nspool: {path: \"${DIR}/a$${DIR}\", commit: {bytes: \"${BYTES}\"}}\nsources:\n  - {name: \"${SITE}\", type: directory, path: a}\n")
	if faults != "" {
		t.Fatal(faults)
	}
	if f.Spool.Path != "/srv/a${DIR}" || f.Spool.Commit.Bytes != 99 || f.Sources[0].Name != "plant ${SITE}: [4] # north" {
		t.Errorf("got %+v", f)
	}
	_, faults = decodeFiles(t, "spool: {path: /a}\n", "limit: {bytes: '${NOBODY}'}\nsources: [{name: \"${\", type: serial, baud: \"${BYTES}x\"}]\n")
	for _, want := range []string{
		"b:1:16: the environment has no variable NOBODY\n", "or write $${NOBODY} for that text", "b:2:18: after ${ stands no name",
		`b:2:44: baud: "99x" is not a whole number`,
	} {
		if !strings.Contains(faults, want) {
			t.Errorf("got\n%s\nwant it to hold %q", faults, want)
		}
	}
	if n := strings.Count(faults, "b:1:16"); n != 1 {
		t.Errorf("a missing variable is reported %d times", n)
	}
}
