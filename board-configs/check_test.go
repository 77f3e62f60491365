package boards

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "pack the files of this folder anew")

// files reads every board's file, by name.
func files(t *testing.T) (names, texts []string) {
	t.Helper()
	names, err := filepath.Glob("*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("got no files, %v", err)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return names, texts
}

// TestPackedFilesAreCurrent: what the program carries is what stands in this
// folder. The bytes of boards.gz may differ between releases of Go.
func TestPackedFilesAreCurrent(t *testing.T) {
	_, texts := files(t)
	if *update {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a good one
		if _, err := w.Write([]byte(strings.Join(texts, separator))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("boards.gz", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		packed = b.Bytes()
	}
	got, err := unpack()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, texts) {
		t.Error("boards.gz is not what the files say; run: go generate ./board-configs")
	}
}

// Validate checks what a contributor may get wrong in a file. The program has
// no need of it: it only carries files that this test has passed.
func (b *Board) Validate(fault func(field, problem, remedy string)) {
	oneOf := func(field, value string, words ...string) {
		if !slices.Contains(words, value) {
			fault(field, fmt.Sprintf("%q is not known here", value), "write one of "+strings.Join(words, ", "))
		}
	}
	if b.Title == "" {
		fault("title", "title is missing", "write what is printed on the board")
	}
	oneOf("goarch", b.GOARCH, "arm", "arm64", "amd64", "riscv64")
	if (b.GOARCH == "arm") != (b.GOARM != 0) || b.GOARM != 0 && (b.GOARM < 5 || b.GOARM > 7) {
		fault("goarm", "goarm goes with goarch: arm, and is 5, 6 or 7", "write the highest build that runs: 6 for ARMv6 and ARMv7")
	}
	for i, build := range b.Also {
		oneOf(fmt.Sprintf("also[%d]", i), build, "armv5", "armv6", "arm64", "amd64", "riscv64")
	}
	oneOf("memory", b.Memory, "small", "medium", "large")
	oneOf("storage", b.Storage, "sd", "emmc", "sd-emmc", "disk")
	if b.Advice == "" {
		fault("advice", "advice is missing", "say which storage to take or avoid")
	}
	oneOf("rtc", b.RTC, "none", "soc", "cell", "battery")
	if n := len(b.Match.Compatible) + len(b.Match.Model) + len(b.Match.DMI); (n == 0) != b.Match.Generic {
		fault("match", "match needs a pattern, or generic: true and none", "write compatible:, model: or dmi:")
	}
	for i, p := range slices.Concat(b.Match.Compatible, b.Match.Model, b.Match.DMI) {
		if _, err := path.Match(p, ""); err != nil || strings.Trim(p, "*?") == "" {
			fault("match", fmt.Sprintf("pattern %d, %q, is none or fits everything", i, p), "write * for any characters and ? for one")
		}
	}
	for i, p := range b.Match.Compatible {
		if !strings.Contains(p, ",") {
			fault(fmt.Sprintf("match.compatible[%d]", i), fmt.Sprintf("%q has no maker", p), `write "maker,board", in quotes, or YAML takes it for two`)
		}
	}
	if len(b.Sources) == 0 {
		fault("sources", "sources are missing", "name the pages that say so")
	}
	for i, s := range b.Sources {
		if !strings.HasPrefix(s, "https://") {
			fault(fmt.Sprintf("sources[%d]", i), "this is no address", "write https://…")
		}
	}
	for i, name := range b.Unverified {
		if !hasField(reflect.ValueOf(*b), name) {
			fault(fmt.Sprintf("unverified[%d]", i), fmt.Sprintf("%q is not a field of this file", name), "write for example serial[0].max_baud")
		}
	}
}

// Validate checks one port.
func (p *Port) Validate(fault func(field, problem, remedy string)) {
	if p.Label == "" || len(p.Paths) == 0 {
		fault("label", "a port needs a label and paths", "write what is printed beside it, and /dev/…")
	}
	for i, name := range p.Paths {
		if !strings.HasPrefix(name, "/dev/") {
			fault(fmt.Sprintf("paths[%d]", i), "this is no device", "write /dev/…")
		}
	}
	if !slices.Contains([]string{"ttl", "rs232", "rs485", "multi"}, p.Mode) {
		fault("mode", fmt.Sprintf("mode: %q is not known", p.Mode), "write ttl, rs232, rs485 or multi")
	}
	if !slices.Contains([]string{"", "kernel", "ioctl", "auto", "tool"}, p.Direction) ||
		(p.Mode == "rs485" || p.Mode == "multi") && p.Direction == "" || (p.Direction == "tool") != (p.Tool != "") {
		fault("direction", "direction does not fit mode and tool", "write kernel, ioctl, auto, or tool with a tool: line")
	}
	if p.MaxBaud < 0 || p.MaxBaud > 12_000_000 {
		fault("max_baud", "max_baud is not a speed", "write what to advise, such as 230400")
	}
	if p.UsedBy != "" && p.Free == "" {
		fault("free", "free is missing", "say how to take the port from "+p.UsedBy)
	}
}

// hasField tells whether a path such as serial[0].paths leads to something.
func hasField(v reflect.Value, name string) bool {
	for _, step := range regexp.MustCompile(`[^.\[\]]+`).FindAllString(name, -1) {
		switch v.Kind() {
		case reflect.Slice:
			i, err := strconv.Atoi(step)
			if err != nil || i >= v.Len() {
				return false
			}
			v = v.Index(i)
		case reflect.Struct:
			i := slices.IndexFunc(slices.Collect(v.Type().Fields()), func(f reflect.StructField) bool { return f.Tag.Get("yaml") == step })
			if i < 0 {
				return false
			}
			v = v.Field(i)
		default:
			return false
		}
	}
	return !v.IsZero()
}

func TestEveryFileIsGood(t *testing.T) {
	names, texts := files(t)
	for i, name := range names {
		b, err := parse(name, texts[i])
		if err != nil {
			t.Error(err)
			continue
		}
		if b.Name+".yaml" != name {
			t.Errorf("%s: its name is %q", name, b.Name)
		}
		if strings.Contains("\n"+texts[i], "\n"+separator) || !strings.HasSuffix(texts[i], "\n") {
			t.Errorf("%s: it has a line --- or no line break at its end", name)
		}
	}
}

func TestFaultsInAFileAreTold(t *testing.T) {
	_, err := parse("x.yaml", `name: x
title: X
match: {compatible: ["*"], modle: [a]}
goarch: arm
memory: huge
storage: sd
rtc: none
serial:
  - {label: P1, paths: [ttyS0], mode: rs485, max_baud: -1}
sources: [here]
unverified: ["serial[1].mode", "serial[0].free"]
`)
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{`x.yaml:3:28: unknown field "modle"`, "goarm goes with", "advice is missing", `memory: "huge"`, "pattern 0", `"*" has no maker`, "this is no device",
		"direction does not fit", "max_baud is not", "this is no address", `"serial[1].mode" is not a field`, `"serial[0].free" is not a field`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant it to say %s", err, want)
		}
	}
}
