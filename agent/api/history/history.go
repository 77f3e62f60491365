// Package history serves the detections of the spool by the wire of DeepXL's
// fraud detection history: a filtered list, single records, the files they are
// about, and the scoring of a file at once. Scores are 0 to 1 in the house and 0
// to 100 on this wire; the wire's severities are cut from them here. Access and
// panics are the server's business.
//
//	GET  /v1/detection            a page of the history
//	POST /v1/detection            score a file now
//	GET  /v1/detection/{id}       one record
//	GET  /v1/detection-models     what can score
//	GET  /v1/files/{name}         the bytes that a record is about
package history

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// A Store keeps detections; the spool is one.
type Store interface {
	// Detections answers a query about what there is at the moment.
	Detections(ctx context.Context, q spool.DetectionQuery) (spool.DetectionPage, error)
	// Detect keeps detections, durably if they are about no record.
	Detect(ctx context.Context, d ...spool.Detection) (ids []uint64, err error)
}

// Records are the samples that detections are about; the spool has them for a
// while.
type Records interface {
	// Stage takes a body of any size without holding it in memory.
	Stage(ctx context.Context, r io.Reader, limit int64) (spool.Body, error)
	// Record finds one; spool.ErrUnknownRecord if there is none any more.
	Record(ctx context.Context, sequence uint64) (spool.Record, error)
	// Holds tells, without reading, whether it may be there.
	Holds(sequence uint64) bool
}

// A Device is whose detections these are.
type Device struct{ Name, Type string }

// Parts are what a history is made of.
type Parts struct {
	Store   Store
	Records Records
	// Judge scores files; nil where nothing does.
	Judge  Judge
	Device Device
	// ClockKnown tells whether something vouches for the wall clock.
	ClockKnown func() bool
}

// A History is the handler of these routes.
type History struct {
	parts  Parts
	routes *http.ServeMux
}

// New makes a history; nothing is started.
func New(p Parts) *History {
	h := &History{parts: p, routes: http.NewServeMux()}
	h.routes.HandleFunc("GET /v1/detection", h.list)
	h.routes.HandleFunc("POST /v1/detection", h.submit)
	h.routes.HandleFunc("GET /v1/detection/{id}", h.one)
	h.routes.HandleFunc("GET /v1/detection-models", h.models)
	h.routes.HandleFunc("GET /v1/files/{name}", h.file)
	return h
}

// Prefixes are what the paths begin with that are the history's.
func Prefixes() []string { return []string{"/v1/detection", "/v1/files"} }

// ServeHTTP answers a request that was let through. Paths and methods that are
// not there are refused in this wire's form.
func (h *History) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, pattern := h.routes.Handler(r)
	if pattern != "" {
		h.routes.ServeHTTP(w, r)
		return
	}
	unknown := &caught{header: w.Header()}
	handler.ServeHTTP(unknown, r)
	switch unknown.code {
	case http.StatusNotFound:
		Refuse(w, unknown.code, "there is nothing at this path")
	case http.StatusMethodNotAllowed:
		Refuse(w, unknown.code, "this path takes "+w.Header().Get("Allow"))
	default:
		w.WriteHeader(unknown.code)
		_, _ = w.Write(unknown.body.Bytes())
	}
}

// failure is the body of every answer that is not a success.
type failure struct {
	StatusCode int    `json:"statusCode"`
	Error      string `json:"error"`
	Why        string `json:"message"`
}

// Refuse answers in this wire's form.
func Refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, failure{code, http.StatusText(code), why})
}

// answer writes one JSON object.
func answer(w http.ResponseWriter, code int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"statusCode":500,"error":"Internal Server Error","message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // a client that went away is nobody's fault
}

// caught holds back what the router says of a path that no route has.
type caught struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (c *caught) Header() http.Header         { return c.header }
func (c *caught) WriteHeader(code int)        { c.code = code }
func (c *caught) Write(b []byte) (int, error) { return c.body.Write(b) }

// patience is how long a client may be silent while a file goes over.
const patience = time.Minute
