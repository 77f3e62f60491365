package data

import (
	"io"
	"net/http"
	"time"
)

// A patientReader lets a client be silent for some time and no longer,
// however long the whole takes.
type patientReader struct {
	from io.Reader
	w    http.ResponseWriter
}

// Read gives the client some time to send more.
func (p *patientReader) Read(b []byte) (int, error) {
	// Without deadlines, as in a recorder, there is patience for ever.
	_ = http.NewResponseController(p.w).SetReadDeadline(time.Now().Add(silence))
	return p.from.Read(b)
}
