package uploadertest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// A Server is a Service on the loopback.
type Server struct {
	*Service
	// URL is its base address.
	URL string

	t       testing.TB
	handler http.Handler
	address string
	mu      sync.Mutex
	http    *http.Server
	ear     net.Listener
	seen    atomic.Int64 // not under mu: Down holds that while the server ends
}

// Serve puts the service on a port of the loopback until the test ends.
func Serve(t testing.TB, s *Service) *Server {
	t.Helper()
	srv := &Server{Service: s, t: t, handler: s, address: "127.0.0.1:0"}
	srv.begin()
	return srv
}

func (s *Server) begin() {
	s.t.Helper()
	s.Up()
	s.URL = "http://" + s.address
	s.t.Cleanup(s.Down)
}

// A DataServer is a DataService on the loopback.
type DataServer struct {
	*DataService
	// Port is the server under it, with its URL; its Service is nil.
	Port *Server
}

// ServeData puts the service on a port of the loopback until the test ends.
func ServeData(t testing.TB, s *DataService) *DataServer {
	t.Helper()
	port := &Server{t: t, handler: s, address: "127.0.0.1:0"}
	port.begin()
	return &DataServer{s, port}
}

// Up listens again, on the same port.
func (s *Server) Up() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatalf("listen: %v", err)
	}
	s.address = l.Addr().String()
	server := &http.Server{Handler: s.handler, ConnState: s.count}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http, s.ear = server, l
	go server.Serve(l) //nolint:errcheck // ends with Close
}

// Down hangs up and refuses connections.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		s.ear.Close() // the server may not have begun to listen
		s.http.Close()
		s.http = nil
	}
}

func (s *Server) count(_ net.Conn, state http.ConnState) {
	if state != http.StateNew {
		return
	}
	s.seen.Add(1)
}

// Connections is how many connections were made to it so far.
func (s *Server) Connections() int {
	return int(s.seen.Load())
}

// Transport reaches the service without a network, for bubbles of
// testing/synctest: a request is a call.
func (s *Service) Transport() http.RoundTripper { return inMemory{s} }

type inMemory struct{ service *Service }

func (m inMemory) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer r.Body.Close()
	m.service.mu.Lock()
	offline := m.service.offline
	m.service.mu.Unlock()
	if offline {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("network is unreachable")}
	}
	body := &watchedBody{Reader: r.Body}
	in := r.Clone(r.Context())
	in.Body, in.RemoteAddr = io.NopCloser(body), "in memory"
	out := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			resp, err = nil, io.ErrUnexpectedEOF
			if body.err != nil {
				err = body.err
			}
			if r.Context().Err() != nil {
				err = r.Context().Err()
			}
		}
	}()
	m.service.ServeHTTP(out, in)
	return out.Result(), nil
}

// A watchedBody remembers why it could not be read.
type watchedBody struct {
	io.Reader
	err error
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
