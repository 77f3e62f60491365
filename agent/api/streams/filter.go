package streams

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxListed is how many values a list of a filter has at most.
const maxListed = 1024

// A filter picks comments. All that it has must hold.
type filter struct {
	UserProperties map[string]*propertyFilter `json:"user_properties"`
	Timestamp      *timeFilter                `json:"timestamp"`
	Sources        []string                   `json:"sources"`
	Reviewed       string                     `json:"reviewed"`
	Annotations    *struct {
		Labels *labelFilter `json:"labels"`
	} `json:"annotations"`

	names []string // of UserProperties, in order
}

// A propertyFilter holds for a user property that is there, and fits all that
// is given. Both ends of a range are in it.
type propertyFilter struct {
	OneOf          []property `json:"one_of"`
	NotOneOf       []property `json:"not_one_of"`
	DomainNotOneOf []string   `json:"domain_not_one_of"`
	Minimum        *float64   `json:"minimum"`
	Maximum        *float64   `json:"maximum"`
}

// A timeFilter holds for the comment's own time; both ends are in it.
type timeFilter struct {
	Minimum *string `json:"minimum"`
	Maximum *string `json:"maximum"`

	from, to *time.Time
}

// A labelFilter holds for what a person says that a comment shows.
type labelFilter struct {
	OneOf    []labelName `json:"one_of"`
	NotOneOf []labelName `json:"not_one_of"`
}

// parseFilter reads a comment_filter. What is not known is refused: it would
// let through what somebody wanted kept back.
func parseFilter(text json.RawMessage) (*filter, error) {
	f := &filter{}
	if err := decode("comment_filter", text, f, true); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(f.UserProperties)) {
		p := f.UserProperties[name]
		if p == nil {
			delete(f.UserProperties, name)
			continue
		}
		if err := p.check(name); err != nil {
			return nil, err
		}
		f.names = append(f.names, name)
	}
	if f.Reviewed != "" && f.Reviewed != "only_reviewed" && f.Reviewed != "only_unreviewed" {
		return nil, bad("comment_filter.reviewed: %.40q is neither only_reviewed nor only_unreviewed", f.Reviewed)
	}
	if f.Sources != nil && (len(f.Sources) == 0 || len(f.Sources) > 128) {
		return nil, bad("comment_filter.sources: it needs 1 to 128 ids of sources")
	}
	return f, f.Timestamp.parse()
}

func (p *propertyFilter) check(name string) error {
	isNumber, err := propertyKind(name)
	if err != nil {
		return bad("comment_filter.user_properties: %v", err)
	}
	fault := func(format string, args ...any) error {
		return bad("comment_filter.user_properties: %q: %s", name, fmt.Sprintf(format, args...))
	}
	for word, list := range map[string][]property{"one_of": p.OneOf, "not_one_of": p.NotOneOf} {
		if list != nil && (len(list) == 0 || len(list) > maxListed) {
			return fault("%s needs 1 to %d values", word, maxListed)
		}
		for _, v := range list {
			if v.isNumber != isNumber {
				return fault("%s has a value that is not of the property's kind", word)
			}
		}
	}
	switch {
	case !isNumber && (p.Minimum != nil || p.Maximum != nil):
		return fault("only a number has a minimum or maximum")
	case isNumber && p.DomainNotOneOf != nil:
		return fault("only a string has a domain")
	case p.Minimum != nil && p.Maximum != nil && *p.Minimum > *p.Maximum:
		return fault("its minimum %v is above its maximum %v", *p.Minimum, *p.Maximum)
	}
	return nil
}

func (t *timeFilter) parse() error {
	if t == nil {
		return nil
	}
	for _, end := range []struct {
		name string
		text *string
		at   **time.Time
	}{{"minimum", t.Minimum, &t.from}, {"maximum", t.Maximum, &t.to}} {
		if end.text == nil {
			continue
		}
		at, err := parseTime(*end.text)
		if err != nil {
			return bad("comment_filter.timestamp.%s: %v", end.name, err)
		}
		*end.at = &at
	}
	return nil
}

// matches tells whether a comment is to be shown.
func (f *filter) matches(c *comment) bool {
	if f == nil {
		return true
	}
	for _, name := range f.names {
		v, there := c.properties[name]
		if !there || !f.UserProperties[name].matches(v) {
			return false
		}
	}
	switch {
	case f.Sources != nil && !slices.Contains(f.Sources, c.sourceID):
		return false
	case f.Reviewed == "only_reviewed" && c.label == "", f.Reviewed == "only_unreviewed" && c.label != "":
		return false
	case f.Annotations != nil && !f.Annotations.Labels.matches(c.label):
		return false
	}
	return f.Timestamp.matches(c.at)
}

func (p *propertyFilter) matches(v property) bool {
	switch {
	case p.OneOf != nil && !v.in(p.OneOf), v.in(p.NotOneOf):
		return false
	case p.Minimum != nil && v.number < *p.Minimum, p.Maximum != nil && v.number > *p.Maximum:
		return false
	case p.DomainNotOneOf != nil && slices.Contains(p.DomainNotOneOf, v.text[strings.LastIndexByte(v.text, '@')+1:]):
		return false
	}
	return true
}

func (t *timeFilter) matches(at time.Time) bool {
	return t == nil || (t.from == nil || !at.Before(*t.from)) && (t.to == nil || !at.After(*t.to))
}

func (l *labelFilter) matches(label string) bool {
	if l == nil {
		return true
	}
	is := func(n labelName) bool { return n.String() == label }
	return (l.OneOf == nil || slices.ContainsFunc(l.OneOf, is)) && !slices.ContainsFunc(l.NotOneOf, is)
}
