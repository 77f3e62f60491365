package streams

import (
	"net/http"
	"strings"
)

// A route is one call of the API.
type route struct {
	method string
	// path has a part for each segment below Prefix; "*" stands for any one,
	// and "streams" for the former name "triggers" too.
	path  string
	role  string
	serve func(a *API, w http.ResponseWriter, r *http.Request, args []string) error
}

// A foundRoute is a route with what its stars stand for.
type foundRoute struct {
	route
	args []string
}

// routes are all of them.
func routes() []route {
	const (
		get, put, post, del    = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete
		consume, admin, ingest = "consume", "admin", "ingest"
	)
	return []route{
		{get, "datasets", consume, (*API).listDatasets},
		{get, "datasets/*/*", consume, (*API).getDataset},
		{put, "datasets/*/*", admin, (*API).putDataset},
		{get, "datasets/*/*/streams", consume, (*API).listStreams},
		{put, "datasets/*/*/streams", admin, (*API).putStream},
		{get, "datasets/*/*/streams/*", consume, (*API).getStream},
		{post, "datasets/*/*/streams/*", admin, (*API).updateStream},
		{del, "datasets/*/*/streams/*", admin, (*API).deleteStream},
		{post, "datasets/*/*/streams/*/fetch", consume, (*API).fetch},
		{get, "datasets/*/*/streams/*/results", consume, (*API).results},
		{post, "datasets/*/*/streams/*/advance", consume, (*API).advance},
		{post, "datasets/*/*/streams/*/reset", consume, (*API).reset},
		{get, "datasets/*/*/streams/*/exceptions", consume, (*API).listExceptions},
		{put, "datasets/*/*/streams/*/exceptions", consume, (*API).putExceptions},
		{del, "datasets/*/*/streams/*/exceptions", consume, (*API).deleteExceptions},
		{post, "datasets/*/*/streams/*/exceptions/retry", consume, (*API).retryExceptions},
		{get, "sources", consume, (*API).listSources},
		{get, "sources/*/*", consume, (*API).getSource},
		{put, "sources/*/*", admin, (*API).putSource},
		{post, "sources/*/*/sync", ingest, (*API).sync},
		{get, "sources/*/*/comments/*", consume, (*API).getComment},
	}
}

// findRoute finds the route of a request by its unescaped path, for clients
// send owner and name as one segment, with the slash escaped. HEAD is GET.
func findRoute(r *http.Request) (foundRoute, bool) {
	path, ok := strings.CutPrefix(r.URL.Path, Prefix)
	if !ok {
		return foundRoute{}, false
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, rt := range routes() {
		if rt.method != method {
			continue
		}
		if args, ok := matchPath(rt.path, segments); ok {
			return foundRoute{rt, args}, true
		}
	}
	return foundRoute{}, false
}

func matchPath(pattern string, segments []string) (args []string, ok bool) {
	parts := strings.Split(pattern, "/")
	if len(parts) != len(segments) {
		return nil, false
	}
	for i, part := range parts {
		switch {
		case part == "*" && segments[i] != "":
			args = append(args, segments[i])
		case part == segments[i]:
		case part == "streams" && segments[i] == "triggers":
		default:
			return nil, false
		}
	}
	return args, true
}

// wordFor is what a request calls streams: by their present or former name.
func wordFor(r *http.Request) string {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, Prefix), "/")
	if len(path) > 3 && path[3] == "triggers" {
		return "trigger"
	}
	return "stream"
}
