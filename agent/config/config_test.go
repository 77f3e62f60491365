package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// The test's own file: every kind of value that the rooms' Configs have.
type testFile struct {
	Spool   testSpool    `yaml:"spool"`
	Sources []testSource `yaml:"sources"`
	Limit   *testCommit  `yaml:"limit"`
}

type testSpool struct {
	Path   string        `yaml:"path"`
	Full   string        `yaml:"when_full"`
	Commit testCommit    `yaml:"commit"`
	Keep   time.Duration `yaml:"keep"`
	Hidden string        `yaml:"-"`
}

func (c *testSpool) Validate(fault func(field, problem, remedy string)) {
	if c.Full != "refuse" {
		fault("when_full", "when_full must be refuse", "write refuse")
	}
	if c.Commit.Bytes < 10 {
		fault("commit.bytes", "commit.bytes is below 10", "write 10 or more")
	}
}

type testCommit struct {
	Bytes    int8          `yaml:"bytes"`
	Interval time.Duration `yaml:"interval"`
}

type testSource struct {
	Name string `yaml:"name"`
	Type string `yaml:"type"`
	Room any    `yaml:",inline"`
}

func (s *testSource) Kinds() []string { return []string{"serial", "directory"} }

func (s *testSource) Choose(kind string) bool {
	switch kind {
	case "serial":
		s.Room = &testSerial{Baud: 115200}
	case "directory":
		s.Room = &testDirectory{}
	default:
		return false
	}
	return true
}

type testSerial struct {
	Port     string            `yaml:"port"`
	Baud     int               `yaml:"baud"`
	Address  netip.Addr        `yaml:"address"`
	Rate     float64           `yaml:"rate"`
	Sensors  []testSensor      `yaml:"sensors"`
	Metadata map[string]string `yaml:"metadata"`
}

type testSensor struct {
	Name  string `yaml:"name"`
	Units string `yaml:"units"`
}

func (c *testSerial) Validate(fault func(field, problem, remedy string)) {
	if c.Port == "" {
		fault("port", "port is missing", "name the serial port")
	}
	if len(c.Sensors) == 0 {
		fault("sensors", "sensors are missing", "name the columns")
	}
	for i, s := range c.Sensors {
		if s.Units == "" {
			fault(fmt.Sprintf("sensors[%d].units", i), "units are missing", "write SenML units")
		}
	}
}

type testDirectory struct {
	Path      string `yaml:"path"`
	Recursive bool   `yaml:"recursive"`
}

func (c *testDirectory) Warnings(warn func(field, problem, remedy string)) {
	if c.Path == "/gone" {
		warn("path", c.Path+" is not there", "make it")
	}
}

func decodeTest(text string) (*testFile, error) {
	f := &testFile{Spool: testSpool{Path: "/default", Full: "refuse", Commit: testCommit{Bytes: 64}}}
	_, err := Decode("edgespool.yaml", []byte(text), f)
	return f, err
}

func TestDecodeFillsEveryKind(t *testing.T) {
	f, err := decodeTest(`
spool: {commit: {interval: 1500ms}, keep: 7d}
limit: {bytes: 0x10}
sources:
  - name: 5
    type: serial
    port: yes
    address: 127.0.0.1
    rate: 62.5
    sensors: &axes
      - {name: x, units: m/s2}
      - {name: y, units: m/s2}
    metadata: {site: plant-4, line: 7}
  - name: b
    type: serial
    port: /dev/ttyUSB0
    baud: 9600
    rate: 100
    sensors: *axes
  - {name: c, type: directory, path: /srv, recursive: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	if f.Spool.Path != "/default" || f.Spool.Commit.Bytes != 64 || f.Spool.Commit.Interval != 1500*time.Millisecond || f.Spool.Keep != 7*24*time.Hour {
		t.Errorf("spool: got %+v", f.Spool)
	}
	if f.Limit == nil || f.Limit.Bytes != 16 {
		t.Errorf("limit: got %+v", f.Limit)
	}
	a, b := f.Sources[0].Room.(*testSerial), f.Sources[1].Room.(*testSerial)
	if f.Sources[0].Name != "5" || a.Port != "yes" || a.Baud != 115200 || a.Rate != 62.5 || a.Address.String() != "127.0.0.1" ||
		a.Metadata["line"] != "7" || len(a.Sensors) != 2 {
		t.Errorf("first source: got %+v %+v", f.Sources[0], a)
	}
	if b.Baud != 9600 || b.Rate != 100 || len(b.Sensors) != 2 || b.Sensors[1].Name != "y" {
		t.Errorf("second source: got %+v", b)
	}
	if c := f.Sources[2].Room.(*testDirectory); !c.Recursive || c.Path != "/srv" {
		t.Errorf("third source: got %+v", c)
	}
}

// One file with every sort of fault: all of them must be there, in order.
func TestDecodeReportsEveryFaultAtOnce(t *testing.T) {
	_, err := decodeTest(`spool:
  path: /a
  path: /b
  when_full: drop
  commit: {bytes: 9, intervall: 1s}
  keep: 3 weeks
sources:
  - name: one
    type: serial
    buad: 9600
    sensors: [{name: x}]
  - name: two
    type: seriel
  - name: three
    type: directory
    path: [/a, /b]
    recursive: often
  - name: four
    type: serial
    prot: /dev/ttyS0
    baud: fast
    rate: .nan
    address: here
    sensors: none
  - name: five
colour: blue
`)
	want := `edgespool.yaml:3:3: "path" is given twice, first in line 2
      path: /b
      ^
  keep one of the two
edgespool.yaml:4:14: when_full must be refuse
      when_full: drop
                 ^
  write refuse
edgespool.yaml:5:19: commit.bytes is below 10
      commit: {bytes: 9, intervall: 1s}
                      ^
  write 10 or more
edgespool.yaml:5:22: unknown field "intervall"
      commit: {bytes: 9, intervall: 1s}
                         ^
  did you mean "interval"?
edgespool.yaml:6:9: keep: "3 weeks" is not a length of time
      keep: 3 weeks
            ^
  write for example 500ms, 2s, 10m, 1h30m or 7d
edgespool.yaml:8:5: port is missing
      - name: one
        ^
  name the serial port
edgespool.yaml:10:5: unknown field "buad"
        buad: 9600
        ^
  did you mean "baud"?
edgespool.yaml:11:15: units are missing
        sensors: [{name: x}]
                  ^
  write SenML units
edgespool.yaml:13:11: unknown type "seriel"
        type: seriel
              ^
  did you mean "serial"? types are: serial, directory
edgespool.yaml:16:11: path is a list, not a single value
        path: [/a, /b]
              ^
  write the value behind the colon
edgespool.yaml:17:16: recursive: "often" is neither true nor false
        recursive: often
                   ^
  write true or false
edgespool.yaml:20:5: unknown field "prot"
        prot: /dev/ttyS0
        ^
  did you mean "port"?
edgespool.yaml:21:11: baud: "fast" is not a whole number
        baud: fast
              ^
  write digits only, without quotes and units
edgespool.yaml:22:11: rate: ".nan" is not a number
        rate: .nan
              ^
  write a number such as 62.5, without quotes and units
edgespool.yaml:23:14: address: ParseAddr("here"): unable to parse IP
        address: here
                 ^
edgespool.yaml:24:14: sensors is text, not a list
        sensors: none
                 ^
  write [one, two], or one per line with a dash before it
edgespool.yaml:25:5: sources[4] has no type
      - name: five
        ^
  add a line "type:"; types are: serial, directory
edgespool.yaml:26:1: unknown field "colour"
    colour: blue
    ^
  fields here: spool, sources, limit`
	if err == nil {
		t.Fatal("no fault found")
	}
	if got := err.Error(); got != want {
		t.Errorf("got:\n%s\n\nwant:\n%s", got, want)
	}
}

func TestDecodeRefusesWhatIsNoConfiguration(t *testing.T) {
	for _, c := range []struct{ name, text, place, problem string }{
		{"empty", "", "edgespool.yaml: ", "the file is empty"},
		{"comment only", "# later\n", "edgespool.yaml: ", "the file is empty"},
		{"list", "- a\n", ":1:1: ", "the file is a list"},
		{"second document", "spool: {}\n---\nspool: {}\n", ":2:1: ", "a second document"},
		{"tab", "spool:\n\tpath: x\n", ":2:1: ", "not YAML"},
		{"open bracket", "spool: [1, 2\npath: 3\n", ":2:1: ", "opened here or above"},
		{"open bracket below", "a: 1\nspool: [1, 2\npath: 3\n", ":2:1: ", "missing ]"},
		{"open brace below", "a: 1\nspool: {b: 2\npath: 3\n", ":2:1: ", "missing ] or }"},
		{"open quote", "a: 1\nb: \"c\nd: 2\n", ":2:1: ", "missing quote"},
		{"indentation", "a: 1\nb:\n  c: 1\n d: 2\n", ":4:1: ", "check the indentation"},
		{"list in a section", "a: 1\n- b\n", ":2:1: ", "not YAML"},
		{"colon in text", "a: 1\nb: c: d\n", ":2:1: ", "into quotes"},
		{"at sign", "a: 1\nb: @x\n", ":2:1: ", "into quotes"},
		{"control", "spool: \x01\n", "edgespool.yaml: ", "not YAML"},
		{"unknown anchor", "a: 1\nspool: *nowhere\n", ":2:1: ", "begins with *"},
		{"merge key", "spool: {<<: {path: a}}\n", ":1:9: ", "merge keys"},
		{"tag", "spool: {path: !!binary aGk=}\n", ":1:15: ", "tags such as"},
		{"no value", "spool:\n  path:\n", ":2:8: ", "path has no value"},
		{"overflow", "limit: {bytes: 300}\n", ":1:16: ", "out of range"},
		{"quoted number", "limit: {bytes: \"3\"}\n", ":1:16: ", "not a whole number"},
		{"list as a field name", "? [1]\n: 2\n", ":1:3: ", "one word"},
		{"too large", strings.Repeat("# x\n", maxFile/4+1), "edgespool.yaml: ", "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decodeTest(c.text)
			var faults *Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got %v, want faults", err)
			}
			if got := err.Error(); !strings.Contains(got, c.place) || !strings.Contains(got, c.problem) {
				t.Errorf("got %q, want it to hold %q and %q", got, c.place, c.problem)
			}
		})
	}
}

func TestWarningsHaveTheirPlace(t *testing.T) {
	f := &testFile{Spool: testSpool{Full: "refuse", Commit: testCommit{Bytes: 64}}}
	warnings, err := Decode("edgespool.yaml", []byte("sources:\n  - type: directory\n    path: /a\n  - type: directory\n    path: /gone\n"), f)
	if err != nil {
		t.Fatal(err)
	}
	const want = "edgespool.yaml:5:11: warning: path: /gone is not there\n        path: /gone\n              ^\n  make it"
	if got := warnings(); got == nil || got.Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
	f.Sources[1].Room.(*testDirectory).Path = "/a"
	if got := warnings(); got != nil {
		t.Errorf("got %v, want no warnings", got)
	}
}

func TestDecodeBoundsAliases(t *testing.T) {
	var b strings.Builder
	b.WriteString("sources:\n  - &s {name: a, type: serial, port: p, sensors: &l [")
	b.WriteString(strings.Repeat("{name: x, units: m},", 5000))
	b.WriteString("]}\n")
	b.WriteString(strings.Repeat("  - *s\n", 5000))
	_, err := decodeTest(b.String())
	if err == nil || !strings.Contains(err.Error(), "too large when its aliases are written out") {
		t.Errorf("got %v, want the budget to end it", err)
	}
}

func TestFaultsKeepControlCharactersFromTheTerminal(t *testing.T) {
	_, err := decodeTest("spool: {\tpath: /a, \"ab\\e[31m\": 1}\nb\x7fx: 1\n")
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\x7f") {
		t.Errorf("got %q, want no control characters", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"baud", "port", "frequency", "min_window", "label"}
	for word, want := range map[string]string{
		"buad": "baud", "prot": "port", "frequncy": "frequency", "min-window": "min_window", "lable": "label", "x": "", "colour": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q): got %q, want %q", word, got, want)
		}
	}
}

// FuzzDecode: whatever the bytes, Decode returns, its faults lie in the file
// and print nothing that moves a cursor.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"spool: {path: /a, keep: 7d}\n", "sources: [{name: a, type: serial, sensors: [{}, *x]}]\n", "a: &a [*a]\n",
		"spool:\n\tpath: x\n", "sources:\n- type: directory\n  path: [", "\xff\xfe", "spool: {<<: 1}", "limit: !!int x\n---\n",
		"sources: &s [*s, {type: serial, metadata: {a: *s}}]", "ä: \"\u200b\"\r\nspool: ~",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := decodeTest(text)
		if err == nil {
			return
		}
		var faults *Faults
		if !errors.As(err, &faults) || len(faults.List) == 0 {
			t.Fatalf("got %v, want faults", err)
		}
		for _, fault := range faults.List {
			if fault.Line < 0 || fault.Line > len(faults.lines)+1 || fault.Problem == "" {
				t.Errorf("fault outside of the file: %+v", fault)
			}
		}
		if strings.ContainsAny(err.Error(), "\x1b\x00\x7f") {
			t.Errorf("control characters in %q", err)
		}
	})
}
