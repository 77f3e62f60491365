package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// maxFaults bounds what is printed of a file that is not a configuration.
const maxFaults = 100

// lineBreaks are what the YAML library counts as the end of a line.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// A Fault is one thing that is wrong in a file, with its place and remedy.
type Fault struct {
	// Line and Column count from 1, columns in characters. Zero means that
	// the fault has no place.
	Line, Column int
	// Problem says what is wrong, Remedy what to do about it (may be empty).
	Problem, Remedy string
}

// Faults are all that is wrong with one file. As an error they print the way
// compilers do: place and problem, the line, a caret, the remedy.
type Faults struct {
	// File is the name of the file as it was given.
	File string
	// List is ordered by place and never empty.
	List  []Fault
	lines []string
}

// newFaults puts the faults in order. Of one that two rooms found, one stays.
func newFaults(file string, text []byte, list []Fault) *Faults {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Problem, b.Problem)) < 0
	})
	return &Faults{File: file, List: slices.Compact(list), lines: strings.Split(lineBreaks.Replace(string(text)), "\n")}
}

// Error prints every fault over several lines.
func (f *Faults) Error() string {
	var b strings.Builder
	for i, fault := range f.List {
		if i == maxFaults {
			fmt.Fprintf(&b, "%s: %d more faults\n", f.File, len(f.List)-maxFaults)
			break
		}
		f.print(&b, fault)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (f *Faults) print(b *strings.Builder, fault Fault) {
	problem, remedy := printable(fault.Problem), printable(fault.Remedy)
	if fault.Line < 1 || fault.Line > len(f.lines) {
		fmt.Fprintf(b, "%s: %s\n", f.File, problem)
	} else {
		fmt.Fprintf(b, "%s:%d:%d: %s\n", f.File, fault.Line, fault.Column, problem)
		line := printable(f.lines[fault.Line-1])
		fmt.Fprintf(b, "    %s\n    %s^\n", line, blanksBelow(line, fault.Column))
	}
	if remedy != "" {
		fmt.Fprintf(b, "  %s\n", remedy)
	}
}

// printable keeps control characters of a file away from the terminal.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || r == utf8.RuneError) {
			return '?'
		}
		return r
	}, line)
}

// blanksBelow is what stands before the caret: tabs stay tabs, so that it
// meets its character in every terminal.
func blanksBelow(line string, column int) string {
	var b strings.Builder
	for _, r := range line {
		if column--; column < 1 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}
