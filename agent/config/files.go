package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A File is a file and its text.
type File struct {
	Name string
	Text []byte
}

// sheet holds the lines of all files one after the other, so that one number
// names a line of one of them.
type sheet struct {
	names []string
	first []int // the lines before each file's own
	lines []string
}

func (s *sheet) add(f File) {
	s.names, s.first = append(s.names, f.Name), append(s.first, len(s.lines))
	s.lines = append(s.lines, strings.Split(lineBreaks.Replace(string(f.Text)), "\n")...)
}

// place finds the file of a line, and its number there.
func (s *sheet) place(line int) (name string, own int) {
	for i := len(s.first) - 1; i > 0; i-- {
		if line > s.first[i] {
			return s.names[i], line - s.first[i]
		}
	}
	return s.names[0], line
}

// parseAll reads the files and makes one tree of them.
func (d *decoder) parseAll(files []File) *yaml.Node {
	var all *yaml.Node
	for _, f := range files {
		before := len(d.sheet.lines)
		d.sheet.add(f)
		if len(f.Text) > maxFile {
			d.faults, d.torn = append(d.faults, Fault{Line: before + 1, Problem: "the file is larger than 1 MiB", Remedy: "is this a configuration file?"}), true
			continue
		}
		root, fault := parse(f.Text)
		switch {
		case fault != nil && *fault == *emptyFault(): // all is commented out
			continue
		case fault != nil:
			if fault.Line < 1 { // it is known of the file only
				fault.Line, fault.Column = 1, 0
			}
			fault.Line = min(fault.Line+before, len(d.sheet.lines))
			d.faults, d.torn = append(d.faults, *fault), true
			continue
		}
		d.prepare(root, before)
		if all == nil {
			all = root
		} else {
			d.merge(all, root)
		}
	}
	if all == nil && len(d.faults) == 0 {
		d.faults = append(d.faults, *emptyFault())
	}
	return all
}

// prepare gives the nodes of a file their lines on the sheet, and puts the
// values of the environment into them.
func (d *decoder) prepare(n *yaml.Node, before int) {
	n.Line += before
	for i, c := range n.Content {
		d.prepare(c, before)
		if c.Kind == yaml.ScalarNode && (n.Kind != yaml.MappingNode || i%2 == 1) {
			d.expand(c)
		}
	}
}

// merge adds a later file's fields to those that are there: lists go on,
// sections are joined, and anything else may be given once.
func (d *decoder) merge(to, from *yaml.Node) {
	if to.Kind != yaml.MappingNode || from.Kind != yaml.MappingNode {
		d.fault(from, "the file is "+kindOf(from)+", not a list of sections", "begin with sections such as \"sources:\"")
		return
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		key, val := from.Content[i], from.Content[i+1]
		have, first := lookup(to, key.Value)
		switch {
		case first == nil:
			to.Content = append(to.Content, key, val)
		case have.Kind == yaml.SequenceNode && val.Kind == yaml.SequenceNode:
			have.Content = append(have.Content, val.Content...)
		case have.Kind == yaml.MappingNode && val.Kind == yaml.MappingNode:
			d.merge(have, val)
		case isNull(val):
		case isNull(have):
			*have = *val
		default:
			file, line := d.sheet.place(first.Line)
			d.fault(key, fmt.Sprintf("%q is given already, in %s:%d", key.Value, file, line), "keep one of the two")
		}
	}
}
