package agent

import (
	"context"
	"fmt"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/spool"
)

// stream finds a destination's stream by its name, such as studio/training.
func (a *Agent) stream(name string) (*spool.Stream, error) {
	for _, d := range a.crew.destinationList() {
		for _, st := range d.streams {
			if st.Name() == name {
				return st, nil
			}
		}
	}
	return nil, fmt.Errorf("find stream %.200q of a destination: %w", name, spool.ErrUnknownStream)
}

// Outcomes lists what became of the records of a destination's stream.
func (f face) Outcomes(ctx context.Context, stream string, q spool.OutcomeQuery) ([]spool.Outcome, error) {
	st, err := f.a.stream(stream)
	if err != nil {
		return nil, err
	}
	return st.Outcomes(ctx, q)
}

// Retry sends exceptions again.
func (f face) Retry(ctx context.Context, stream string, sequences []uint64) (api.Retried, error) {
	st, err := f.a.stream(stream)
	if err != nil {
		return api.Retried{}, err
	}
	if len(sequences) > 0 {
		return api.Retried{Retried: len(sequences)}, st.Retry(ctx, sequences...)
	}
	return retryAll(ctx, st)
}

// retryPage is how many exceptions are looked at at a time.
const retryPage = 256

// retryAll sends all exceptions again whose records are still in the spool.
func retryAll(ctx context.Context, st *spool.Stream) (done api.Retried, err error) {
	for from := uint64(0); ; {
		page, err := st.Exceptions(ctx, from, retryPage)
		if err != nil || len(page) == 0 {
			return done, err
		}
		var sequences []uint64
		for _, e := range page {
			from = max(from, e.Outcome.Sequence+1)
			switch {
			case e.Retrying:
			case e.Record.Body == nil:
				done.Gone++
			default:
				sequences = append(sequences, e.Outcome.Sequence)
			}
		}
		if err := st.Retry(ctx, sequences...); err != nil {
			return done, err
		}
		done.Retried += len(sequences)
	}
}
