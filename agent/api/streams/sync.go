package streams

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxComments is how many one request hands in at most, and maxSync how
	// many bytes it may have: all of it is in memory until it is on the disk.
	maxComments = 16384
	maxSync     = 8 << 20
)

// sync takes comments in: all of a request, or none. A comment that is there
// already is changed, if it is not as it was. All is on the disk before the
// answer.
func (a *API) sync(w http.ResponseWriter, r *http.Request, args []string) error {
	if err := checkJSON(r); err != nil {
		return err
	}
	select { // so many bodies at once, and no more
	case a.syncing <- struct{}{}:
		defer func() { <-a.syncing }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	comments, err := readComments(http.MaxBytesReader(w, r.Body, maxSync))
	if err != nil {
		return err
	}
	s, err := a.sourceFor(args[0], args[1])
	if err != nil {
		return err
	}
	n, err := a.ids.put(r.Context(), commentsPrefix+setName(s.Owner), s.key(), comments, a.opts.Now())
	if err != nil {
		return err
	}
	return ok(w, map[string]any{"new": n.fresh, "updated": n.updated, "unchanged": n.unchanged})
}

func (a *API) sourceFor(owner, name string) (*source, error) {
	a.mu.RLock()
	s, found := a.sources[owner+"/"+name]
	a.mu.RUnlock()
	if found {
		return s, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.makeSource(owner, name, time.Now())
}

// readComments reads the comments of a request one after the other.
func readComments(body io.Reader) ([]incoming, error) {
	d := json.NewDecoder(body)
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	var comments []incoming
	there := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, readFault(err)
		}
		if name != "comments" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return nil, readFault(err)
			}
			continue
		}
		there = true
		if comments, err = readList(d, comments); err != nil {
			return nil, err
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("body: there is more than one JSON value")
	}
	if !there {
		return nil, bad("body: it has no list \"comments\"")
	}
	return comments, nil
}

func readList(d *json.Decoder, comments []incoming) ([]incoming, error) {
	if err := expect(d, json.Delim('[')); err != nil {
		return nil, err
	}
	for d.More() {
		if len(comments) == maxComments {
			return nil, bad("comments: more than %d; send less at a time", maxComments)
		}
		var text json.RawMessage
		if err := d.Decode(&text); err != nil {
			return nil, readFault(err)
		}
		c, err := parseComment(text)
		if err != nil {
			return nil, bad("comments[%d]: %v", len(comments), err)
		}
		comments = append(comments, c)
	}
	return comments, expect(d, json.Delim(']'))
}

// expect reads a bracket.
func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if errors.Is(err, io.EOF) {
		return bad("body: it ends too early")
	}
	if err != nil {
		return readFault(err)
	}
	if got != want {
		return bad("body: got %.40s where %s should be; send {\"comments\": […]}", fmt.Sprint(got), want)
	}
	return nil
}

// getComment gives back the newest version of a comment.
func (a *API) getComment(w http.ResponseWriter, r *http.Request, args []string) error {
	owner, name, id := args[0], args[1], args[2]
	found, there, err := a.ids.find(r.Context(), commentsPrefix+setName(owner), owner+"/"+name, id)
	if err != nil {
		return err
	}
	if !there && owner == a.owner { // a sample of the device, perhaps
		if found, there = a.spool.Find(id); found.Source != name {
			there = false
		}
	}
	if !there {
		return missing()
	}
	c, err := a.comment(&found)
	if err != nil {
		return err
	}
	return ok(w, map[string]any{"comment": c.members})
}
