package uploadertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// The operations of a DataService, in its requests and for its faults.
const (
	OpAdd         = "add"
	OpUploadURL   = "upload-url"
	OpImport      = "import" // the former name of upload-url
	OpUpload      = "upload"
	OpStatus      = "status"
	OpDownloadURL = "download-url"
	OpDownload    = "download"
)

// A DataService is a Data API like that of SafetyKit: it takes objects by
// namespace, gives results by request, and misbehaves as it is told. Set the
// fields before its first request.
type DataService struct {
	// Key is the API key that is required; empty takes any.
	Key string
	// Former has the former route for uploads only.
	Former bool
	// Judge gives the output of an object; nil gives an empty one.
	Judge func(object map[string]any) any
	// Disturb changes the results of a request on their way out: leaves some
	// out, sends some twice, or in another order.
	Disturb func(results []DataResult) []DataResult

	mu       sync.Mutex
	held     bool
	script   map[string][]Action
	calls    []string
	objects  map[string]json.RawMessage // by namespace and id
	requests map[string]*dataRequest
	base     string
}

// A DataResult is what became of one object.
type DataResult struct {
	ID     string `json:"id"`
	Output any    `json:"output"`
	URL    string `json:"url"`
}

type dataRequest struct {
	namespace string
	bulk      bool
	arrived   bool
	results   []DataResult
}

// NewDataService makes a service that takes everything.
func NewDataService() *DataService {
	return &DataService{script: map[string][]Action{}, objects: map[string]json.RawMessage{}, requests: map[string]*dataRequest{}}
}

// Script answers the next requests of an operation by these actions, one each.
// An Action with Commit does what the request asks for before it misbehaves.
func (s *DataService) Script(op string, actions ...Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[op] = append(s.script[op], actions...)
}

// Hold keeps all requests from ending until it is called with false.
func (s *DataService) Hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
}

// Calls lists the operations that were asked for, in order.
func (s *DataService) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Objects lists what is stored, each id once, by id without the namespace.
func (s *DataService) Objects(namespace string) map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]json.RawMessage{}
	for name, text := range s.objects {
		if id, ok := strings.CutPrefix(name, namespace+"/"); ok {
			found[id] = text
		}
	}
	return found
}

// Requests is how many were accepted.
func (s *DataService) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// ServeHTTP answers one request.
func (s *DataService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(bufio.NewReader(r.Body))
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away
	}
	op, ns, id := dataOp(r)
	s.mu.Lock()
	s.base = "http://" + r.Host
	s.calls = append(s.calls, op)
	var a Action
	if list := s.script[op]; len(list) > 0 {
		a, s.script[op] = list[0], list[1:]
	}
	plain := a.Status == 0 && a.Body == "" && !a.Cut
	code, answered := http.StatusNotFound, any(map[string]string{"error": "no such path"})
	if plain || a.Commit {
		code, answered = s.serve(op, ns, id, r, body)
	}
	s.mu.Unlock()
	for k, v := range a.Header {
		w.Header().Set(k, v)
	}
	switch {
	case a.Cut:
		panic(http.ErrAbortHandler)
	case !plain:
		answer(w, max(a.Status, 200), a.Body)
	default:
		w.Header().Set("Content-Type", "application/json")
		if text, ok := answered.(string); ok {
			answer(w, code, text)
			return
		}
		text, _ := json.Marshal(answered)
		answer(w, code, string(text))
	}
}

// dataOp reads method and path.
func dataOp(r *http.Request) (op, ns, id string) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) < 3 || path[0] != "v1" || path[1] != "data" {
		return "", "", ""
	}
	ns = path[2]
	rest := strings.Join(path[3:], "/")
	switch {
	case r.Method == http.MethodPost && rest == "":
		return OpAdd, ns, ""
	case r.Method == http.MethodPost && rest == "requests/upload-url":
		return OpUploadURL, ns, ""
	case r.Method == http.MethodPost && rest == "import":
		return OpImport, ns, ""
	case r.Method == http.MethodPut && strings.HasPrefix(rest, "storage/"):
		return OpUpload, ns, path[4]
	case r.Method == http.MethodGet && strings.HasPrefix(rest, "storage/"):
		return OpDownload, ns, path[4]
	case r.Method == http.MethodGet && strings.HasSuffix(rest, "/results/download-url"):
		return OpDownloadURL, ns, path[4]
	case r.Method == http.MethodGet && strings.HasPrefix(rest, "requests/") && len(path) == 5:
		return OpStatus, ns, path[4]
	}
	return "", ns, ""
}

// serve does what the request asks for; s.mu is held.
func (s *DataService) serve(op, ns, id string, r *http.Request, body []byte) (int, any) {
	storage := op == OpUpload || op == OpDownload
	switch key := r.Header.Get("Authorization"); {
	case storage && key != "":
		return http.StatusBadRequest, map[string]string{"error": "storage was sent a key"}
	case !storage && s.Key != "" && key != "Bearer "+s.Key:
		return http.StatusUnauthorized, map[string]string{"error": "invalid api key"}
	}
	switch op {
	case OpAdd:
		return s.add(ns, body)
	case OpUploadURL, OpImport:
		if s.Former != (op == OpImport) {
			return http.StatusNotFound, map[string]string{"error": "no such route"}
		}
		id := s.newRequest(&dataRequest{namespace: ns, bulk: true})
		return http.StatusOK, map[string]string{
			"requestId": id, "status": "pending_upload", "objectKey": "team/" + id, "upload_url": s.storage(ns, id), "expires_at": "2099-01-01T00:00:00Z",
		}
	case OpUpload:
		return s.upload(ns, id, body)
	case OpStatus, OpDownloadURL, OpDownload:
		return s.results(op, ns, id)
	}
	return http.StatusNotFound, map[string]string{"error": "no such path"}
}

func (s *DataService) storage(ns, id string) string {
	return s.base + "/v1/data/" + ns + "/storage/" + id
}

func (s *DataService) newRequest(q *dataRequest) string {
	id := fmt.Sprintf("request_%04X", len(s.requests)+1)
	s.requests[id] = q
	return id
}

func (s *DataService) add(ns string, body []byte) (int, any) {
	var wish struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &wish); err != nil || len(wish.Data) == 0 {
		return http.StatusBadRequest, map[string]string{"error": "no data"}
	}
	q := &dataRequest{namespace: ns, arrived: true}
	if !s.store(q, wish.Data) {
		return http.StatusBadRequest, map[string]string{"error": "an object has no id"}
	}
	return http.StatusOK, map[string]string{"requestId": s.newRequest(q), "status": "accepted"}
}

func (s *DataService) upload(ns, id string, body []byte) (int, any) {
	q := s.requests[id]
	if q == nil || q.namespace != ns {
		return http.StatusForbidden, map[string]string{"error": "no such upload"}
	}
	var lines []json.RawMessage
	for line := range strings.Lines(string(body)) {
		lines = append(lines, json.RawMessage(strings.TrimSuffix(line, "\n")))
	}
	q.arrived = true
	s.store(q, lines)
	return http.StatusOK, ""
}

// store keeps objects and makes their results; false if one has no id.
func (s *DataService) store(q *dataRequest, objects []json.RawMessage) bool {
	for _, text := range objects {
		var object map[string]any
		if json.Unmarshal(text, &object) != nil {
			return false
		}
		id, ok := object["id"].(string)
		if !ok {
			return false
		}
		s.objects[q.namespace+"/"+id] = text
		out := any(map[string]any{"actions": []string{}, "labels": []string{}, "fields": map[string]any{}})
		if s.Judge != nil {
			out = s.Judge(object)
		}
		q.results = append(q.results, DataResult{ID: id, Output: out, URL: "https://dashboard.example/" + id})
	}
	return true
}

func (s *DataService) results(op, ns, id string) (int, any) {
	q := s.requests[id]
	if q == nil || q.namespace != ns {
		return http.StatusNotFound, map[string]string{"error": "no such request"}
	}
	state := map[string]any{"namespace": ns, "request_id": id, "status": "ingesting"}
	if !q.bulk && op == OpStatus {
		state["data"] = []DataResult{}
	} else {
		maps.Copy(state, map[string]any{"data_url": nil, "data_count": nil, "data_expires_at": nil})
	}
	if s.held || !q.arrived {
		return http.StatusOK, state
	}
	state["status"] = "succeeded"
	results := q.results
	if s.Disturb != nil {
		results = s.Disturb(slices.Clone(results))
	}
	switch {
	case op == OpDownload:
		var text strings.Builder
		for _, res := range results {
			line, _ := json.Marshal(res)
			text.Write(append(line, '\n'))
		}
		return http.StatusOK, text.String()
	case !q.bulk && op == OpStatus:
		state["data"] = results
	default:
		state["data_url"], state["data_count"], state["data_expires_at"] = s.storage(ns, id), len(results), "2099-01-01T00:00:00Z"
	}
	return http.StatusOK, state
}
