package history

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// A record is a detection as the wire has it.
type record struct {
	DetectionID    uint64   `json:"detectionId"`
	MediaType      string   `json:"mediaType"`
	FileType       string   `json:"fileType"`
	FileName       string   `json:"fileName"`
	FileSize       int64    `json:"fileSize"`
	Model          string   `json:"model"`
	ModelVersion   string   `json:"modelVersion,omitempty"`
	Likelihood     float64  `json:"likelihood"` // 0 to 100
	FraudSeverity  string   `json:"fraudSeverity"`
	Reasoning      []string `json:"reasoning"`
	ModelResults   results  `json:"modelResults"`
	Classification string   `json:"classification"`
	Timestamp      int64    `json:"timestamp"` // seconds since 1970
	TimestampISO   string   `json:"timestampISO"`
	Tags           []tag    `json:"tags"`
	Files          []file   `json:"files"`
}

type results struct {
	TechnicalChecks []check `json:"technicalChecks"`
}

type check struct {
	Type       string   `json:"type"`
	Status     string   `json:"status"`
	Details    string   `json:"details"`
	Likelihood *float64 `json:"likelihood,omitempty"` // 0 to 1
}

type tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type file struct {
	Category     string `json:"category"`
	FileName     string `json:"fileName"`
	FileSize     int64  `json:"fileSize"`
	ContentType  string `json:"contentType"`
	Timestamp    int64  `json:"timestamp"`
	TimestampISO string `json:"timestampISO"`
	URL          string `json:"url"`
}

// isoLayout is the wire's form of a time, in UTC.
const isoLayout = "2006-01-02T15:04:05.000000"

// record puts a detection into the wire's form; base is where the client
// reaches this server.
func (h *History) record(d *spool.Detection, base string) record {
	media, kind := splitType(d.ContentType)
	at := d.At.UTC()
	r := record{
		DetectionID: d.ID, MediaType: media, FileType: kind, FileName: d.Name, FileSize: d.Size, Model: d.Model,
		ModelVersion: d.ModelVersion, Likelihood: likelihood(d.Score), FraudSeverity: severity(likelihood(d.Score)),
		Reasoning: d.Reasons, ModelResults: results{checks(d)}, Classification: d.Classification,
		Timestamp: at.Unix(), TimestampISO: at.Format(isoLayout), Tags: h.tags(d), Files: []file{},
	}
	if r.Reasoning == nil {
		r.Reasoning = []string{}
	}
	if d.Sequence > 0 && h.parts.Records.Holds(d.Sequence) {
		r.Files = append(r.Files, file{
			Category: "original_file", FileName: d.Name, FileSize: d.Size, ContentType: d.ContentType,
			Timestamp: r.Timestamp, TimestampISO: r.TimestampISO, URL: base + "/v1/files/" + url.PathEscape(fileName(d)),
		})
	}
	return r
}

// fileName is the name under which a detection's file can be fetched.
func fileName(d *spool.Detection) string { return fmt.Sprintf("fd_%d_%s", d.ID, d.Name) }

// checks are the findings, and the predicted labels as findings.
func checks(d *spool.Detection) []check {
	all := []check{}
	for _, c := range d.Checks {
		status := "FAIL"
		if c.Passed {
			status = "PASS"
		}
		one := check{Type: c.Type, Status: status, Details: c.Details}
		if c.Score > 0 {
			one.Likelihood = &c.Score
		}
		all = append(all, one)
	}
	for _, l := range d.Labels {
		all = append(all, check{Type: "LABEL", Status: "PASS", Details: strings.Join(l.Name, "."), Likelihood: &l.Probability})
	}
	return all
}

// tags are a detection's own ones, by name, and those that follow from where it
// was made.
func (h *History) tags(d *spool.Detection) []tag {
	all := []tag{}
	for _, name := range slices.Sorted(maps.Keys(d.Tags)) {
		all = append(all, tag{name, d.Tags[name]})
	}
	for _, t := range h.derived(d.Source) {
		if _, own := d.Tags[t.Name]; !own {
			all = append(all, t)
		}
	}
	return all
}

// derived are the tags that a detection has unless it has one of its own.
func (h *History) derived(source string) (all []tag) {
	for _, t := range []tag{{"device", h.parts.Device.Name}, {"deviceType", h.parts.Device.Type}, {"source", source}} {
		if t.Value != "" {
			all = append(all, t)
		}
	}
	return all
}

// documents are the types that the wire calls documents.
var documents = []string{"application/pdf"}

// splitType splits a MIME type as the wire does: image/jpeg is an image of
// type jpeg, and application/pdf a document of type pdf.
func splitType(contentType string) (media, kind string) {
	contentType, _, _ = strings.Cut(contentType, ";")
	contentType = strings.ToLower(strings.TrimSpace(contentType))
	media, kind, _ = strings.Cut(contentType, "/")
	if slices.Contains(documents, contentType) {
		media = "document"
	}
	return media, kind
}

// likelihood is a score as the wire has it, with four decimals.
func likelihood(score float64) float64 { return math.Round(score*1e6) / 1e4 }

// The severities; their cut points are ours, for the wire's are not published.
const (
	severityLow    = "low"
	severityMedium = "medium"
	severityHigh   = "high"
	mediumFrom     = 30
	highFrom       = 70
)

func severity(likelihood float64) string {
	switch {
	case likelihood < mediumFrom:
		return severityLow
	case likelihood < highFrom:
		return severityMedium
	}
	return severityHigh
}

// base is the address under which the client reached this server.
func base(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// second is the moment in which a second begins.
func second(s int64) time.Time { return time.Unix(s, 0) }
