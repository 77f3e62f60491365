// Package openapitest holds what the agent's APIs really do against their
// OpenAPI descriptions. A test puts Check around its handler, or Proxy before
// a running agent; every request and answer that passes is compared, and what
// is not described fails the test.
package openapitest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/edgespool/edgespool/agent/api/openapi"
)

// Load reads a description and checks that it is one.
func Load(ctx context.Context, name string) (*openapi3.T, error) {
	doc, err := read(name)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(ctx)
}

func read(name string) (*openapi3.T, error) {
	text, err := openapi.File(name)
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(text)
}

// documents are the descriptions, read once.
var documents = sync.OnceValues(func() (all []*openapi3.T, err error) {
	for _, name := range openapi.Names() {
		doc, err := read(name)
		if err != nil {
			return nil, err
		}
		all = append(all, doc)
	}
	return all, nil
})

// Check is h with every request and answer compared.
func Check(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	docs, err := documents()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := newExchange(docs, r)
		h.ServeHTTP(x.watch(w), r) // one that panics was cut off on purpose
		if err := x.fault(); err != nil {
			t.Errorf("%s %s answered %d as its description does not say: %v", r.Method, r.URL, x.code, err)
		}
	})
}

// Proxy stands before a running agent and compares what goes through it. It
// returns its own address, which takes the agent's place.
func Proxy(t testing.TB, agent string) string {
	t.Helper()
	to, err := url.Parse(agent)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(Check(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // what answers link to goes through here as well
	}}))
	t.Cleanup(server.Close)
	return server.URL
}

// mostKept is how much of a body is kept to be compared.
const mostKept = 8 << 20

// An exchange is a request with its answer.
type exchange struct {
	docs    []*openapi3.T
	request *http.Request
	sent    kept
	got     kept
	code    int
	header  http.Header
}

// kept is the beginning of a body.
type kept struct {
	bytes.Buffer
	cut bool
}

// Write keeps what fits.
func (k *kept) Write(p []byte) (int, error) {
	room := max(0, mostKept-k.Len())
	k.cut = k.cut || room < len(p)
	k.Buffer.Write(p[:min(room, len(p))]) // never fails
	return len(p), nil
}

func newExchange(docs []*openapi3.T, r *http.Request) *exchange {
	x := &exchange{docs: docs, request: r.Clone(context.WithoutCancel(r.Context()))}
	r.Body = &readBody{r.Body, io.TeeReader(r.Body, &x.sent)}
	return x
}

// readBody keeps what the handler reads.
type readBody struct {
	io.ReadCloser
	from io.Reader
}

// Read reads on.
func (b *readBody) Read(p []byte) (int, error) { return b.from.Read(p) }

// watch is w with the answer kept.
func (x *exchange) watch(w http.ResponseWriter) http.ResponseWriter { return &watched{w, x} }

type watched struct {
	http.ResponseWriter
	x *exchange
}

// WriteHeader keeps the status.
func (w *watched) WriteHeader(code int) {
	if w.x.code == 0 && code >= 200 {
		w.x.code, w.x.header = code, w.Header().Clone()
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write keeps the body.
func (w *watched) Write(p []byte) (int, error) {
	if w.x.code == 0 {
		w.x.code, w.x.header = http.StatusOK, w.Header().Clone()
	}
	_, _ = w.x.got.Write(p)
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
