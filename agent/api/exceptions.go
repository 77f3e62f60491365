package api

import (
	"context"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// maxExceptions is how many exceptions one answer has at most.
const maxExceptions = 1000

// A RefusedSample is a sample that a destination refused for good.
type RefusedSample struct {
	Stream   string    `json:"stream"` // such as studio/training
	Sequence uint64    `json:"sequence"`
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Category string    `json:"category"`
	Source   string    `json:"source"`
	Status   int       `json:"status,omitempty"` // the far side's, as in HTTP
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
	Retrying bool      `json:"retrying,omitempty"` // it is being sent again
}

// exceptions answers with what destinations refused, stream by stream, the
// oldest first.
func (s *Server) exceptions(w http.ResponseWriter, r *http.Request) {
	found, err := s.agent.Exceptions(r.Context(), maxExceptions)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	list := make([]RefusedSample, 0, len(found))
	for _, e := range found {
		list = append(list, RefusedSample{Stream: e.Stream, Sequence: e.Outcome.Sequence, ID: e.Record.ID(), Name: e.Record.Name,
			Category: e.Record.Dataset, Source: e.Record.Source, Status: e.Outcome.Status, Reason: e.Outcome.Reason, At: e.Outcome.At, Retrying: e.Retrying})
	}
	answer(w, http.StatusOK, map[string]any{"exceptions": list})
}

// An outcomeKeeper knows what became of records at the destinations.
type outcomeKeeper interface {
	// Exceptions lists at most that many, stream by stream.
	Exceptions(ctx context.Context, limit int) ([]spool.Exception, error)
	// Retry sends exceptions of a stream again, all without sequences. It fails
	// with spool.ErrUnknownStream, and as spool.Stream's Retry does.
	Retry(ctx context.Context, stream string, sequences []uint64) (Retried, error)
	// Outcomes lists what became of the records of a stream.
	Outcomes(ctx context.Context, stream string, q spool.OutcomeQuery) ([]spool.Outcome, error)
}

// Exceptions asks for the samples that destinations refused.
func (c *Client) Exceptions(ctx context.Context) ([]RefusedSample, error) {
	var answer struct {
		Exceptions []RefusedSample `json:"exceptions"`
	}
	return answer.Exceptions, c.exchange(ctx, http.MethodGet, "api/exceptions", nil, &answer)
}
