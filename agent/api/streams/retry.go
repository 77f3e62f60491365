package streams

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

// retryExceptions is ours: it has tagged comments come once more on the stream,
// before all that is new, and takes their tags off; a reader that cannot deal
// with them this time tags them again. Both are on the disk before the answer.
// Those that the spool has no more keep their tags.
func (a *API) retryExceptions(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		Exceptions []struct {
			UID string `json:"uid"`
		} `json:"exceptions"`
		All bool `json:"all"`
	}
	st, err := a.find(args)
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	if body.All == (len(body.Exceptions) > 0) || len(body.Exceptions) > maxExceptions {
		return bad("exceptions: name 1 to %d by their uid, or say \"all\": true; GET …/exceptions lists them", maxExceptions)
	}
	tags, err := st.cursors[0].Tags(r.Context())
	if err != nil {
		return err
	}
	tagged := map[string]bool{}
	var uids []string
	for _, t := range tags {
		tagged[t.UID] = true
		if body.All {
			uids = append(uids, t.UID)
		}
	}
	for i, e := range body.Exceptions {
		if !tagged[e.UID] {
			return &fault{http.StatusNotFound, fmt.Sprintf("exceptions[%d].uid: %.60q is not tagged on this stream; GET …/exceptions lists what is", i, e.UID)}
		}
		if !slices.Contains(uids, e.UID) {
			uids = append(uids, e.UID)
		}
	}
	ctx := context.WithoutCancel(r.Context())
	taken, err := a.showAgain(ctx, st, uids)
	if err == nil {
		err = st.cursors[0].Untag(ctx, taken...)
	}
	if err != nil {
		return err
	}
	a.tagged()
	return ok(w, map[string]any{"retried": len(taken), "gone": len(uids) - len(taken)})
}

// showAgain has comments come once more, as far as the spool still has them.
func (a *API) showAgain(ctx context.Context, st *stream, uids []string) (taken []string, err error) {
	if len(uids) > maxExceptions {
		return nil, manyWait(len(uids))
	}
	var sequences []uint64
	for _, uid := range uids {
		sequence, err := a.locate(ctx, st, uid)
		if err != nil {
			return nil, err
		}
		if sequence != 0 {
			taken, sequences = append(taken, uid), append(sequences, sequence)
		}
	}
	sort.Slice(sequences, func(i, j int) bool { return sequences[i] < sequences[j] })
	return taken, a.changeAgain(st, func(l againList) (againList, error) {
		l = l.with(sequences)
		if len(l.Waiting) > maxExceptions {
			return l, manyWait(len(l.Waiting))
		}
		return l, nil
	})
}

func manyWait(n int) error {
	return &fault{http.StatusConflict, fmt.Sprintf("%d comments would wait to be seen once more, and %d may; "+
		"name fewer, or advance the stream over those that wait", n, maxExceptions)}
}

// locate finds the record of a comment of the stream; 0 if there is none (any
// more).
func (a *API) locate(ctx context.Context, st *stream, uid string) (sequence uint64, err error) {
	source, id, _ := strings.Cut(uid, ".")
	r, there := a.spool.Find(id)
	if there = there && sourceID(a.owner, r.Source) == source; !there { // no sample of the device
		owner, name := a.sourceOf(source)
		r, there, err = a.ids.find(ctx, commentsPrefix+setName(owner), owner+"/"+name, id)
	}
	if err != nil || !there || r.Sequence > a.spool.LastSequence() { // on its way to the disk yet
		return 0, err
	}
	c, err := a.commentOn(st, &r)
	if errors.Is(err, spool.ErrDamaged) {
		return 0, nil
	}
	if c == nil || err != nil {
		return 0, err
	}
	return r.Sequence, nil
}

// sourceOf finds the owner and the name of a source of comments by its id.
func (a *API) sourceOf(id string) (owner, name string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, s := range a.sources {
		if s.ID == id {
			return s.Owner, s.Name
		}
	}
	return "", ""
}
