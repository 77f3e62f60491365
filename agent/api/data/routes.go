package data

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// What a request needs: a token of one of the API's roles, or an address that
// this service has signed.
const (
	needIngest  = "ingest"
	needConsume = "consume"
	needAdmin   = "admin"
	needNothing = ""
)

// A call is one request on its way, with what its path says.
type call struct {
	namespace, request string
}

// A route is one path of the API. In its pattern NS stands for a namespace
// and ID for a request.
type route struct {
	method, pattern, need string
	serve                 func(s *Service, w http.ResponseWriter, r *http.Request, c call)
}

var routes = []route{
	{http.MethodPost, "NS", needIngest, (*Service).add},
	{http.MethodPost, "NS/import", needIngest, (*Service).issueUpload},
	{http.MethodPost, "NS/requests/upload-url", needIngest, (*Service).issueUpload},
	{http.MethodPut, "NS/uploads/ID", needNothing, (*Service).upload},
	{http.MethodGet, "NS/requests/ID", needConsume, (*Service).status},
	{http.MethodGet, "NS/requests/ID/results/download-url", needConsume, (*Service).issueDownload},
	{http.MethodGet, "NS/results/ID", needNothing, (*Service).download},
	{http.MethodPut, "NS/settings", needAdmin, (*Service).putSettings},
	{http.MethodGet, "NS/settings", needConsume, (*Service).getSettings},
}

// Prefix is where the service is to be mounted.
const Prefix = "/v1/data/"

// find looks for the route of a request; without one it says which methods
// the path takes, none if there is no such path.
func find(r *http.Request) (found *route, c call, allowed []string) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, Prefix), "/")
	for i := range routes {
		here, ok := routes[i].match(path)
		if !ok {
			continue
		}
		m := routes[i].method
		if r.Method == m || r.Method == http.MethodHead && m == http.MethodGet {
			return &routes[i], here, nil
		}
		allowed = append(allowed, m)
	}
	return nil, call{}, allowed
}

func (t *route) match(path []string) (c call, ok bool) {
	pattern := strings.Split(t.pattern, "/")
	if len(pattern) != len(path) {
		return call{}, false
	}
	for i, want := range pattern {
		switch {
		case want == "NS":
			c.namespace = path[i]
		case want == "ID":
			c.request = path[i]
		case want != path[i]:
			return call{}, false
		}
	}
	return c, true
}

// Needs is the role that a request needs: ingest, consume or admin; empty if
// it needs none because its address is signed.
func (s *Service) Needs(r *http.Request) string {
	found, _, _ := find(r)
	if found == nil { // whoever asks needs to be known to hear more
		return needConsume
	}
	return found.need
}

// ServeHTTP answers one request whose role has been checked.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.recovered(w, r)
	found, c, allowed := find(r)
	switch {
	case found == nil && len(allowed) == 0:
		refuse(w, http.StatusNotFound, "there is nothing at this path")
	case found == nil:
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(slices.Compact(allowed), ", "))
		refuse(w, http.StatusMethodNotAllowed, "this path takes "+w.Header().Get("Allow"))
	case !validNamespace(c.namespace):
		refuse(w, http.StatusBadRequest, fmt.Sprintf("%.40q is not a namespace; use 1 to %d letters, digits, _ and -", c.namespace, maxNamespace))
	default:
		found.serve(s, w, r, c)
	}
}
