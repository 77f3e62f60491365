package sampler

import "bytes"

// A fieldReader takes a line of CSV apart. It separates at the first kind of
// separator that the line has: semicolon, comma, tab, blanks; blanks around
// the others mean nothing, and a separator at the end ends the line.
type fieldReader struct {
	rest  []byte
	comma byte // the separator; a blank stands for runs of blanks
	more  bool
}

func readFields(line []byte, kinds uint8) fieldReader {
	f := fieldReader{rest: line, comma: ' ', more: true}
	switch {
	case kinds&kindSemicolon != 0:
		f.comma = ';'
	case kinds&kindComma != 0:
		f.comma = ','
	case kinds&kindTab != 0:
		f.comma = '\t'
	}
	return f
}

// next gives the next field, which is empty between two commas.
func (f *fieldReader) next() (field []byte, ok bool) {
	if !f.more {
		return nil, false
	}
	end := bytes.IndexByte(f.rest, f.comma)
	if f.comma == ' ' && end > 0 && f.rest[end-1] == ':' {
		// "accX: 1.0": the blank behind a name belongs to the field.
		value := end + leadingBlanks(f.rest[end:])
		if end = bytes.IndexByte(f.rest[value:], ' '); end >= 0 {
			end += value
		}
	}
	if end < 0 {
		f.more = false
		return trimBlank(f.rest), true
	}
	field, f.rest = f.rest[:end], f.rest[end+1:]
	if isBlank(f.comma) {
		f.rest = f.rest[leadingBlanks(f.rest):]
	}
	f.more = len(trimBlank(f.rest)) > 0
	return trimBlank(field), true
}

func leadingBlanks(text []byte) (n int) {
	for n < len(text) && isBlank(text[n]) {
		n++
	}
	return n
}

// splitName takes "name:value" apart. A name begins with a letter or "_", so
// that a time of day is none.
func splitName(field []byte) (name, value []byte) {
	if len(field) == 0 || !isNameStart(field[0]) {
		return nil, field
	}
	i := bytes.IndexByte(field, ':')
	if i < 0 {
		return nil, field
	}
	return trimBlank(field[:i]), trimBlank(field[i+1:])
}

func isNameStart(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

func (l *Layout) parseCSV(line []byte, kinds uint8, r *Reading) error {
	if l.sensors == nil {
		if err := l.learnCSV(line, kinds); err != nil {
			return err
		}
	}
	r.open(len(l.sensors))
	var err error
	if kinds&kindColon != 0 && l.namesSensor(line, kinds) {
		err = l.parseNamed(line, kinds, r)
	} else {
		err = l.parseColumns(line, kinds, r)
	}
	if err != nil && l.isHeader(line, kinds) {
		return errHeader
	}
	return err
}

// parseColumns reads a line whose columns count by their place.
func (l *Layout) parseColumns(line []byte, kinds uint8, r *Reading) error {
	column := 0
	for f := readFields(line, kinds); ; column++ {
		field, ok := f.next()
		if !ok {
			break
		}
		if column >= len(l.columns) {
			continue // goes on counting
		}
		if kinds&kindColon != 0 {
			_, field = splitName(field)
		}
		var err error
		switch what := l.columns[column]; what {
		case columnSkipped:
		case columnLabel:
			err = r.setLabel(column+1, field)
		default:
			err = l.setValue(r, column+1, what, field)
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

// namesSensor tells whether any field is name:value for a sensor of ours.
func (l *Layout) namesSensor(line []byte, kinds uint8) bool {
	f := readFields(line, kinds)
	for i := 0; ; i++ {
		field, ok := f.next()
		if !ok {
			return false
		}
		if name, _ := splitName(field); name != nil && l.sensor(name, i) >= 0 {
			return true
		}
	}
}

// parseNamed reads a line of name:value, in any order. Names that are no
// sensors are passed over.
func (l *Layout) parseNamed(line []byte, kinds uint8, r *Reading) error {
	f := readFields(line, kinds)
	for column := 1; ; column++ {
		field, ok := f.next()
		if !ok {
			return l.complete(r)
		}
		name, value := splitName(field)
		if name == nil {
			return &LineFault{Column: column, Problem: "has no name, but others have"}
		}
		var err error
		if s := l.sensor(name, column-1); s >= 0 {
			err = l.setValue(r, column, s, value)
		} else if l.label != "" && string(name) == l.label {
			err = r.setLabel(column, value)
		}
		if err != nil {
			return err
		}
	}
}

// learnCSV looks at a line while the sensors are not known.
func (l *Layout) learnCSV(line []byte, kinds uint8) error {
	var s shape
	numbers, names, fields := 0, 0, 0
	for f := readFields(line, kinds); ; fields++ {
		field, ok := f.next()
		if !ok {
			break
		}
		name, value := splitName(field)
		if name != nil {
			names++
		}
		if _, ok := scanDecimal(value); ok {
			numbers++
		} else if name != nil && string(name) != l.label {
			continue // a named text is no sensor
		}
		s.names = append(s.names, string(name))
	}
	switch {
	case numbers == 0:
		if s.names = headerNames(line, kinds); s.names == nil || kinds&(kindComma|kindSemicolon|kindTab) == 0 {
			return &LineFault{Problem: "has no number"}
		}
		s.header = true
	case names > 0 && names < fields:
		return &LineFault{Problem: "has names for some columns only"}
	}
	s.named = names > 0
	return l.learn(s)
}

// isHeader tells whether a line names the columns, and follows it if so.
func (l *Layout) isHeader(line []byte, kinds uint8) bool {
	names := headerNames(line, kinds)
	return names != nil && l.followHeader(names)
}

// headerNames gives the fields of a line that could name columns: each begins
// like a name.
func headerNames(line []byte, kinds uint8) (names []string) {
	for f := readFields(line, kinds); ; {
		field, ok := f.next()
		if !ok {
			return names
		}
		if len(field) == 0 || !isNameStart(field[0]) || len(field) > maxLabel || len(names) > 2*MaxSensors {
			return nil
		}
		names = append(names, string(field))
	}
}
