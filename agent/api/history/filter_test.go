package history

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edgespool/edgespool/spool"
)

// The words that detections and queries of the property are made of.
var (
	someTypes  = []string{"image/jpeg", "image/png", "application/pdf", "application/cbor", "text/csv; charset=utf-8", "", "odd"}
	someWords  = []string{"", "a", "b", "idle", "näh=e"}
	someModels = []string{"statistics", "threshold"}
	someScores = []float64{0, 0.1234567, 0.29999949, 0.29999951, 0.3, 0.5, 0.699999999, 0.7, 0.93, 1}
)

// base of the times; half of them fall within the same second.
var someTime = time.Unix(1_700_000_000, 0)

func drawDetection(t *rapid.T) spool.Detection {
	pick := func(of []string, name string) string { return rapid.SampledFrom(of).Draw(t, name) }
	d := spool.Detection{
		Sequence: uint64(rapid.IntRange(0, 3).Draw(t, "sequence")), Name: pick(someWords, "name"), ContentType: pick(someTypes, "type"),
		Source: pick(someWords, "source"), Model: pick(someModels, "model"), Classification: pick(someWords, "classification"),
		Score: rapid.SampledFrom(someScores).Draw(t, "score"), Size: rapid.Int64Range(0, 5).Draw(t, "size"),
		At: someTime.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "time")) * 500 * time.Millisecond),
	}
	for _, name := range []string{"device", "source", "session", "a=b"} {
		if rapid.Bool().Draw(t, "tagged "+name) {
			if d.Tags == nil {
				d.Tags = map[string]string{}
			}
			d.Tags[name] = pick(someWords, "value of "+name)
		}
	}
	return d
}

// drawQuery draws the parameters of a list, but for those of the page.
func drawQuery(t *rapid.T) url.Values {
	v := url.Values{}
	maybe := func(name string, draw func() string) {
		if rapid.IntRange(0, 3).Draw(t, "with "+name) == 0 {
			v.Set(name, draw())
		}
	}
	of := func(all ...string) func() string {
		return func() string { return rapid.SampledFrom(all).Draw(t, "value") }
	}
	maybe("mediaType", of("image", "document", "application", "text", "audio"))
	maybe("fileType", of("jpeg", "pdf", "cbor", "csv"))
	maybe("fileName", of(someWords...))
	maybe("model", of("statistics", "other"))
	maybe("classification", of(someWords...))
	maybe("fraudSeverity", of("low", "medium", "high", "none"))
	maybe("minLikelihood", of("0", "30", "29.9999", "70", "12.3457", "100"))
	maybe("maxLikelihood", of("0", "30", "29.9999", "70", "93", "100"))
	maybe("minTimestamp", func() string { return strconv.Itoa(1_700_000_000 + rapid.IntRange(-1, 11).Draw(t, "from")) })
	maybe("maxTimestamp", func() string { return strconv.Itoa(1_700_000_000 + rapid.IntRange(-1, 11).Draw(t, "to")) })
	for range rapid.IntRange(0, 2).Draw(t, "tag filters") {
		v.Add("tagFilter", of("device", "source", "session", "deviceType")()+"="+of(append(someWords, "b8:27:eb:12:34:56", "RASPBERRY_PI")...)())
	}
	maybe("sortBy", of(sortNames()...))
	maybe("direction", of("asc", "desc"))
	return v
}

// naive tells, of a record as it is sent, whether it is what was asked for.
func naive(v url.Values, r *record) bool {
	text := func(name, got string) bool { return v.Get(name) == "" || v.Get(name) == got }
	number := func(name string, usual float64) float64 {
		if f, err := strconv.ParseFloat(v.Get(name), 64); err == nil {
			return f
		}
		return usual
	}
	for _, filter := range v["tagFilter"] {
		name, value, _ := strings.Cut(filter, "=")
		if !slices.Contains(r.Tags, tag{name, value}) {
			return false
		}
	}
	at := float64(r.Timestamp)
	return text("mediaType", r.MediaType) && text("fileType", r.FileType) && text("fileName", r.FileName) && text("model", r.Model) &&
		text("classification", r.Classification) && text("fraudSeverity", r.FraudSeverity) &&
		r.Likelihood >= number("minLikelihood", 0) && r.Likelihood <= number("maxLikelihood", 100) &&
		at >= number("minTimestamp", 0) && at <= number("maxTimestamp", math.Inf(1))
}

// naiveOrder compares two records as they are sent.
func naiveOrder(sortBy string, a, b *record) int {
	c := 0
	switch sortBy {
	case "createdOn", "timestamp":
		c = strings.Compare(a.TimestampISO, b.TimestampISO)
	case "likelihood":
		c = cmp.Compare(a.Likelihood, b.Likelihood)
	case "fileName":
		c = strings.Compare(a.FileName, b.FileName)
	case "fileSize":
		c = cmp.Compare(a.FileSize, b.FileSize)
	case "model":
		c = strings.Compare(a.Model, b.Model)
	case "fraudSeverity":
		c = cmp.Compare(strings.Index("low medium high", a.FraudSeverity), strings.Index("low medium high", b.FraudSeverity))
	}
	return cmp.Or(c, cmp.Compare(a.DetectionID, b.DetectionID))
}

// Every filter and every order finds what going through all records finds.
func TestFiltersEqualANaiveScan(t *testing.T) {
	s := newSite(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		var some []spool.Detection
		for range rapid.IntRange(0, 25).Draw(t, "more") {
			some = append(some, drawDetection(t))
		}
		s.detect(some...)
		all := s.records("?limit=100&direction=asc")
		for range 3 {
			v := drawQuery(t)
			var want []uint64
			kept := slices.DeleteFunc(slices.Clone(all), func(r record) bool { return !naive(v, &r) })
			slices.SortFunc(kept, func(a, b record) int { return naiveOrder(v.Get("sortBy"), &a, &b) })
			for _, r := range kept {
				want = append(want, r.DetectionID)
			}
			if v.Get("direction") != "asc" {
				slices.Reverse(want)
			}
			v.Set("limit", strconv.Itoa(rapid.IntRange(1, 100).Draw(t, "limit")))
			got := s.records("?" + v.Encode())
			ids := make([]uint64, 0, len(got))
			for _, r := range got {
				ids = append(ids, r.DetectionID)
			}
			if !slices.Equal(ids, want) {
				t.Fatalf("%s:\ngot  %v\nwant %v", v.Encode(), ids, want)
			}
		}
	})
}

// records takes all pages of a list.
func (s *site) records(query string) (all []record) {
	for {
		p := s.list(fmt.Sprintf("%s&offset=%d", query, len(all)))
		all = append(all, p.Data...)
		if len(all) >= int(p.TotalCount) || p.Count == 0 {
			return all
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "limit=10&offset=3", "tagFilter=a=b&tagFilter=c=d=e", "minLikelihood=1e1&maxLikelihood=99.5", "sortBy=createdOn&direction=ASC",
		"minTimestamp=0&maxTimestamp=2147483647", "limit=%31&&;", "mediaType=&model=null", "throughId=18446744073709551615",
	} {
		f.Add(seed)
	}
	h := New(Parts{Device: Device{"d", "t"}})
	row := &spool.DetectionRow{ID: 1, ContentType: "image/png", Model: "m", Score: 0.5}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		if err != nil {
			return
		}
		d := h.detections(&q)
		if d.Limit < 1 || d.Limit > mostLimit || d.Offset < 0 || d.MinScore > 1 || d.MaxScore < 0 || math.IsNaN(d.MinScore+d.MaxScore) {
			t.Fatalf("%q becomes %+v", raw, d)
		}
		if d.Keep != nil {
			d.Keep(row)
		}
	})
}

func FuzzTags(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":"b","n":3.5,"t":true,"z":null}`, `{"a":{"b":1}}`, `[]`, `{"a":`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tags, err := parseTags(text)
		if (err == nil) != (tags != nil) {
			t.Fatalf("%q gives %v, %v", text, tags, err)
		}
	})
}
