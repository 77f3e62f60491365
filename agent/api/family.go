package api

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// A Family is an API of its own on this server: all routes below one path,
// with its own form of answers.
type Family interface {
	http.Handler
	// Needs names the role that a request asks for: ingest, consume, or admin
	// for all else; none if the family sees to that itself.
	Needs(r *http.Request) string
	// Refuse answers a request that was not let in, or that panicked.
	Refuse(w http.ResponseWriter, code int, why string)
}

// A Keyed family takes a token in headers of its own, too.
type Keyed interface{ Keys() []string }

// mounted is a family and the path that its routes begin with.
type mounted struct {
	prefix string
	family Family
}

// Mount serves a family's routes, which begin with prefix, such as /api/v1/.
// Unlike the server's own they are not matched piece by piece here: clients of
// these APIs escape a slash inside of a name, which a router takes for a part of
// it.
func (s *Server) Mount(prefix string, f Family) {
	s.mounted = append(s.mounted, mounted{prefix, f})
}

// family is the one that a request is for.
func (s *Server) family(r *http.Request) (Family, bool) {
	for _, m := range s.mounted {
		if strings.HasPrefix(r.URL.Path, m.prefix) {
			return m.family, true
		}
	}
	return nil, false
}

// serveFamily lets a request in and sees to a panic in it.
func (s *Server) serveFamily(w http.ResponseWriter, r *http.Request, f Family) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.log.Error("request panicked", "method", r.Method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			f.Refuse(w, http.StatusInternalServerError, "something went wrong here; the log of edgespool has more")
		}
	}()
	want := roleAdmin
	switch f.Needs(r) {
	case "ingest":
		want = roleIngest
	case "consume":
		want = roleConsume
	}
	var headers []string
	if k, ok := f.(Keyed); ok {
		headers = k.Keys()
	}
	if f.Needs(r) != "" {
		if code, why := s.access.check(want, w, r, headers...); code != 0 {
			f.Refuse(w, code, why)
			return
		}
	}
	f.ServeHTTP(w, r)
}
