package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/edgespool/edgespool/agent/api/openapi"
)

// maxBody bounds what a request to the API itself may send; the ingestion
// handler has bounds of its own.
const maxBody = 64 << 10

// answerTime is how long a request to the API itself may take to be sent, and
// its answer to be taken.
const answerTime = 30 * time.Second

// failure is the body of every answer that is not a success.
type failure struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, failure{Error: why})
}

// answer writes one JSON object.
func answer(w http.ResponseWriter, code int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"success":false,"error":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // a client that went away is nobody's fault
}

// readJSON reads a small strict JSON body into out and answers itself when
// that cannot be done.
func readJSON(w http.ResponseWriter, r *http.Request, out any) bool {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		refuse(w, http.StatusUnsupportedMediaType, "send JSON, with \"Content-Type: application/json\"")
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(out)
	if err == nil && d.More() {
		err = errors.New("more than one object")
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody))
	case err != nil:
		refuse(w, http.StatusBadRequest, "read body: "+err.Error())
	}
	return err == nil
}

// description answers with the OpenAPI description of one of the APIs.
func description(w http.ResponseWriter, r *http.Request) {
	if !openapi.Serve(w, r) {
		refuse(w, http.StatusNotFound, "there is no such description; GET "+openapi.Prefix+" lists those there are")
	}
}

// guarded serves the routes and sees to what they leave open: a panic ends
// its own request only, and unknown paths and methods below /api are answered
// in the API's own form.
func (s *Server) guarded(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.log.Error("request panicked", "method", r.Method, "route", r.Pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			refuse(w, http.StatusInternalServerError, "something went wrong here; the log of edgespool has more")
		}
	}()
	limit(w, time.Now().Add(answerTime))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if f, ok := s.family(r); ok {
		s.serveFamily(w, r, f)
		return
	}
	handler, pattern := s.routes.Handler(r)
	if pattern != "" || !strings.HasPrefix(r.URL.Path, "/api/") {
		s.routes.ServeHTTP(w, r)
		return
	}
	unknown := &caught{header: w.Header()}
	handler.ServeHTTP(unknown, r)
	switch unknown.code {
	case http.StatusNotFound:
		nothingHere(w, r)
	case http.StatusMethodNotAllowed:
		refuse(w, unknown.code, "this path takes "+w.Header().Get("Allow"))
	default:
		w.WriteHeader(unknown.code)
		_, _ = w.Write(unknown.body.Bytes())
	}
}

func nothingHere(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, "there is nothing at this path")
}

// limit bounds reading the request and writing the answer; the zero time is no
// bound.
func limit(w http.ResponseWriter, t time.Time) {
	c := http.NewResponseController(w)
	_ = errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t)) // a connection that cannot is gone already
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
