package streams

import (
	"context"
	"net/http"
	"time"
)

// advance moves a stream to the place behind a comment, forwards or backwards.
// That is on the disk before the answer.
func (a *API) advance(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		SequenceID *string `json:"sequence_id"`
	}
	st, err := a.find(args)
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	if body.SequenceID == nil {
		return bad("sequence_id: it is missing; fetch answers with it")
	}
	newest := a.spool.Stats().NextSequence - 1 // a new stream is behind what is still on its way to the disk
	p, err := parseToken(*body.SequenceID, a.spool.LogID(), newest)
	if err != nil {
		return err
	}
	if p.again {
		err = a.changeAgain(st, func(l againList) (againList, error) { return l.behind(p.sequence), nil })
	} else {
		err = a.move(context.WithoutCancel(r.Context()), st, p)
	}
	if err != nil {
		return err
	}
	a.used(st, func(u *usage) { u.advanced = time.Now() })
	return ok(w, map[string]any{"sequence_id": *body.SequenceID})
}

// move sets all cursors of a stream.
func (a *API) move(ctx context.Context, st *stream, p position) error {
	if p.known {
		return a.spool.Move(ctx, p.sequence+1, st.cursors...)
	}
	for _, c := range st.cursors {
		if err := c.ResetToTime(ctx, p.at()); err != nil {
			return err
		}
	}
	return nil
}

// reset moves a stream to the first comment that was created at or after a
// time.
func (a *API) reset(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		To *string `json:"to_comment_created_at"`
	}
	st, err := a.find(args)
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	if body.To == nil {
		return bad("to_comment_created_at: it is missing; give an ISO-8601 time")
	}
	to, err := parseTime(*body.To)
	if err != nil {
		return bad("to_comment_created_at: %v", err)
	}
	p := position{createdMS: max(0, min(to.UnixMilli(), farFuture))}
	if err := a.move(context.WithoutCancel(r.Context()), st, p); err != nil {
		return err
	}
	a.used(st, func(u *usage) { u.advanced = time.Now() })
	return ok(w, map[string]any{"sequence_id": timeToken(to), wordFor(r): a.viewStream(st)})
}
