package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/spool"
)

const (
	// silence is how long a client may send or take nothing.
	silence = time.Minute
	// fullWait is what a client is asked to wait while the spool takes
	// nothing.
	fullWait = 30 * time.Second
)

// failure is the body of every answer that is not a success. The wire does
// not say what it looks like; both members hold the same sentence.
type failure struct {
	Error string `json:"error"`
	Text  string `json:"message"`
}

// Refuse answers with an error in the form of the Data API.
func (s *Service) Refuse(w http.ResponseWriter, code int, why string) { refuse(w, code, why) }

func refuse(w http.ResponseWriter, code int, why string) { answer(w, code, failure{why, why}) }

// answer writes one JSON object, in which an address can be copied as it
// stands.
func answer(w http.ResponseWriter, code int, body any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		code = http.StatusInternalServerError
		text.Reset()
		text.WriteString(`{"error":"the answer cannot be written","message":"the answer cannot be written"}` + "\n")
	}
	patient(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(text.Bytes()) // a client that went away is nobody's fault
}

// patient gives the client some time from now on to take what comes.
func patient(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(silence)) // a connection that cannot is gone already
}

// refuseFor answers what an error of the spool or of a client means.
func refuseFor(w http.ResponseWriter, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes; send it in parts, or by requests/upload-url", tooLarge.Limit))
	case errors.Is(err, spool.ErrTooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrReadOnly), errors.Is(err, spool.ErrClosed):
		w.Header().Set("Retry-After", strconv.Itoa(int(fullWait.Seconds())))
		refuse(w, http.StatusServiceUnavailable, "nothing can be kept at the moment: "+err.Error())
	default:
		refuse(w, http.StatusInternalServerError, err.Error())
	}
}

// isJSON tells whether a body that is sent as this type is taken for JSON.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
}

// acceptable answers 415 itself to a body that cannot be JSON as it is sent.
func acceptable(w http.ResponseWriter, r *http.Request) bool {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		refuse(w, http.StatusUnsupportedMediaType, "send the body as it is, without a Content-Encoding")
		return false
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		refuse(w, http.StatusUnsupportedMediaType, "send JSON, with \"Content-Type: application/json\"")
		return false
	}
	return true
}

// recovered ends a request that panicked, and it alone.
func (s *Service) recovered(w http.ResponseWriter, r *http.Request) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		s.deps.Log.Error("request panicked", "method", r.Method, "route", "/v1/data", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		refuse(w, http.StatusInternalServerError, "something went wrong here; the log of edgespool has more")
	}
}
