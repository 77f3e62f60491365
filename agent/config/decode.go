package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the work that aliases of aliases can make.
const maxNodes = 100_000

// decoder walks the nodes of one file and collects faults as it goes.
type decoder struct {
	faults   []Fault
	sections []section
	budget   int
	// failed holds the values that could not be read, so that Validate does
	// not complain of them again.
	failed map[*yaml.Node]bool
	// meant holds the fields that an unknown field was taken for, so that
	// they are not called missing as well.
	meant map[meaning]bool
}

// section is a part of the file and the struct that was read from it.
type section struct {
	node   *yaml.Node
	config any
}

type meaning struct {
	section *yaml.Node
	field   string
}

// field is one named place in a struct, inline structs flattened.
type field struct {
	name  string
	value reflect.Value
}

func (d *decoder) fault(at *yaml.Node, problem, remedy string) {
	d.faults = append(d.faults, Fault{Line: at.Line, Column: at.Column, Problem: problem, Remedy: remedy})
}

// root decodes the whole file.
func (d *decoder) root(n *yaml.Node, out any) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, "the file is "+kindOf(n)+", not a list of sections", "begin with sections such as \"spool:\" and \"sources:\"")
		return
	}
	d.fill(n, reflect.ValueOf(out).Elem(), "")
}

// value decodes one value into v; name is what to call it.
func (d *decoder) value(n *yaml.Node, v reflect.Value, name string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.budget--; d.budget == 0 {
		d.fault(n, "the file is too large when its aliases are written out", "use fewer aliases")
	}
	if d.budget <= 0 {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	_, asText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case asText || v.Kind() != reflect.Struct && v.Kind() != reflect.Slice && v.Kind() != reflect.Map:
		d.scalar(n, v, name)
	case isNull(n): // a section whose lines are all commented out
	case v.Kind() == reflect.Struct:
		if d.expect(n, yaml.MappingNode, name) {
			d.fill(n, v, name)
		}
	case v.Kind() == reflect.Slice:
		if d.expect(n, yaml.SequenceNode, name) {
			d.list(n, v, name)
		}
	default:
		if d.expect(n, yaml.MappingNode, name) {
			d.pairs(n, v, name)
		}
	}
}

func (d *decoder) expect(n *yaml.Node, kind yaml.Kind, name string) bool {
	if n.Kind == kind {
		return true
	}
	remedy := "write its fields on lines of their own, indented below it"
	if kind == yaml.SequenceNode {
		remedy = "write [one, two], or one per line with a dash before it"
	}
	d.failed[n] = true
	d.fault(n, fmt.Sprintf("%s is %s, not %s", name, kindOf(n), kindWords[kind]), remedy)
	return false
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, name string) {
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, out.Index(i), fmt.Sprintf("%s[%d]", name, i))
	}
	v.Set(out)
}

func (d *decoder) pairs(n *yaml.Node, v reflect.Value, name string) {
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	d.eachPair(n, func(key, val *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(val, e, name+"."+key.Value)
		out.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), e)
	})
	v.Set(out)
}

// fill decodes a mapping into a struct, all faults reported.
func (d *decoder) fill(n *yaml.Node, v reflect.Value, name string) {
	variant, ok := v.Addr().Interface().(Variant)
	complete := !ok || d.choose(n, variant, name) // else only the fields that all types have are known
	fields := d.fieldsOf(n, v)
	d.eachPair(n, func(key, val *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i >= 0 {
			d.value(val, fields[i].value, key.Value)
		} else if complete {
			d.unknown(n, key, fields)
		}
	})
}

// eachPair goes through a mapping and reports keys that mean nothing.
func (d *decoder) eachPair(n *yaml.Node, do func(key, val *yaml.Node)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		before := first[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.fault(key, "a field name must be one word", "")
		case key.ShortTag() == "!!merge":
			d.fault(key, "merge keys (<<) are not understood here", "write the fields out, or use an alias for a whole value")
		case before != nil:
			d.fault(key, fmt.Sprintf("%q is given twice, first in line %d", key.Value, before.Line), "keep one of the two")
		default:
			first[key.Value] = key
			do(key, val)
		}
	}
}

// choose lets a variant's type decide which fields it has.
func (d *decoder) choose(n *yaml.Node, v Variant, name string) bool {
	kind, key := lookup(n, "type")
	oneOf := "types are: " + strings.Join(v.Kinds(), ", ")
	switch {
	case key == nil:
		d.fault(n, name+" has no type", "add a line \"type:\"; "+oneOf)
	case kind.Kind != yaml.ScalarNode || !v.Choose(kind.Value):
		remedy := oneOf
		if near := nearest(kind.Value, v.Kinds()); near != "" {
			remedy = fmt.Sprintf("did you mean %q? %s", near, oneOf)
		}
		d.fault(kind, fmt.Sprintf("unknown type %q", kind.Value), remedy)
	default:
		return true
	}
	return false
}

func (d *decoder) unknown(section, key *yaml.Node, fields []field) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	remedy := "fields here: " + strings.Join(names, ", ")
	if near := nearest(key.Value, names); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
		d.meant[meaning{section, near}] = true
	}
	d.fault(key, fmt.Sprintf("unknown field %q", key.Value), remedy)
}

// fieldsOf lists the fields that a struct takes from the file, and notes the
// struct for Validate.
func (d *decoder) fieldsOf(n *yaml.Node, v reflect.Value) []field {
	d.sections = append(d.sections, section{n, v.Addr().Interface()})
	var fields []field
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch f := v.Field(i); {
		case option == "inline":
			for f.Kind() == reflect.Interface || f.Kind() == reflect.Pointer {
				f = f.Elem()
			}
			if !f.IsValid() {
				continue // no type was chosen
			}
			fields = append(fields, d.fieldsOf(n, f)...)
		case name != "" && name != "-":
			fields = append(fields, field{name, f})
		}
	}
	return fields
}
