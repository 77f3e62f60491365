package streams

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A property is the value of a user property: a text or a number.
type property struct {
	text     string
	number   float64
	isNumber bool
}

func textProperty(text string) property { return property{text: text} }

func numberProperty(n float64) property { return property{number: n, isNumber: true} }

// MarshalJSON writes the value.
func (p property) MarshalJSON() ([]byte, error) {
	if p.isNumber {
		return json.Marshal(p.number)
	}
	return json.Marshal(p.text)
}

// UnmarshalJSON reads a text or a number.
func (p *property) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*p = property{}
		return json.Unmarshal(text, &p.text)
	}
	*p = property{isNumber: true}
	if json.Unmarshal(text, &p.number) != nil || isNull(text) {
		return bad("%.40s is neither a string nor a number", text)
	}
	return nil
}

const (
	textPrefix   = "string:"
	numberPrefix = "number:"
	// maxPropertyName is the longest name behind the prefix, in bytes.
	maxPropertyName = 64
)

// propertyKind tells what a property's values are by its full name.
func propertyKind(name string) (isNumber bool, err error) {
	short, isText := strings.CutPrefix(name, textPrefix)
	if !isText {
		if short, isNumber = strings.CutPrefix(name, numberPrefix); !isNumber {
			return false, bad("user property %.80q: its name begins neither with %q nor with %q", name, textPrefix, numberPrefix)
		}
	}
	if short == "" || len(short) > maxPropertyName || strings.Contains(short, ":") {
		return false, bad("user property %.80q: a name has 1 to %d bytes and no colon behind its kind", name, maxPropertyName)
	}
	return isNumber, nil
}

// checkProperty refuses a value that is not of the kind that its name says.
func checkProperty(name string, value property) error {
	isNumber, err := propertyKind(name)
	if err == nil && value.isNumber != isNumber {
		err = bad("user property %.80q: its value is not of the kind that the name says", name)
	}
	return err
}

// properties are a comment's user properties by their full names.
type properties map[string]property

// add adds a text; an empty one is left out.
func (p properties) add(name, text string) {
	if text != "" {
		p[textPrefix+propertyName(name)] = textProperty(text)
	}
}

// addNumber adds a number; one that is not finite is left out.
func (p properties) addNumber(name string, n float64) {
	if !math.IsNaN(n) && !math.IsInf(n, 0) {
		p[numberPrefix+propertyName(name)] = numberProperty(n)
	}
}

// addEither adds a text, and as a number too what reads like one: metadata does
// not say what it is, and a filter may ask for either.
func (p properties) addEither(name, text string) {
	p.add(name, text)
	if n, ok := asNumber(text); ok {
		p.addNumber(name, n)
	}
}

// asNumber reads a decimal number as JSON has them.
func asNumber(text string) (float64, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !json.Valid([]byte(text)) {
		return 0, false
	}
	return n, true
}

// propertyName makes a property's name of any text.
func propertyName(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "_"), ":", "_")
	if len(text) > maxPropertyName {
		text = strings.ToValidUTF8(text[:maxPropertyName], "")
	}
	return text
}

// holds tells whether a value is one of a list.
func (p property) in(list []property) bool { return slices.Contains(list, p) }
