// Package api is the agent's face: the one HTTP server with health, metrics,
// status, labelling and the dashboard, and the place where the ingestion
// handler is mounted. It shows what it is given and knows neither sources nor
// destinations.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edgespool/edgespool/agent/api/openapi"
	"github.com/edgespool/edgespool/sampler"
)

// An Agent is what the server shows and changes.
type Agent interface {
	// Status takes the figures; it does no I/O.
	Status() Status
	// Healthy says what only a new start of the process can mend, nil if
	// nothing.
	Healthy() error
	// Ready says why no samples can be taken at the moment, nil if they can.
	Ready() error
	// Label changes how a source labels. ErrUnknownSource if there is none
	// of this name; another error says what is wrong with the change.
	Label(ctx context.Context, source string, c Change) error
	outcomeKeeper
	// Tap is where a source's readings and samples can be looked at.
	Tap(source string) (*sampler.Tap, bool)
}

// ErrUnknownSource: no source has this name.
var ErrUnknownSource = errors.New("no such source")

// Logger is the part of log/slog's Logger that the server uses.
type Logger interface {
	Info(msg string, args ...any)
	Error(msg string, args ...any)
}

const (
	headerTime  = 10 * time.Second // to send a request's header
	idleTime    = 2 * time.Minute  // that a kept connection may be silent
	maxHeader   = 64 << 10
	maxClients  = 128 // at once; go.bug.st/serial panics from descriptor 1024 on
	partingTime = 2 * time.Second
)

// Server is the agent's HTTP server.
type Server struct {
	agent     Agent
	log       Logger
	access    *access
	routes    *http.ServeMux
	mounted   []mounted
	ingestion atomic.Pointer[http.Handler] // answers 404 while nobody is mounted
	address   string
	bound     net.Listener
	ending    chan struct{} // closed when live views must end
}

// New makes a server; it reads the token files and opens no port.
func New(c Config, a Agent, log Logger) (*Server, error) {
	access, err := newAccess(c)
	if err != nil {
		return nil, err
	}
	s := &Server{agent: a, log: log, access: access, routes: http.NewServeMux(), address: c.Listen, ending: make(chan struct{})}
	s.routes.HandleFunc("GET /healthz", s.healthy)
	s.routes.HandleFunc("GET /readyz", s.ready)
	s.routes.HandleFunc("GET /metrics", s.access.need(roleConsume, s.metrics))
	s.routes.HandleFunc("GET /api/status", s.access.need(roleConsume, s.status))
	s.routes.HandleFunc("GET /api/exceptions", s.access.need(roleConsume, s.exceptions))
	s.routes.HandleFunc("POST /api/exceptions/retry", s.access.need(roleAdmin, s.retry))
	s.routes.HandleFunc("GET /api/outcomes", s.access.need(roleConsume, s.outcomes))
	s.routes.HandleFunc("PUT /api/sources/{name}", s.access.need(roleAdmin, s.label))
	s.routes.HandleFunc("GET /api/sources/{name}/live", s.access.need(roleConsume, s.live))
	s.MountIngestion(nil)
	for _, category := range append([]string{sampler.CategorySplit}, sampler.Categories...) {
		s.routes.HandleFunc("/api/"+category+"/", s.ingest)
	}
	s.routes.HandleFunc("GET "+openapi.Prefix, s.access.need(roleConsume, description))
	page := newDashboard()
	s.routes.HandleFunc("GET /{$}", page.serve)
	return s, nil
}

// MountIngestion serves the ingestion API on this server, in place of what was
// mounted before; with nil it does so no more. Its routes check the key of
// their source (x-api-key) and nothing else, and have time limits of their own,
// since files are large and links are thin. It may be called at any time.
func (s *Server) MountIngestion(h http.Handler) {
	if h == nil {
		h = http.HandlerFunc(nothingHere)
	}
	s.ingestion.Store(&h)
}

func (s *Server) ingest(w http.ResponseWriter, r *http.Request) {
	limit(w, time.Time{})
	(*s.ingestion.Load()).ServeHTTP(w, r)
}

// Bind takes the port, so that one that is taken is known before anything
// else has begun.
func (s *Server) Bind(ctx context.Context) error {
	l, err := listen(ctx, s.address)
	s.bound = l
	return err
}

// Unbind gives the port back when Run will not be called.
func (s *Server) Unbind() error { return s.bound.Close() }

// Address is the address that Bind took, such as 127.0.0.1:8347.
func (s *Server) Address() string { return s.bound.Addr().String() }

// Run answers requests until ctx ends, then lets those under way finish for a
// moment. Bind comes first.
func (s *Server) Run(ctx context.Context) error {
	return serve(ctx, s.bound, http.HandlerFunc(s.guarded), func() { close(s.ending) })
}

// listen takes a TCP port; one that another program has says so.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, bindError(address, err)
	}
	return &bounded{Listener: l, places: make(chan struct{}, maxClients)}, nil
}

// serve answers requests with h until ctx ends; ending is called then.
func serve(ctx context.Context, l net.Listener, h http.Handler, ending func()) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(io.Discard, "", 0)} // broken connections are not worth a line
	server.RegisterOnShutdown(ending)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
	defer cancel()
	if server.Shutdown(patience) != nil {
		_ = server.Close() // who did not finish in time is cut off
	}
	<-done
	return nil
}

// bindError says what to do about a port that cannot be had.
func bindError(address string, err error) error {
	_, port, _ := net.SplitHostPort(address) // without one the first line tells
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return WithHint(fmt.Errorf("listen on %s: another program has this port", address),
			"is another edgespool running? `ss -ltnp 'sport = :"+port+"'` shows who has it; or choose another port with listen")
	case errors.Is(err, syscall.EACCES):
		return WithHint(fmt.Errorf("listen on %s: %w", address, err), "ports below 1024 are for root; choose a higher one")
	}
	return WithHint(fmt.Errorf("listen on %s: %w", address, err), "choose an address of this machine with listen; 127.0.0.1 is always one")
}
