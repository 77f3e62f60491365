package history

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// The bounds and defaults of a list.
const (
	defaultLimit = 25
	mostLimit    = 100
	mostTime     = math.MaxInt32 // of minTimestamp and maxTimestamp
	mostTags     = 32
)

// A query is what a request for a list asks for; what is nil is not asked for.
type query struct {
	limit, offset    int
	sortBy           string
	down             bool
	tags             []tag
	mediaType        *string
	fileType         *string
	fileName         *string
	model            *string
	severity         *string
	classification   *string
	least, most      *float64 // likelihoods
	earliest, latest *int64   // seconds since 1970
	through          uint64   // the highest id; 0: none
}

// orders are the names to sort by with their orders; nil is that of the ids.
var orders = map[string]func(a, b *spool.DetectionRow) int{
	"fraudDetectionId": nil, "detectionId": nil,
	"createdOn": byTime, "timestamp": byTime,
	"likelihood": func(a, b *spool.DetectionRow) int { return cmp.Compare(likelihood(a.Score), likelihood(b.Score)) },
	"fileName":   func(a, b *spool.DetectionRow) int { return strings.Compare(a.Name, b.Name) },
	"fileSize":   func(a, b *spool.DetectionRow) int { return cmp.Compare(a.Size, b.Size) },
	"model":      func(a, b *spool.DetectionRow) int { return strings.Compare(a.Model, b.Model) },
	"fraudSeverity": func(a, b *spool.DetectionRow) int {
		return cmp.Compare(rank(severity(likelihood(a.Score))), rank(severity(likelihood(b.Score))))
	},
}

func byTime(a, b *spool.DetectionRow) int { return a.At().Compare(b.At()) }

func rank(severity string) int {
	return slices.Index([]string{severityLow, severityMedium, severityHigh}, severity)
}

// parameters are the names that a list takes.
var parameters = []string{
	"limit", "offset", "sortBy", "direction", "tagFilter", "mediaType", "fileType", "fileName", "model", "minLikelihood",
	"maxLikelihood", "fraudSeverity", "classification", "minTimestamp", "maxTimestamp", "throughId",
}

// A parser reads parameters until one is wrong; then it has an error.
type parser struct {
	values url.Values
	err    error
}

// parseQuery reads the parameters of a list. An empty one is as good as none;
// one that is not known is refused, for a filter that was misspelt would find
// too much.
func parseQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, fmt.Errorf("the query cannot be read: %v", err)
	}
	p := &parser{values: values}
	for name := range values {
		if !slices.Contains(parameters, name) {
			p.fail("there is no parameter %q; there are %s", name, strings.Join(parameters, ", "))
		}
	}
	q := query{
		limit: p.whole("limit", defaultLimit, 1, mostLimit), offset: p.whole("offset", 0, 0, math.MaxInt32),
		mediaType: p.text("mediaType"), fileType: p.text("fileType"), fileName: p.text("fileName"), model: p.text("model"),
		classification: p.text("classification"), severity: p.text("fraudSeverity"),
		least: p.likelihood("minLikelihood"), most: p.likelihood("maxLikelihood"),
		earliest: p.seconds("minTimestamp"), latest: p.seconds("maxTimestamp"),
		sortBy: "fraudDetectionId", down: true, tags: p.tagFilters(),
	}
	if name := p.text("sortBy"); name != nil {
		if _, known := orders[*name]; !known {
			p.fail("sortBy: %q is not one of %s", *name, strings.Join(sortNames(), ", "))
		}
		q.sortBy = *name
	}
	if direction := p.text("direction"); direction != nil {
		q.down = !strings.EqualFold(*direction, "asc")
		if q.down && !strings.EqualFold(*direction, "desc") {
			p.fail("direction: %q is neither asc nor desc", *direction)
		}
	}
	if through := p.text("throughId"); through != nil {
		id, err := strconv.ParseUint(*through, 10, 63)
		if err != nil || id == 0 {
			p.fail("throughId: %q is not the id of a detection", *through)
		}
		q.through = id
	}
	return q, p.err
}

func sortNames() (names []string) {
	for name := range orders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// text is a parameter's value; nil if it is absent or empty.
func (p *parser) text(name string) *string {
	all := p.values[name]
	if len(all) > 1 {
		p.fail("%s: give it once", name)
	}
	if len(all) == 0 || all[0] == "" {
		return nil
	}
	return &all[0]
}

func (p *parser) whole(name string, usual, least, most int) int {
	text := p.text(name)
	if text == nil {
		return usual
	}
	n, err := strconv.Atoi(*text)
	if err != nil || n < least || n > most {
		p.fail("%s: %q is not a whole number from %d to %d", name, *text, least, most)
	}
	return n
}

func (p *parser) likelihood(name string) *float64 {
	text := p.text(name)
	if text == nil {
		return nil
	}
	v, err := strconv.ParseFloat(*text, 64)
	if err != nil || !(v >= 0 && v <= 100) {
		p.fail("%s: %q is not a number from 0 to 100", name, *text)
	}
	return &v
}

func (p *parser) seconds(name string) *int64 {
	text := p.text(name)
	if text == nil {
		return nil
	}
	v, err := strconv.ParseInt(*text, 10, 64)
	if err != nil || v < 0 || v > mostTime {
		p.fail("%s: %q is not a time in whole seconds since 1970, from 0 to %d", name, *text, mostTime)
	}
	return &v
}

// tagFilters are the pairs name=value, split at the first "=".
func (p *parser) tagFilters() (all []tag) {
	for _, text := range p.values["tagFilter"] {
		if text == "" {
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			p.fail("tagFilter: %q is not name=value", text)
		}
		all = append(all, tag{name, value})
	}
	if len(all) > mostTags {
		p.fail("tagFilter: %d of them are more than %d", len(all), mostTags)
	}
	return all
}

// detections is the query as the store takes it.
func (h *History) detections(q *query) spool.DetectionQuery {
	d := spool.DetectionQuery{
		Last: q.through, Compare: orders[q.sortBy], Descending: q.down, Offset: q.offset, Limit: q.limit, Texts: h.texts(q),
	}
	const rounding = 1e-6 // of likelihood; Keep compares what was rounded
	if q.least != nil {
		d.MinScore = *q.least/100 - rounding
	}
	if q.most != nil {
		d.MaxScore = *q.most/100 + rounding
	}
	if q.earliest != nil {
		d.From = second(*q.earliest)
	}
	if q.latest != nil {
		d.To = second(*q.latest).Add(time.Second - time.Nanosecond)
	}
	if q.filters() {
		d.Keep = func(r *spool.DetectionRow) bool { return h.matches(q, r) }
	}
	return d
}

// filters tells whether anything but ids and times is asked for.
func (q *query) filters() bool {
	return q.mediaType != nil || q.fileType != nil || q.fileName != nil || q.model != nil || q.severity != nil ||
		q.classification != nil || q.least != nil || q.most != nil || len(q.tags) > 0
}

// texts have to be among those of what matches.
func (h *History) texts(q *query) (all []string) {
	for _, text := range []*string{q.fileName, q.model, q.classification} {
		if text != nil {
			all = append(all, *text)
		}
	}
	for _, t := range q.tags {
		if t.Name != "device" && t.Name != "deviceType" { // which follow from no text of the detection
			all = append(all, t.Value)
		}
	}
	return all
}

// matches tells whether a detection is what the query asks for.
func (h *History) matches(q *query, r *spool.DetectionRow) bool {
	same := func(want *string, got string) bool { return want == nil || *want == got }
	if !same(q.fileName, r.Name) || !same(q.model, r.Model) || !same(q.classification, r.Classification) {
		return false
	}
	if q.mediaType != nil || q.fileType != nil {
		media, kind := splitType(r.ContentType)
		if !same(q.mediaType, media) || !same(q.fileType, kind) {
			return false
		}
	}
	of := likelihood(r.Score)
	if q.least != nil && of < *q.least || q.most != nil && of > *q.most || !same(q.severity, severity(of)) {
		return false
	}
	for _, t := range q.tags {
		if !h.tagged(r, t) {
			return false
		}
	}
	return true
}

// tagged tells whether a detection has a tag, its own or one that follows from
// where it was made.
func (h *History) tagged(r *spool.DetectionRow, want tag) bool {
	if value, own := r.Tag(want.Name); own {
		return value == want.Value
	}
	return want.Value != "" && slices.Contains(h.derived(r.Source), want)
}
