// Package config reads a strict YAML file into the rooms' own Config structs
// and reports every fault at once, each with its place and its remedy. It
// knows no room: what a field means is said by the structs and their Validate
// methods.
package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file; a real one has a few KB.
const maxFile = 1 << 20

// A Validator is a Config that checks its own ranges. Field is the dotted
// path inside the config, such as "commit.bytes" or "sensors[1].name"; an
// empty one means the whole.
type Validator interface {
	Validate(fault func(field, problem, remedy string))
}

// A Variant is a part of the file whose further fields depend on its field
// "type". It has an inline field that Choose fills.
type Variant interface {
	// Choose makes the fields of this type known, or returns false.
	Choose(kind string) bool
	// Kinds lists the types there are.
	Kinds() []string
}

// A Warner is a Config that knows what may be amiss on this board although
// the file is good: a device or key file that is not there (yet).
type Warner interface {
	Warnings(warn func(field, problem, remedy string))
}

// Decode fills out, a pointer to a struct that already holds the defaults,
// from the text of the file. The error is a *Faults with all that is wrong; of
// faults in the YAML itself only the first is known. A good file may be asked
// for its warnings, which looks at the board; nil means none.
func Decode(file string, text []byte, out any) (warnings func() *Faults, err error) {
	if len(text) > maxFile {
		return nil, newFaults(file, nil, []Fault{{Problem: "the file is larger than 1 MiB", Remedy: "is this a configuration file?"}})
	}
	root, fault := parse(text)
	if fault != nil {
		return nil, newFaults(file, text, []Fault{*fault})
	}
	d := &decoder{budget: maxNodes, failed: map[*yaml.Node]bool{}, meant: map[meaning]bool{}}
	d.root(root, out)
	for _, s := range d.sections {
		if v, ok := s.config.(Validator); ok {
			v.Validate(func(field, problem, remedy string) { d.refuse(s.node, field, problem, remedy) })
		}
	}
	if len(d.faults) > 0 {
		return nil, newFaults(file, text, d.faults)
	}
	return func() *Faults { return d.warnings(file, text) }, nil
}

// warnings asks every section that has been read for its warnings.
func (d *decoder) warnings(file string, text []byte) *Faults {
	d.faults = nil
	for _, s := range d.sections {
		if w, ok := s.config.(Warner); ok {
			w.Warnings(func(field, problem, remedy string) { d.refuse(s.node, field, problem, remedy) })
		}
	}
	if len(d.faults) == 0 {
		return nil
	}
	for i := range d.faults {
		d.faults[i].Problem = "warning: " + d.faults[i].Problem
	}
	return newFaults(file, text, d.faults)
}

// parse returns the root node of the only document of the file.
func parse(text []byte) (*yaml.Node, *Fault) {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := documents.Decode(&document); {
	case errors.Is(err, io.EOF), err == nil && len(document.Content) == 0:
		return nil, &Fault{Problem: "the file is empty", Remedy: "describe at least one source and one destination"}
	case err != nil:
		return nil, syntaxFault(text, err)
	}
	switch err := documents.Decode(&second); {
	case err == nil:
		return nil, &Fault{Line: second.Line, Column: second.Column, Problem: "a second document begins here",
			Remedy: "keep one document in the file: remove the --- line and what is not needed"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxFault(text, err)
	}
	return document.Content[0], nil
}

// said takes the place out of an error of the YAML library.
var said = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxFault turns an error of the YAML library into a fault with its line.
// The library counts from 0 when its parser complains, from 1 when its scanner
// does, and names neither the first line nor that of an unknown anchor.
func syntaxFault(text []byte, err error) *Fault {
	f := &Fault{Line: 1, Column: 1, Problem: err.Error(), Remedy: "check the indentation, the blanks after colons, and the quotes"}
	m := said.FindStringSubmatch(f.Problem)
	if m == nil {
		return f
	}
	line, _ := strconv.Atoi(m[1])
	f.Problem = "this is not YAML: " + m[2]
	switch {
	case strings.HasPrefix(m[2], "did not find expected"):
		line++
		if strings.Contains(m[2], "','") {
			f.Remedy = "what is opened here or above is not closed: look for a missing ] or }"
		}
	case strings.Contains(m[2], "unexpected end of stream"):
		f.Remedy = "what is opened here is not closed: look for a missing quote"
	case strings.Contains(m[2], "cannot start any token"), strings.Contains(m[2], "a tab character"):
		f.Remedy = "indent with blanks, not with tabs, and put text that begins with @, ` or % into quotes"
	case strings.Contains(m[2], "mapping values are not allowed"):
		f.Remedy = "check the indentation, and put text that contains \": \" into quotes"
	case strings.Contains(m[2], "control characters"):
		f.Line, f.Column = 0, 0
		f.Remedy = "the file holds bytes that are not text; save it as UTF-8"
	case strings.HasPrefix(m[2], "unknown anchor"):
		before, _, _ := bytes.Cut(text, []byte("*"+strings.Split(m[2], "'")[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
		f.Remedy = "put text that begins with * into quotes"
	}
	f.Line = max(f.Line, line)
	return f
}
