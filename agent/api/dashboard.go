package api

import (
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // the page is part of the program
	"encoding/base64"
	"io"
	"net/http"
	"regexp"
	"strings"
)

//go:generate gzip -9 -n -k -f dashboard.html

// packedPage is dashboard.html, the source (go generate).
//
//go:embed dashboard.html.gz
var packedPage string

var inline = regexp.MustCompile(`(?s)<(script|style)>(.*?)</(?:script|style)>`)

// dashboard serves the one page. It holds no figures: it asks the API for
// them, with the token of whoever looks if one is needed.
type dashboard struct {
	page   []byte
	policy string
}

// newDashboard makes the page's content policy: its own script and style by
// their hashes, the API, and nothing else from anywhere.
func newDashboard() *dashboard {
	var page []byte
	if r, err := gzip.NewReader(strings.NewReader(packedPage)); err == nil {
		page, _ = io.ReadAll(r) // a test has seen that it can be read
	}
	sources := map[string][]string{}
	for _, m := range inline.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[2])
		kind := string(m[1])
		sources[kind] = append(sources[kind], "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return &dashboard{page: page, policy: "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; script-src " + strings.Join(sources["script"], " ") + "; style-src " + strings.Join(sources["style"], " ")}
}

func (d *dashboard) serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", d.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(d.page)
}
