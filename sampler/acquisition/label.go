package acquisition

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// A LabelType says which of a Label's fields is meant, in Edge Impulse's words.
type LabelType string

// The label types of info.labels.
const (
	LabelNone     LabelType = "unlabeled"
	LabelText     LabelType = "label"
	LabelSegments LabelType = "multi-label"
	LabelPairs    LabelType = "keyvalue-labels"
)

// A Label is what a sample shows: nothing, one text, labelled stretches of
// rows, or pairs. The zero value is not labelled.
type Label struct {
	Type     LabelType
	Text     string
	Segments []Segment
	Pairs    map[string]string
}

// A Segment labels the rows Start to End, both from 0, End inclusive. (The
// vendor's documentation calls them milliseconds; its validator takes rows.)
type Segment struct {
	Start int               `json:"startIndex"`
	End   int               `json:"endIndex"`
	Text  string            `json:"label"`
	Map   map[string]string `json:"labelMap,omitempty"`
}

// A Box marks an object in an image, in pixels from the top left corner.
type Box struct {
	Label  string  `json:"label"`
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Unlabelled tells whether the label says nothing.
func (l Label) Unlabelled() bool { return l.Type == LabelNone || l.Type == "" }

// MarshalJSON writes the label as info.labels has it.
func (l Label) MarshalJSON() ([]byte, error) {
	switch l.Type {
	case LabelNone, "":
		return []byte(`{"type":"unlabeled"}`), nil
	case LabelText:
		return marshalJSON(struct {
			Type LabelType `json:"type"`
			Text string    `json:"label"`
		}{l.Type, l.Text})
	case LabelSegments:
		return marshalJSON(struct {
			Type     LabelType `json:"type"`
			Segments []Segment `json:"labels"`
		}{l.Type, nonNil(l.Segments)})
	case LabelPairs:
		pairs := l.Pairs
		if pairs == nil {
			pairs = map[string]string{}
		}
		return marshalJSON(struct {
			Type  LabelType         `json:"type"`
			Pairs map[string]string `json:"labels"`
		}{l.Type, pairs})
	}
	return nil, fmt.Errorf("write label: type %q is none of unlabeled, label, multi-label, keyvalue-labels", l.Type)
}

// UnmarshalJSON reads a label of info.labels; a bare string is taken as the
// text and null as no label, since people write manifests by hand.
func (l *Label) UnmarshalJSON(raw []byte) error {
	*l = Label{Type: LabelNone}
	if string(raw) == "null" {
		return nil
	}
	if raw[0] == '"' {
		l.Type = LabelText
		return json.Unmarshal(raw, &l.Text)
	}
	var wire struct {
		Type   LabelType       `json:"type"`
		Text   *string         `json:"label"`
		Labels json.RawMessage `json:"labels"`
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		return err
	}
	l.Type = wire.Type
	switch {
	case l.Type == LabelNone:
		return nil
	case l.Type == LabelText && wire.Text != nil:
		l.Text = *wire.Text
		return nil
	case l.Type == LabelSegments && wire.Labels != nil:
		if err := json.Unmarshal(wire.Labels, &l.Segments); err != nil {
			return err
		}
		return checkSegments(l.Segments)
	case l.Type == LabelPairs && wire.Labels != nil:
		return json.Unmarshal(wire.Labels, &l.Pairs)
	case l.Type == LabelText:
		return errors.New(`label of type "label" has no text`)
	case l.Type == LabelSegments, l.Type == LabelPairs:
		return fmt.Errorf("label of type %q has no labels", l.Type)
	}
	return fmt.Errorf("label type %q is none of unlabeled, label, multi-label, keyvalue-labels", wire.Type)
}

// checkSegments checks what can be checked without the sample.
func checkSegments(segments []Segment) error {
	for i, s := range segments {
		if s.Start < 0 || s.End < s.Start {
			return fmt.Errorf("labelled stretch %d runs from row %d to row %d", i+1, s.Start, s.End)
		}
	}
	return nil
}

// CheckSegments tells whether segments label a sample of so many rows as Edge
// Impulse wants it: every row labelled, nothing beyond the last row, and the
// same keys in every map. Stretches may overlap; the later one wins. The cost
// goes with the stretches and not with the rows.
func CheckSegments(segments []Segment, rows int) error {
	if err := checkSegments(segments); err != nil {
		return err
	}
	for i, s := range segments {
		if !sameKeys(s.Map, segments[0].Map) {
			return fmt.Errorf("labelled stretch %d has other labelMap keys than the first", i+1)
		}
	}
	byStart := slices.Clone(segments)
	sort.Slice(byStart, func(i, j int) bool { return byStart[i].Start < byStart[j].Start })
	next := 0 // the first row that is not known to be labelled
	for _, s := range byStart {
		switch {
		case s.End >= rows:
			return fmt.Errorf("rows %d to %d are labelled, the sample has rows 0 to %d", s.Start, s.End, rows-1)
		case s.Start > next:
			return fmt.Errorf("row %d has no label", next)
		}
		next = max(next, s.End+1)
	}
	if next < rows {
		return fmt.Errorf("row %d has no label", next)
	}
	return nil
}

func sameKeys(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			return false
		}
	}
	return true
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
