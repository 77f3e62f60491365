package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// usualOutcomes is how many outcomes an answer has if nobody says otherwise,
// and maxOutcomes the most.
const (
	usualOutcomes = 100
	maxOutcomes   = 1000
)

// An Outcome is what became of a record at a destination, or of all records of
// the stream's category from Sequence to Last.
type Outcome struct {
	Sequence uint64 `json:"sequence"`
	Last     uint64 `json:"last,omitempty"`
	// Fate is stored, already_there, rejected or lost.
	Fate     string    `json:"fate"`
	RemoteID string    `json:"remote_id,omitempty"`
	Status   int       `json:"status,omitempty"` // the far side's, as in HTTP
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
}

var fates = map[spool.Fate]string{
	spool.FateStored: "stored", spool.FateAlreadyThere: "already_there", spool.FateRejected: "rejected", spool.FateLost: "lost",
}

// A Retried says how many exceptions are sent again, and of how many the record
// has left the spool.
type Retried struct {
	Retried int `json:"retried"`
	Gone    int `json:"gone"`
}

// outcomes answers with what became of the records of one stream.
func (s *Server) outcomes(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	q := spool.OutcomeQuery{Limit: usualOutcomes}
	limit := uint64(usualOutcomes)
	for name, to := range map[string]*uint64{"after": &q.After, "sequence": &q.Of, "limit": &limit} {
		if text := asked.Get(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil || name == "limit" && (n == 0 || n > maxOutcomes) {
				refuse(w, http.StatusBadRequest, fmt.Sprintf("%s: %.40q is no such number; limit is 1 to %d, the others are sequences", name, text, maxOutcomes))
				return
			}
			*to = n
		}
	}
	q.Limit = int(limit)
	found, err := s.agent.Outcomes(r.Context(), asked.Get("stream"), q)
	if err != nil {
		refuseStream(w, err)
		return
	}
	list := make([]Outcome, 0, len(found))
	for _, o := range found {
		list = append(list, Outcome{Sequence: o.Sequence, Last: o.Last, Fate: fates[o.Fate], RemoteID: o.RemoteID, Status: o.Status, Reason: o.Reason, At: o.At})
	}
	answer(w, http.StatusOK, map[string]any{"outcomes": list})
}

// retry sends exceptions of a stream again.
func (s *Server) retry(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Stream    string   `json:"stream"`
		Sequences []uint64 `json:"sequences"`
		All       bool     `json:"all"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	if body.All == (len(body.Sequences) > 0) {
		refuse(w, http.StatusBadRequest, "name the exceptions by their sequences, or say \"all\": true; GET /api/exceptions lists them")
		return
	}
	done, err := s.agent.Retry(r.Context(), body.Stream, body.Sequences)
	if err != nil {
		refuseStream(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

// refuseStream answers why a stream could not be asked.
func refuseStream(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, spool.ErrUnknownStream), errors.Is(err, spool.ErrNoException):
		code = http.StatusNotFound
	case errors.Is(err, spool.ErrUnknownRecord):
		code = http.StatusGone
	case errors.Is(err, spool.ErrManyRetries):
		code = http.StatusConflict
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrReadOnly), errors.Is(err, spool.ErrClosed):
		code = http.StatusServiceUnavailable
	}
	refuse(w, code, err.Error())
}

// Outcomes asks what became of the records of a destination's stream: of one
// sequence, or, if that is 0, of at most limit behind after.
func (c *Client) Outcomes(ctx context.Context, stream string, sequence, after uint64, limit int) ([]Outcome, error) {
	q := url.Values{"stream": {stream}, "after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	if sequence > 0 {
		q.Set("sequence", strconv.FormatUint(sequence, 10))
	}
	var answer struct {
		Outcomes []Outcome `json:"outcomes"`
	}
	return answer.Outcomes, c.exchange(ctx, http.MethodGet, "api/outcomes?"+q.Encode(), nil, &answer)
}

// Retry sends exceptions of a destination's stream again; without sequences all
// of them.
func (c *Client) Retry(ctx context.Context, stream string, sequences ...uint64) (done Retried, err error) {
	body := map[string]any{"stream": stream}
	if body["sequences"] = sequences; len(sequences) == 0 {
		body = map[string]any{"stream": stream, "all": true}
	}
	return done, c.exchange(ctx, http.MethodPost, "api/exceptions/retry", body, &done)
}
