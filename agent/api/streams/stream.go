package streams

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/edgespool/edgespool/spool"
)

// A stream is a named position in a dataset. It does not change once it is
// made: an update takes its place.
type stream struct {
	streamDocument
	filter  *filter // nil if it has none
	covers  coverage
	cursors []*spool.Stream // one for each of covers.sets
}

// position is the first sequence that was not advanced over.
func (st *stream) position() uint64 {
	next := st.cursors[0].Next()
	for _, c := range st.cursors[1:] {
		next = min(next, c.Next())
	}
	return next
}

// cursorName is the spool's name for a stream's cursor over one of its datasets.
func (d *streamDocument) cursorName(set string) string {
	if name := cursorPrefix + d.key() + "/" + set; len(name) <= 200 {
		return name
	}
	return cursorPrefix + d.ID + "/" + set
}

// openStream opens the cursors of a stream. One that is not there yet, for the
// dataset has got a source more, begins where the others are, and all of them
// begin behind the newest record. a.mu is held.
func (a *API) openStream(ctx context.Context, d streamDocument, there map[string]bool) (*stream, error) {
	st := &stream{streamDocument: d}
	if d.Filter != nil {
		f, err := parseFilter(d.Filter)
		if err != nil {
			return nil, err
		}
		st.filter = f
	}
	owner, found := a.dataset(d.Owner, d.Dataset)
	if !found {
		fresh := a.freshDataset(d.Owner, d.Dataset, d.CreatedAt)
		owner = &dataset{fresh}
	}
	st.covers = a.covers(&owner.datasetDocument)
	var old, fresh []*spool.Stream
	for _, set := range st.covers.sets {
		name := d.cursorName(set)
		c, err := a.spool.Stream(name, set, spool.StreamOptions{Pin: a.opts.Pin, FromNow: true})
		if err != nil {
			return nil, err
		}
		st.cursors = append(st.cursors, c)
		if there[name] {
			old = append(old, c)
		} else {
			fresh = append(fresh, c)
		}
	}
	begin := (&stream{cursors: st.cursors}).position()
	if len(old) > 0 {
		begin = (&stream{cursors: old}).position()
	}
	if len(fresh) == 0 || len(old) == 0 && len(fresh) == 1 {
		return st, nil
	}
	return st, a.spool.Move(context.WithoutCancel(ctx), begin, fresh...)
}

// keepStream makes a stream durable, first its cursors and then its document,
// and lets it be seen. a.mu is held for writing.
func (a *API) keepStream(ctx context.Context, d streamDocument) (*stream, error) {
	there := a.cursorNames()
	st, err := a.openStream(ctx, d, there)
	if err == nil {
		err = a.save(streamSetting, d.ID, d)
	}
	if err != nil {
		if st != nil {
			a.removeCursors(st, there)
		}
		return nil, err
	}
	a.streams[d.key()] = st
	return st, nil
}

// removeCursors takes back cursors that were made in vain. What fails goes at
// the next start.
func (a *API) removeCursors(st *stream, keep map[string]bool) {
	for _, c := range st.cursors {
		if !keep[c.Name()] {
			_ = a.spool.RemoveStream(c.Name())
		}
	}
}

// cover makes the streams of a dataset follow its sources. a.mu is held for
// writing.
func (a *API) cover(ctx context.Context, owner, name string) error {
	for key, st := range a.streams {
		if st.Owner != owner || st.Dataset != name {
			continue
		}
		changed, err := a.openStream(ctx, st.streamDocument, a.cursorNames())
		if err != nil {
			return err
		}
		a.streams[key] = changed
		keep := map[string]bool{}
		for _, c := range changed.cursors {
			keep[c.Name()] = true
		}
		a.removeCursors(st, keep)
	}
	return nil
}

// find finds a stream by the names of its path.
func (a *API) find(args []string) (*stream, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	st, found := a.streams[args[0]+"/"+args[1]+"/"+args[2]]
	if !found {
		return nil, missing()
	}
	return st, nil
}

func (a *API) getStream(w http.ResponseWriter, r *http.Request, args []string) error {
	st, err := a.find(args)
	if err != nil {
		return err
	}
	return ok(w, map[string]any{wordFor(r): a.viewStream(st)})
}

func (a *API) listStreams(w http.ResponseWriter, r *http.Request, args []string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if _, found := a.dataset(args[0], args[1]); !found {
		return missing()
	}
	views := []map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(a.streams)) {
		if st := a.streams[key]; st.Owner == args[0] && st.Dataset == args[1] {
			views = append(views, a.viewStream(st))
		}
	}
	return ok(w, map[string]any{wordFor(r) + "s": views})
}

// deleteStream forgets a stream with its position and exceptions.
func (a *API) deleteStream(w http.ResponseWriter, _ *http.Request, args []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := args[0] + "/" + args[1] + "/" + args[2]
	st, found := a.streams[key]
	if !found {
		return missing()
	}
	if err := a.spool.SetSetting(streamSetting+st.ID, nil); err != nil {
		return err
	}
	delete(a.streams, key)
	a.removeCursors(st, nil)
	a.useMu.Lock()
	defer a.useMu.Unlock()
	delete(a.uses, st.ID)
	return ok(w, nil)
}

// viewStream is a stream as clients want it. Members that begin with
// _ are ours: where it is, what is still to come, and what went before it came
// there.
func (a *API) viewStream(st *stream) map[string]any {
	v := map[string]any{
		"id": st.ID, "dataset_id": idOf("dataset", st.Owner+"/"+st.Dataset), "context": "0", "name": st.Name, "title": st.Title,
		"description": st.Description, "created_at": stamp(st.CreatedAt), "updated_at": stamp(st.UpdatedAt),
	}
	if st.Filter != nil {
		v["comment_filter"] = st.Filter
	}
	if st.Model != nil {
		v["model"] = st.Model
	}
	backlog, lost := st.figures()
	v["_next_sequence"], v["_backlog"], v["_lost"] = st.position(), backlog, lost
	return v
}
