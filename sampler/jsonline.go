package sampler

import (
	"bytes"
	"encoding/json"
)

// parseJSON reads a line that is one JSON object, keyed by the names of the
// sensors, or one array of columns. Members of other names are passed over.
func (l *Layout) parseJSON(line []byte, r *Reading) error {
	if !json.Valid(line) {
		return &LineFault{Problem: "is no JSON"}
	}
	if line[0] != '{' && line[0] != '[' {
		return &LineFault{Problem: "is neither a JSON object nor an array"}
	}
	if l.sensors == nil {
		if err := l.learnJSON(line); err != nil {
			return err
		}
	}
	r.open(len(l.sensors))
	if line[0] == '[' {
		return l.parseArray(line, r)
	}
	members := jsonMembers{rest: line[1:], object: true}
	for column := 1; ; column++ {
		name, value, ok := members.next()
		if !ok {
			return l.complete(r)
		}
		var err error
		if s := l.sensor(name, column-1); s >= 0 {
			err = l.setValue(r, column, s, value)
		} else if l.label != "" && string(name) == l.label {
			err = r.setLabel(column, jsonText(value))
		}
		if err != nil {
			return err
		}
	}
}

func (l *Layout) parseArray(line []byte, r *Reading) error {
	members := jsonMembers{rest: line[1:]}
	column := 0
	for ; ; column++ {
		_, value, ok := members.next()
		if !ok {
			break
		}
		if column >= len(l.columns) {
			continue
		}
		var err error
		switch what := l.columns[column]; what {
		case columnSkipped:
		case columnLabel:
			err = r.setLabel(column+1, jsonText(value))
		default:
			err = l.setValue(r, column+1, what, value)
		}
		if err != nil {
			return err
		}
	}
	if column != len(l.columns) {
		return &LineFault{Problem: "wrong number of columns", Got: column, Want: len(l.columns)}
	}
	return nil
}

// learnJSON looks at a line while the sensors are not known: every member
// that is a number is one.
func (l *Layout) learnJSON(line []byte) error {
	members := jsonMembers{rest: line[1:], object: line[0] == '{'}
	s := shape{named: members.object}
	for {
		name, value, ok := members.next()
		if !ok {
			return l.learn(s)
		}
		if _, number := scanDecimal(value); number || !s.named {
			s.names = append(s.names, string(name))
		}
	}
}

// jsonMembers goes through the members of one JSON object or array, which is
// known to be valid.
type jsonMembers struct {
	rest   []byte
	object bool
}

// next gives the next member; its name is empty in an array, and the value is
// as it stands in the line.
func (m *jsonMembers) next() (name, value []byte, ok bool) {
	m.rest = bytes.TrimLeft(m.rest, " \t,")
	if m.rest[0] == '}' || m.rest[0] == ']' {
		return nil, nil, false
	}
	if m.object {
		name = jsonText(m.take())
		m.rest = bytes.TrimLeft(m.rest, " \t:")
	}
	return name, m.take(), true
}

// take cuts off one value: up to the comma or bracket behind it, past what
// stands in strings and in brackets of its own.
func (m *jsonMembers) take() []byte {
	depth, quoted := 0, false
	for i, c := range m.rest {
		switch {
		case quoted:
			quoted = c != '"' || escaped(m.rest[:i])
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			depth--
		case depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']' || isBlank(c)):
			value := m.rest[:i]
			m.rest = m.rest[i:]
			return value
		}
	}
	return nil // a valid line ends with its bracket
}

// escaped tells whether a quote behind text is one that is only quoted: after
// an odd number of backslashes.
func escaped(text []byte) bool {
	n := len(text) - len(bytes.TrimRight(text, `\`))
	return n%2 == 1
}

// jsonText is the text of a string, and of other values what stands there;
// nothing for null.
func jsonText(value []byte) []byte {
	if string(value) == "null" {
		return nil
	}
	if len(value) < 2 || value[0] != '"' {
		return value
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return nil
	}
	return []byte(s)
}
