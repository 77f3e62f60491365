package listener

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// How long a client is asked to wait (Retry-After): for a place, or for
// something that an operator or the uploader must see to.
const (
	briefly = 5 * time.Second
	aWhile  = time.Minute
)

var (
	errStopping = errors.New("the agent is stopping")
	errNoString = errors.New("a value is not a string")
)

// A refusal is an answer other than 200.
type refusal struct {
	status     int
	reason     string
	retryAfter time.Duration
}

// Error is what the client reads. The sentences begin like those of Edge
// Impulse, which people search for.
func (r *refusal) Error() string { return r.reason }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, reason: fmt.Sprintf(format, args...)}
}

// later is 503 with Retry-After.
func later(reason string, wait time.Duration) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, reason: reason, retryAfter: wait}
}

// spoolRefusal says what an error of the spool means for the client: what
// can change is 503, so that no client gives its samples up.
func spoolRefusal(err error) *refusal {
	switch {
	case errors.Is(err, spool.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "The request is larger than the spool takes, send fewer files at once")
	case errors.Is(err, spool.ErrFull):
		return later("The spool is full", aWhile)
	case errors.Is(err, spool.ErrReadOnly):
		return later("The spool is read-only", aWhile)
	case errors.Is(err, spool.ErrClosed):
		return later(errStopping.Error(), briefly)
	}
	return refuse(http.StatusInternalServerError, "The spool does not take the samples: %v", err)
}

// An outcome is what became of one file of a request.
type outcome struct {
	// name is the stored name; fault says why there is none.
	name     string
	fault    string
	sequence uint64
	repeated bool
}

// repeatedText is Edge Impulse's sentence for content that it has already.
// Its clients look for the words.
func repeatedText(sequence uint64) string {
	return fmt.Sprintf("An item with this hash already exists (ids: %d)", sequence)
}

// A fileAnswer is one line of the answer of /files, in the service's words.
type fileAnswer struct {
	Success   bool   `json:"success"`
	Error     string `json:"error,omitempty"`
	ProjectID int    `json:"projectId,omitempty"`
	SampleID  uint64 `json:"sampleId,omitempty"`
	FileName  string `json:"fileName,omitempty"`
}

// filesBody is the answer of /files: one line for each file in the order of
// the request. The spool is project 1, and a record's sequence its sample id.
func filesBody(outcomes []outcome, refuseRepeats bool) []byte {
	answer := struct {
		Success bool         `json:"success"`
		Files   []fileAnswer `json:"files"`
	}{true, make([]fileAnswer, len(outcomes))}
	for i, o := range outcomes {
		switch {
		case o.fault != "":
			answer.Files[i] = fileAnswer{Error: o.fault}
		case o.repeated && refuseRepeats:
			answer.Files[i] = fileAnswer{Error: repeatedText(o.sequence)}
		default:
			answer.Files[i] = fileAnswer{Success: true, ProjectID: 1, SampleID: o.sequence, FileName: o.name}
		}
	}
	text, _ := json.Marshal(answer) // texts and numbers only: it cannot fail
	return text
}

// A reply writes the one answer of a request. The legacy endpoint /data
// answers in plain text, /files in JSON.
type reply struct {
	w     http.ResponseWriter
	plain bool
	wait  time.Duration
}

func (r reply) refuse(no *refusal) {
	if no.retryAfter > 0 {
		r.w.Header().Set("Retry-After", strconv.Itoa(int(no.retryAfter.Seconds())))
	}
	text := []byte(no.reason)
	if !r.plain {
		text, _ = json.Marshal(struct {
			Success bool   `json:"success"`
			Error   string `json:"error"`
		}{false, no.reason})
	}
	r.write(no.status, text)
}

// single writes the answer of /data: the stored name of the first file that
// was taken, or why none was.
func (r reply) single(outcomes []outcome, refuseRepeats bool) {
	if len(outcomes) == 0 {
		r.refuse(refuse(http.StatusBadRequest, "Invalid body: no file in it"))
		return
	}
	for _, o := range outcomes {
		if o.fault != "" {
			r.refuse(refuse(http.StatusBadRequest, "%s", o.fault))
			return
		}
	}
	for _, o := range outcomes {
		if !o.repeated || !refuseRepeats {
			r.write(http.StatusOK, []byte(o.name))
			return
		}
	}
	r.refuse(refuse(http.StatusBadRequest, "%s", repeatedText(outcomes[0].sequence)))
}

// write sends the answer with as much patience as the body had. The deadline
// is taken off again, or it would hold for the connection's next request.
func (r reply) write(status int, text []byte) {
	h := r.w.Header()
	h.Set("Content-Type", acquisition.ContentType(".json"))
	if r.plain {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("X-Content-Type-Options", "nosniff")
	control := http.NewResponseController(r.w)
	// A writer without deadlines or flushing has its own ways; and whoever
	// does not read the answer does not get it.
	_ = control.SetWriteDeadline(time.Now().Add(r.wait))
	r.w.WriteHeader(status)
	_, _ = r.w.Write(text)
	_ = control.Flush()
	_ = control.SetWriteDeadline(time.Time{})
}

// shorten keeps what a status page can show.
func shorten(text string) string {
	const longest = 200
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}
