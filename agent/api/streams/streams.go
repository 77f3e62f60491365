// Package streams serves the streams API of Re:infer (UiPath Communications
// Mining) from the spool: named positions in a dataset that programs on site
// fetch from, work through and advance, at least once. A record is shown there
// as a comment, and comments can be handed in as records.
//
// Sources: the vendor's reference page and its public clients; where they are
// silent, README.md says what was chosen.
package streams

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// Prefix is what the paths of all routes begin with.
const Prefix = "/api/v1/"

// Options say whose records these are.
type Options struct {
	// Device is the device's name; it owns the datasets named like its
	// categories and the sources of the configuration.
	Device string
	// Categories are the datasets that the device always has.
	Categories []string
	// Sources lists the sources that the device samples from.
	Sources func() []string
	// Pin keeps records in the spool until every stream has passed them.
	Pin bool
	// Now is this moment as the board knows it.
	Now func() spool.Instant
}

// An API answers the routes below Prefix. Its methods may be called
// concurrently.
type API struct {
	spool   *spool.Spool
	opts    Options
	owner   string // of the device's datasets and sources
	syncing chan struct{}
	ids     *identities

	mu       sync.RWMutex // guards what follows
	streams  map[string]*stream
	datasets map[string]*dataset
	sources  map[string]*source

	useMu   sync.Mutex       // guards what follows
	uses    map[string]usage // by the streams' ids
	counts  map[string]int   // of exceptions, by cursor
	counted time.Time
}

// syncsAtOnce bounds how many requests with comments are in memory.
const syncsAtOnce = 2

// New makes the API of a spool and brings back its streams.
func New(ctx context.Context, s *spool.Spool, o Options) (*API, error) {
	a := &API{spool: s, opts: o, owner: ownerName(o.Device), syncing: make(chan struct{}, syncsAtOnce), ids: newIdentities(s),
		streams: map[string]*stream{}, datasets: map[string]*dataset{}, sources: map[string]*source{}, uses: map[string]usage{}}
	return a, a.load(ctx)
}

// Needs names the role that a request asks for: consume for what a reader does,
// ingest for handing comments in, admin for all else.
func (a *API) Needs(r *http.Request) string {
	if rt, ok := findRoute(r); ok {
		return rt.role
	}
	return "consume"
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	t := &timed{ResponseWriter: w, began: began}
	rt, ok := findRoute(r)
	if !ok {
		a.refuseUnknown(t, r)
		return
	}
	if len(rt.args) > 0 && rt.args[0] == a.opts.Device { // as it is called elsewhere
		rt.args[0] = a.owner
	}
	if err := rt.serve(a, t, r, rt.args); err != nil {
		a.fail(t, err)
	}
}

// refuseUnknown answers what no route has.
func (a *API) refuseUnknown(w http.ResponseWriter, r *http.Request) {
	var methods []string
	for _, m := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
		probe := &http.Request{Method: m, URL: r.URL}
		if _, ok := findRoute(probe); ok {
			methods = append(methods, m)
		}
	}
	if len(methods) == 0 {
		a.Refuse(w, http.StatusNotFound, notFound)
		return
	}
	slices.Sort(methods)
	w.Header().Set("Allow", strings.Join(methods, ", "))
	a.Refuse(w, http.StatusMethodNotAllowed, "this path takes "+strings.Join(methods, ", "))
}

// timed writes how long the answer took, as the vendor does.
type timed struct {
	http.ResponseWriter
	began time.Time
}

// WriteHeader adds Server-Timing.
func (t *timed) WriteHeader(code int) {
	ms := float64(time.Since(t.began).Microseconds()) / 1000
	t.Header().Set("Server-Timing", "total;dur="+strconv.FormatFloat(ms, 'f', 3, 64))
	t.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (t *timed) Unwrap() http.ResponseWriter { return t.ResponseWriter }
