package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// refuse reports a fault that a Validator found at a dotted path below node.
// A field that is not in the file is reported at its section.
func (d *decoder) refuse(node *yaml.Node, path, problem, remedy string) {
	if name := path[strings.LastIndexByte(path, '.')+1:]; !strings.Contains(problem, name) {
		problem = name + ": " + problem
	}
	for _, step := range steps(path) {
		if d.meant[meaning{node, step}] {
			return
		}
		next := child(node, step)
		if next == nil {
			break
		}
		node = next
		if d.failed[node] {
			return
		}
	}
	d.fault(node, problem, remedy)
}

// steps cuts "sensors[1].name" into "sensors", "1", "name".
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// child is the value of a field or the place in a list, nil if there is none.
func child(n *yaml.Node, step string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		val, _ := lookup(n, step)
		return val
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
			return follow(n.Content[i])
		}
	}
	return nil
}

// lookup finds a field of a mapping and its key.
func lookup(n *yaml.Node, name string) (val, key *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return follow(n.Content[i+1]), n.Content[i]
		}
	}
	return nil, nil
}

func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
