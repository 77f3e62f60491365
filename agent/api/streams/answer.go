package streams

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

// maxBody bounds the body of a request, but for one with comments.
const maxBody = 1 << 20

// notFound is what the vendor says of all that is not there.
const notFound = "404 Not Found"

// A fault is an answer other than ok.
type fault struct {
	code int
	why  string
}

func (f *fault) Error() string { return f.why }

func bad(format string, args ...any) error {
	return &fault{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func missing() error { return &fault{http.StatusNotFound, notFound} }

// Refuse answers with an error in the form of this API.
func (a *API) Refuse(w http.ResponseWriter, code int, why string) {
	send(w, code, map[string]any{"status": "error", "message": why})
}

// fail answers with an error, by what it is.
func (a *API) fail(w http.ResponseWriter, err error) {
	var f *fault
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		a.Refuse(w, f.code, f.why)
	case errors.As(err, &tooLarge):
		a.Refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes; send less at a time", tooLarge.Limit))
	case errors.Is(err, spool.ErrUnknownStream):
		a.Refuse(w, http.StatusNotFound, notFound)
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrReadOnly), errors.Is(err, spool.ErrClosed):
		w.Header().Set("Retry-After", "10")
		a.Refuse(w, http.StatusServiceUnavailable, err.Error()+"; nothing was taken, try again later")
	case errors.Is(err, spool.ErrTooLarge):
		a.Refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	default:
		a.Refuse(w, http.StatusInternalServerError, err.Error())
	}
}

// ok answers that it was done, with what else there is to say.
func ok(w http.ResponseWriter, also map[string]any) error {
	body := map[string]any{"status": "ok"}
	for name, value := range also {
		body[name] = value
	}
	send(w, http.StatusOK, body)
	return nil
}

func send(w http.ResponseWriter, code int, body map[string]any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		code = http.StatusInternalServerError
		text.Reset()
		text.WriteString(`{"status":"error","message":"the answer cannot be written"}` + "\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(text.Bytes()) // a client that went away is nobody's fault
}

// checkJSON refuses a body that does not say it is JSON.
func checkJSON(r *http.Request) error {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind = strings.TrimSpace(kind); kind != "" && !strings.EqualFold(kind, "application/json") {
		return &fault{http.StatusUnsupportedMediaType, "send JSON, with \"Content-Type: application/json\""}
	}
	return nil
}

// readJSON reads a request's whole body into out.
func readJSON(w http.ResponseWriter, r *http.Request, out any) error {
	if err := checkJSON(r); err != nil {
		return err
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return readFault(err)
	}
	return decode("body", text, out, false)
}

// readFault is what a body that could not be read is answered with.
func readFault(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return bad("read body: %v", err)
}

// decode reads one JSON value; a strict one has no members that are unknown.
func decode(what string, text []byte, out any, strict bool) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(out); err != nil {
		return bad("%s: %s", what, jsonFault(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("%s: there is more than one JSON value", what)
	}
	return nil
}

// jsonFault says what is wrong with JSON in words that name the place.
func jsonFault(err error) string {
	var kind *json.UnmarshalTypeError
	var f *fault
	switch {
	case errors.As(err, &f):
		return f.why
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("%s is a JSON %s and should be %s", kind.Field, kind.Value, jsonKind(kind.Type.Kind().String()))
	case errors.Is(err, io.EOF):
		return "it is empty; send a JSON object"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// jsonKind is JSON's word for a kind of Go.
func jsonKind(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "slice":
		return "a list"
	case kind == "string":
		return "a string"
	}
	return "an object"
}
