package history

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// ErrUnknownModel: no model or detector has this name.
var ErrUnknownModel = errors.New("no such model")

// ErrUnsupported: the model cannot read files of this type.
var ErrUnsupported = errors.New("the model cannot read this file")

// ErrNotReady: the model cannot judge at the moment.
var ErrNotReady = errors.New("the model cannot judge at the moment")

// A Judge scores files; the configured detectors are one.
type Judge interface {
	// Models are those there are.
	Models() []Model
	// Score reads a file to its end and says what it finds: everything of
	// the detection but the file's own fields. It fails with
	// ErrUnknownModel, with ErrUnsupported for what it cannot read, and with
	// ErrNotReady where another time may be better.
	Score(ctx context.Context, model string, f File) (spool.Detection, error)
}

// A Model is what can score files.
type Model struct {
	Name        string `json:"model"`
	Version     string `json:"modelVersion,omitempty"`
	Description string `json:"description,omitempty"`
	// FileTypes are MIME types that it reads; none means any.
	FileTypes []string `json:"fileTypes,omitempty"`
}

// A File is a file that came to be scored.
type File struct {
	Name        string
	ContentType string
	Country     string // a hint for documents, as the client gave it
	Bytes       io.Reader
}

const (
	// mostFile is the largest file that is scored.
	mostFile = 50 << 20
	// mostField bounds the other fields of the form, and mostForm the form.
	mostField  = 64 << 10
	mostFields = 32
	mostForm   = mostFile + mostFields*mostField + 1<<20
)

// modelList is the list of models.
type modelList struct {
	TotalCount int     `json:"totalCount"`
	Count      int     `json:"count"`
	Data       []Model `json:"data"`
}

func (h *History) models(w http.ResponseWriter, _ *http.Request) {
	all := h.all()
	answer(w, http.StatusOK, modelList{len(all), len(all), all})
}

func (h *History) all() []Model {
	if h.parts.Judge == nil {
		return []Model{}
	}
	return append([]Model{}, h.parts.Judge.Models()...)
}

// A refusal is an answer that is not a success.
type refusal struct {
	code int
	why  string
}

func (r *refusal) Error() string { return r.why }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// submit scores a file and keeps what was found.
func (h *History) submit(w http.ResponseWriter, r *http.Request) {
	limits := http.NewResponseController(w)
	_ = limits.SetWriteDeadline(time.Time{}) // a model may think for as long as it needs
	body := &steadyReader{body: http.MaxBytesReader(w, r.Body, mostForm), limits: limits}
	s := submission{history: h}
	d, err := s.take(r.Context(), r.Header.Get("Content-Type"), body)
	if err == nil {
		d, err = h.keep(r.Context(), d)
	}
	_ = limits.SetWriteDeadline(time.Now().Add(patience))
	var no *refusal
	switch {
	case errors.As(err, &no):
		Refuse(w, no.code, no.why)
	case err != nil:
		refuseError(w, err)
	default:
		answer(w, http.StatusOK, result{h.record(&d, base(r))})
	}
}

// keep gives the detection its id and reads it back, as every later reader will.
func (h *History) keep(ctx context.Context, d spool.Detection) (spool.Detection, error) {
	d.Sequence, d.At = 0, time.Time{}
	if h.parts.ClockKnown() {
		d.At = time.Now()
	}
	ids, err := h.parts.Store.Detect(ctx, d)
	if err != nil {
		return d, err
	}
	found, err := h.parts.Store.Detections(ctx, spool.DetectionQuery{First: ids[0], Last: ids[0], Limit: 1})
	if err == nil && len(found.Detections) == 0 {
		err = fmt.Errorf("detection %d is gone already", ids[0])
	}
	if err != nil {
		return d, err
	}
	return found.Detections[0], nil
}

// A submission is a form on its way in.
type submission struct {
	history *History
	model   string
	country string
	tags    map[string]string
	scored  bool
	found   spool.Detection
	held    *heldFile // a file that came before its model
}

// A heldFile is a file in the spool that no record claims: what it takes goes
// with its segment.
type heldFile struct {
	name, contentType string
	body              spool.Body
}

// take reads the form, field by field. The file goes to the model as it comes.
func (s *submission) take(ctx context.Context, contentType string, body io.Reader) (spool.Detection, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return s.found, refuse(http.StatusUnsupportedMediaType, "send multipart/form-data with the fields model and file")
	}
	form := multipart.NewReader(body, params["boundary"])
	for n := 0; ; n++ {
		part, err := form.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return s.found, formError(err)
		}
		if n >= mostFields {
			return s.found, refuse(http.StatusBadRequest, "the form has more than %d fields", mostFields)
		}
		if err := s.field(ctx, part); err != nil {
			return s.found, err
		}
	}
	if s.model == "" {
		return s.found, refuse(http.StatusBadRequest, "model: the form has no such field; it names who is to score the file")
	}
	if err := s.scoreHeld(ctx); err != nil {
		return s.found, err
	}
	if !s.scored {
		return s.found, refuse(http.StatusBadRequest, "file: the form has no such field")
	}
	s.found.Tags = merged(s.found.Tags, s.tags)
	return s.found, nil
}

// merged adds the client's tags to those of the model; the client's win.
func merged(found, given map[string]string) map[string]string {
	if len(given) == 0 {
		return found
	}
	all := map[string]string{}
	for _, some := range []map[string]string{found, given} {
		for name, value := range some {
			all[name] = value
		}
	}
	return all
}

// formError tells a form that is too long from one that is none.
func formError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "the file is larger than %d bytes", mostFile)
	}
	return refuse(http.StatusBadRequest, "read form: %v", err)
}

// field takes one field of the form.
func (s *submission) field(ctx context.Context, part *multipart.Part) error {
	if part.FormName() == "file" {
		return s.file(ctx, part)
	}
	text, err := io.ReadAll(io.LimitReader(part, mostField+1))
	if err != nil {
		return formError(err)
	}
	if len(text) > mostField {
		return refuse(http.StatusRequestEntityTooLarge, "%s: the field is longer than %d bytes", part.FormName(), mostField)
	}
	switch part.FormName() {
	case "model":
		s.model = string(text)
		return s.known()
	case "country":
		s.country = string(text)
	case "tags":
		if s.tags, err = parseTags(text); err != nil {
			return refuse(http.StatusBadRequest, "tags: %v", err)
		}
	}
	return nil // whatever else a client sends
}

// known refuses a model that there is not, before the file is read.
func (s *submission) known() error {
	for _, m := range s.history.all() {
		if m.Name == s.model {
			return nil
		}
	}
	return refuse(http.StatusNotFound, "model: there is no model %q; GET /v1/detection-models lists those there are", s.model)
}

// file scores the file, or holds it until its model is known.
func (s *submission) file(ctx context.Context, part *multipart.Part) error {
	if s.scored || s.held != nil {
		return refuse(http.StatusBadRequest, "file: the form has more than one")
	}
	name := path.Base("/" + strings.ReplaceAll(part.FileName(), `\`, "/"))
	if name == "/" {
		name = "file"
	}
	kind := part.Header.Get("Content-Type")
	if kind == "" || kind == "application/octet-stream" {
		kind = acquisition.ContentType(name)
	}
	if s.model == "" {
		return s.hold(ctx, name, kind, part)
	}
	return s.score(ctx, name, kind, part)
}

// hold keeps a file until its model is known.
func (s *submission) hold(ctx context.Context, name, contentType string, part io.Reader) error {
	if len(s.history.all()) == 0 {
		return refuse(http.StatusNotFound, "model: nothing here scores files")
	}
	body, err := s.history.parts.Records.Stage(ctx, part, mostFile)
	if errors.Is(err, spool.ErrTooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "the file is larger than %d bytes", mostFile)
	}
	if errors.Is(err, spool.ErrFull) || errors.Is(err, spool.ErrReadOnly) || errors.Is(err, spool.ErrClosed) {
		return err
	}
	if err != nil {
		return readError(err)
	}
	s.held = &heldFile{name, contentType, body}
	return nil
}

// scoreHeld scores the file that came before its model, if one did.
func (s *submission) scoreHeld(ctx context.Context) error {
	if s.held == nil {
		return nil
	}
	bytes, err := s.held.body.Open()
	if err != nil {
		return err
	}
	defer bytes.Close()
	return s.score(ctx, s.held.name, s.held.contentType, bytes)
}

// score has the model read the file, and what it leaves of it.
func (s *submission) score(ctx context.Context, name, contentType string, bytes io.Reader) error {
	counted := &countedReader{from: bytes, sum: sha256.New()}
	found, err := s.history.parts.Judge.Score(ctx, s.model, File{Name: name, ContentType: contentType, Country: s.country, Bytes: counted})
	if err == nil || counted.err != nil {
		_, rerr := io.Copy(io.Discard, counted)
		if rerr != nil {
			return readError(rerr)
		}
	}
	switch {
	case errors.Is(err, ErrUnknownModel):
		return refuse(http.StatusNotFound, "model: %v", err)
	case errors.Is(err, ErrUnsupported):
		return refuse(http.StatusUnsupportedMediaType, "file: %v", err)
	case errors.Is(err, ErrNotReady):
		return refuse(http.StatusServiceUnavailable, "model: %v", err)
	case err != nil:
		return err
	}
	found.Name, found.ContentType, found.Size = name, contentType, counted.size
	copy(found.SHA256[:], counted.sum.Sum(nil))
	if found.Model == "" {
		found.Model = s.model
	}
	s.found, s.scored = found, true
	return nil
}

func readError(err error) error {
	var no *refusal
	if errors.As(err, &no) {
		return no
	}
	return formError(err)
}

// parseTags reads a JSON object of names and values; numbers and booleans are
// taken as they are written.
func parseTags(text []byte) (map[string]string, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, errors.New(`it is not a JSON object, such as {"customerId": "9999"}`)
	}
	tags := make(map[string]string, len(values))
	for name, raw := range values {
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			if len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
				return nil, fmt.Errorf("the value of %q is neither a text nor a number", name)
			}
			value = string(raw)
		}
		tags[name] = value
	}
	return tags, nil
}

// countedReader reads the file, and fails beyond the largest one.
type countedReader struct {
	from io.Reader
	sum  hash.Hash
	size int64
	err  error
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.size += int64(n)
	c.sum.Write(p[:n])
	if c.size > mostFile {
		err = refuse(http.StatusRequestEntityTooLarge, "the file is larger than %d bytes", mostFile)
	}
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// steadyReader gives the client as long as it goes on sending.
type steadyReader struct {
	body   io.Reader
	limits *http.ResponseController
}

func (s *steadyReader) Read(p []byte) (int, error) {
	_ = s.limits.SetReadDeadline(time.Now().Add(patience)) // a connection that cannot is gone already
	return s.body.Read(p)
}
