// Package uploadertest holds what tests of destinations share: an ingestion
// service that answers by script, and the suite that every destination passes.
package uploadertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Service is an ingestion service like that of Edge Impulse: it takes
// POST /api/<category>/files and /data, remembers what arrived, refuses
// duplicates when asked to, and misbehaves as it is told. It is an
// http.Handler; Serve puts it on the loopback, Transport into a bubble of
// testing/synctest. Set the fields before its first request.
type Service struct {
	// Key is the API key that is required; empty takes any.
	Key string
	// Discard keeps only the hash and length of what arrives.
	Discard bool
	// Refuse gives the reason why a file is refused by itself; empty takes it.
	Refuse func(Sample) string
	// Poison gives the status by which a whole request is refused because of
	// one of its files; 0 takes it.
	Poison func(Sample) int

	mu       sync.Mutex
	script   []Action
	always   Action
	requests []Request
	samples  []Sample
	byHash   map[[32]byte]int
	offline  bool
}

// An Action is how one request is answered. The zero value answers as the
// service does.
type Action struct {
	// Latency is how long the answer takes.
	Latency time.Duration
	// Status and Body replace the answer; nothing is stored, unless Commit
	// says that the files were. A Body without a Status is sent with 200.
	Status int
	Body   string
	Header map[string]string
	Commit bool
	// Cut hangs up instead of answering, without having read the request if
	// Unread is set, and having stored the files if Commit is.
	Cut    bool
	Unread bool
}

// A Request is one that arrived.
type Request struct {
	Path   string
	Header http.Header
	// Length is the Content-Length it came with.
	Length int64
	// Files is the number of samples in it; 0 if it could not be read.
	Files int
	// LabelFiles are the .labels parts by name.
	LabelFiles map[string][]byte
	// Remote is the other end of its connection.
	Remote string
	At     time.Time
}

// A Sample is one file that arrived, stored only once where duplicates are
// refused.
type Sample struct {
	Category, Name, ContentType string
	// Label is the decoded x-label; Unlabelled tells that x-no-label came.
	Label      string
	Unlabelled bool
	Metadata   map[string]string
	SHA256     [32]byte
	Size       int64
	Bytes      []byte // nil with Discard
	// Attached are the files that attachments.labels names as this one's.
	Attached []Sample
	// Request is the place of its request in Requests.
	Request int
}

// NewService makes a service that takes everything.
func NewService() *Service { return &Service{byHash: make(map[[32]byte]int)} }

// Script answers the next requests by these actions, one each.
func (s *Service) Script(actions ...Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, actions...)
}

// Always answers every request behind the script by this action.
func (s *Service) Always(a Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = a
}

// SetOffline makes Transport fail as a machine without a route does.
func (s *Service) SetOffline(offline bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offline = offline
}

// Requests lists what arrived, in order.
func (s *Service) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Samples lists what is stored, in order.
func (s *Service) Samples() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Sample(nil), s.samples...)
}

// ServeHTTP answers one request.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, at := s.begin(r)
	if a.Cut && a.Unread {
		panic(http.ErrAbortHandler)
	}
	var files []Sample
	var labels map[string][]byte
	if !a.Unread {
		var err error
		if files, labels, err = s.read(r, at); err != nil {
			var bad *badRequest
			if !errors.As(err, &bad) {
				panic(http.ErrAbortHandler) // the client went away
			}
			if s.refused(r) {
				bad = &badRequest{http.StatusUnauthorized, "Invalid API key"}
			}
			answer(w, bad.status, failure(bad.text))
			return
		}
		s.note(at, len(files), labels)
	}
	if a.Latency > 0 {
		t := time.NewTimer(a.Latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	s.act(w, r, a, files)
}

// refused tells whether a request brings another key than the right one.
func (s *Service) refused(r *http.Request) bool {
	return s.Key != "" && r.Header.Get("X-Api-Key") != s.Key
}

func (s *Service) act(w http.ResponseWriter, r *http.Request, a Action, files []Sample) {
	for k, v := range a.Header {
		w.Header().Set(k, v)
	}
	plain := a.Status == 0 && a.Body == "" && !a.Cut
	if plain && s.refused(r) {
		answer(w, http.StatusUnauthorized, failure("Invalid API key"))
		return
	}
	if plain && s.Poison != nil {
		for _, f := range files {
			if status := s.Poison(f); status != 0 {
				answer(w, status, failure("poisoned by "+f.Name))
				return
			}
		}
	}
	var results []map[string]any
	if plain || a.Commit {
		for _, f := range files {
			results = append(results, s.store(f, r.Header.Get("X-Disallow-Duplicates") != ""))
		}
	}
	switch {
	case a.Cut:
		panic(http.ErrAbortHandler)
	case !plain:
		answer(w, max(a.Status, 200), a.Body)
	case strings.HasSuffix(r.URL.Path, "/data"):
		answerData(w, results[0])
	default:
		text, _ := json.Marshal(map[string]any{"success": true, "files": results})
		w.Header().Set("Content-Type", "application/json")
		answer(w, http.StatusOK, string(text))
	}
}

// answerData answers as the older endpoint does: the name alone, or an error.
func answerData(w http.ResponseWriter, result map[string]any) {
	if reason, bad := result["error"].(string); bad {
		answer(w, http.StatusBadRequest, reason)
		return
	}
	answer(w, http.StatusOK, result["fileName"].(string))
}

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func failure(reason string) string {
	text, _ := json.Marshal(map[string]any{"success": false, "error": reason})
	return string(text)
}

// begin notes the request and takes its action.
func (s *Service) begin(r *http.Request) (Action, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Path: r.URL.Path, Header: r.Header.Clone(), Length: r.ContentLength, Remote: r.RemoteAddr, At: time.Now(),
	})
	a := s.always
	if len(s.script) > 0 {
		a, s.script = s.script[0], s.script[1:]
	}
	return a, len(s.requests) - 1
}

func (s *Service) note(at, files int, labels map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[at].Files, s.requests[at].LabelFiles = files, labels
}

// store keeps a sample and returns its part of the answer.
func (s *Service) store(f Sample, once bool) map[string]any {
	if s.Refuse != nil {
		if reason := s.Refuse(f); reason != "" {
			return map[string]any{"success": false, "error": reason}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, there := s.byHash[f.SHA256]; there && once {
		return map[string]any{"success": false, "error": fmt.Sprintf("An item with this hash already exists (ids: %d)", id)}
	}
	s.samples = append(s.samples, f)
	id := len(s.samples)
	s.byHash[f.SHA256] = id
	return map[string]any{"success": true, "projectId": 1, "sampleId": id, "fileName": fmt.Sprintf("%s.%08x.cbor", f.Name, id)}
}

// A badRequest is a fault of the client's.
type badRequest struct {
	status int
	text   string
}

func (e *badRequest) Error() string { return e.text }

// read takes the samples and label files out of a request.
func (s *Service) read(r *http.Request, at int) ([]Sample, map[string][]byte, error) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.Method != http.MethodPost || len(path) < 3 || path[len(path)-3] != "api" {
		return nil, nil, &badRequest{http.StatusNotFound, "no such path"}
	}
	base := Sample{Category: path[len(path)-2], Unlabelled: r.Header.Get("X-No-Label") != "", Request: at}
	var err error
	if base.Label, err = url.PathUnescape(r.Header.Get("X-Label")); err != nil {
		return nil, nil, &badRequest{http.StatusBadRequest, "x-label is not percent-encoded"}
	}
	if text := r.Header.Get("X-Metadata"); text != "" && json.Unmarshal([]byte(text), &base.Metadata) != nil {
		return nil, nil, &badRequest{http.StatusBadRequest, "x-metadata is not JSON"}
	}
	if path[len(path)-1] == "data" {
		name, err := url.PathUnescape(r.Header.Get("X-File-Name"))
		if err != nil || name == "" {
			return nil, nil, &badRequest{http.StatusUnprocessableEntity, "x-file-name is missing"}
		}
		base.Name, base.ContentType = name, r.Header.Get("Content-Type")
		f, err := s.body(base, r.Body)
		return []Sample{f}, nil, err
	}
	return s.readForm(base, r)
}

func (s *Service) readForm(base Sample, r *http.Request) ([]Sample, map[string][]byte, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, nil, &badRequest{http.StatusBadRequest, "not a form"}
	}
	form := multipart.NewReader(r.Body, params["boundary"])
	var files []Sample
	labels := make(map[string][]byte)
	for {
		p, err := form.NextRawPart()
		if err == io.EOF {
			return attach(files, labels["attachments.labels"]), labels, nil
		}
		if err != nil {
			return nil, nil, err
		}
		f := base
		f.Name, f.ContentType = p.FileName(), p.Header.Get("Content-Type")
		if p.FormName() != "data" || f.Name == "" {
			return nil, nil, &badRequest{http.StatusBadRequest, "a part is no file in field data"}
		}
		if f, err = s.body(f, p); err != nil {
			return nil, nil, err
		}
		if strings.HasSuffix(f.Name, ".labels") {
			labels[f.Name] = f.Bytes
			continue
		}
		files = append(files, f)
	}
}

// attach takes the files that attachments.labels speaks of out of the others.
func attach(files []Sample, text []byte) []Sample {
	var said struct {
		Attachments map[string][]struct{ Filename string }
	}
	if json.Unmarshal(text, &said) != nil {
		return files
	}
	byName := make(map[string]Sample)
	for _, f := range files {
		byName[f.Name] = f
	}
	attached := make(map[string]bool)
	for i := range files {
		for _, a := range said.Attachments[files[i].Name] {
			if f, ok := byName[a.Filename]; ok {
				files[i].Attached = append(files[i].Attached, f)
				attached[a.Filename] = true
			}
		}
	}
	return slices.DeleteFunc(files, func(f Sample) bool { return attached[f.Name] })
}

func (s *Service) body(f Sample, r io.Reader) (Sample, error) {
	h := sha256.New()
	var b bytes.Buffer
	w := io.Writer(h)
	if !s.Discard || strings.HasSuffix(f.Name, ".labels") {
		w = io.MultiWriter(h, &b)
	}
	n, err := io.Copy(w, r)
	h.Sum(f.SHA256[:0])
	f.Size, f.Bytes = n, b.Bytes()
	return f, err
}
