package history

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// file answers with the bytes of the record that a detection is about, as long
// as the spool has it.
func (h *History) file(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	id, _, ok := strings.Cut(strings.TrimPrefix(name, "fd_"), "_")
	if _, err := strconv.ParseUint(id, 10, 63); !ok || err != nil || !strings.HasPrefix(name, "fd_") {
		Refuse(w, http.StatusNotFound, fmt.Sprintf("there is no file %q; names are those of files[].url, such as fd_12_idle.csv", name))
		return
	}
	d, ok := h.find(w, r, id)
	if !ok {
		return
	}
	if fileName(&d) != name || d.Sequence == 0 {
		Refuse(w, http.StatusNotFound, fmt.Sprintf("there is no file %q", name))
		return
	}
	rec, err := h.parts.Records.Record(r.Context(), d.Sequence)
	switch {
	case errors.Is(err, spool.ErrUnknownRecord), errors.Is(err, spool.ErrDamaged):
		Refuse(w, http.StatusNotFound, fmt.Sprintf("the file of detection %d is not in the spool any more", d.ID))
	case err != nil:
		refuseError(w, err)
	default:
		serveBody(w, r, &rec)
	}
}

// serveBody writes a record's bytes. A browser is to keep them as a file, for
// whoever made the sample also chose its type.
func serveBody(w http.ResponseWriter, r *http.Request, rec *spool.Record) {
	body, err := rec.Body.Open()
	if err != nil {
		refuseError(w, err)
		return
	}
	defer body.Close()
	seeker, ok := body.(io.ReadSeeker)
	if !ok {
		Refuse(w, http.StatusInternalServerError, "the file cannot be read at the moment; try again")
		return
	}
	head := w.Header()
	head.Set("Content-Type", "application/octet-stream")
	if rec.ContentType != "" {
		head.Set("Content-Type", rec.ContentType)
	}
	head.Set("Content-Disposition", "attachment")
	head.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	steady := &steadySeeker{ReadSeeker: seeker, limits: http.NewResponseController(w)}
	serveRange(w, r, fmt.Sprintf("%q", fmt.Sprintf("%x", rec.SHA256)), rec.Size, steady)
}

// steadySeeker gives the client as long as it goes on reading.
type steadySeeker struct {
	io.ReadSeeker
	limits *http.ResponseController
}

// Read reads on, and moves the limit for taking it.
func (s *steadySeeker) Read(p []byte) (int, error) {
	_ = s.limits.SetWriteDeadline(time.Now().Add(patience)) // a connection that cannot is gone already
	return s.ReadSeeker.Read(p)
}
