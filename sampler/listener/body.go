package listener

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// A patientReader reads a request's body and lets the client be silent for
// so long and no longer, however long the whole takes.
type patientReader struct {
	from    io.Reader
	control *http.ResponseController
	wait    time.Duration

	mu      sync.Mutex
	stopped bool
}

// Read gives the client some time to send more. A server without deadlines,
// such as a recorder in a test, has patience for ever.
func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.extend(time.Now().Add(p.wait)); err != nil {
		return 0, err
	}
	n, err := p.from.Read(b)
	if err != nil && p.isStopped() {
		return n, errStopping
	}
	return n, err
}

func (p *patientReader) isStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

func (p *patientReader) extend(deadline time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return errStopping
	}
	if err := p.control.SetReadDeadline(deadline); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// stop ends a read that waits, and every later one.
func (p *patientReader) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	// Without deadlines there is nothing to interrupt.
	_ = p.control.SetReadDeadline(time.Unix(1, 0))
}

// A body is a request's body, bounded to limit bytes before and after a gzip
// encoding is undone.
type body struct {
	wire  *patientReader
	plain io.Reader
}

func openBody(w http.ResponseWriter, r *http.Request, wire *patientReader, limit int64) (*body, error) {
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	wire.from = http.MaxBytesReader(w, r.Body, limit)
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return &body{wire, wire}, nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(wire)
		if err != nil {
			return nil, err
		}
		return &body{wire, http.MaxBytesReader(w, plain, limit)}, nil
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "Content-Encoding %q is not supported, use gzip or none", encoding)
	}
}

func (b *body) Read(p []byte) (int, error) { return b.plain.Read(p) }

// finish reads what little may follow the last part, and takes the deadline
// off: the server goes on reading to notice a client that leaves, and
// must not take a deadline for one while the commit is under way.
func (b *body) finish() error {
	for _, rest := range [...]io.Reader{b.plain, b.wire} {
		n, err := io.CopyN(io.Discard, rest, 4<<10)
		if err == nil {
			return refuse(http.StatusBadRequest, "Invalid body: %d bytes and more follow its last part", n)
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	return b.wire.extend(time.Time{})
}

// A watched reader remembers how reading ended, so that a client's fault is
// not taken for the spool's.
type watched struct {
	from io.Reader
	err  error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// bodyRefusal says what a failed read of the body means for the client.
func bodyRefusal(err error) *refusal {
	var known *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "The request is larger than %d bytes, send fewer files at once", tooLarge.Limit)
	case errors.Is(err, errStopping):
		return later("The agent is stopping", briefly)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "The rest of the body did not come in time")
	}
	return refuse(http.StatusBadRequest, "Invalid body: %v", err)
}
