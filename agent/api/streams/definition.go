package streams

import (
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/edgespool/edgespool/spool"
)

// A definition is what a request says of a stream. Members that are absent or
// null are unset in a PUT; in a partial update absent ones stay, and null takes
// filter and model away.
type definition struct {
	Name        *string         `json:"name"`
	Title       *string         `json:"title"`
	Description *string         `json:"description"`
	Filter      json.RawMessage `json:"comment_filter"`
	Model       json.RawMessage `json:"model"`
}

// readDefinition reads a request's definition, under the word that its path
// has or the other one.
func readDefinition(w http.ResponseWriter, r *http.Request) (definition, error) {
	var body struct {
		Stream  *definition `json:"stream"`
		Trigger *definition `json:"trigger"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return definition{}, err
	}
	d := body.Stream
	if d == nil {
		d = body.Trigger
	}
	if d == nil {
		return definition{}, bad("body: it has no object %q", wordFor(r))
	}
	return *d, checkTexts(d.Title, d.Description)
}

func checkTexts(title, description *string) error {
	switch {
	case title != nil && utf8.RuneCountInString(*title) > maxTitle:
		return bad("title: it has more than %d characters", maxTitle)
	case description != nil && utf8.RuneCountInString(*description) > maxDescription:
		return bad("description: it has more than %d characters", maxDescription)
	}
	return nil
}

// into takes the definition over into a document.
func (d *definition) into(to *streamDocument) error {
	set(&to.Title, d.Title)
	set(&to.Description, d.Description)
	if d.Filter != nil {
		if to.Filter = nil; !isNull(d.Filter) {
			if _, err := parseFilter(d.Filter); err != nil {
				return err
			}
			to.Filter = d.Filter
		}
	}
	if d.Model != nil {
		if to.Model = nil; !isNull(d.Model) {
			m, err := parseModel(d.Model)
			if err != nil {
				return err
			}
			to.Model = m
		}
	}
	return nil
}

func isNull(text json.RawMessage) bool { return string(text) == "null" }

// putStream makes a stream or changes it; its position stays.
func (a *API) putStream(w http.ResponseWriter, r *http.Request, args []string) error {
	d, err := readDefinition(w, r)
	if err != nil {
		return err
	}
	if d.Name == nil || !isName(*d.Name) {
		return bad("%s.name: it needs 1 to %d letters, digits, - and _", wordFor(r), maxName)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	document := streamDocument{Owner: args[0], Dataset: args[1], Name: *d.Name, CreatedAt: now, UpdatedAt: now}
	if at := a.opts.Now(); at.State == spool.ClockSynchronised {
		document.BeganMS = time.Unix(0, at.Wall).UnixMilli()
	}
	old := a.streams[document.key()]
	if old != nil {
		document.ID, document.CreatedAt, document.BeganMS, document.Again = old.ID, old.CreatedAt, old.BeganMS, old.Again
	}
	if err := d.into(&document); err != nil {
		return err
	}
	if old == nil && len(a.streams) >= maxStreams {
		return bad("there are %d streams, and no more can be made; delete those that nobody reads", maxStreams)
	}
	if _, err := a.makeDataset(args[0], args[1], now); err != nil {
		return err
	}
	if old == nil {
		document.ID = idOf("stream", document.key()+now.Format(time.RFC3339Nano))
	}
	st, err := a.keepStream(r.Context(), document)
	if err != nil {
		return err
	}
	return ok(w, map[string]any{wordFor(r): a.viewStream(st)})
}

// updateStream changes what the request says of a stream.
func (a *API) updateStream(w http.ResponseWriter, r *http.Request, args []string) error {
	d, err := readDefinition(w, r)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old, found := a.streams[args[0]+"/"+args[1]+"/"+args[2]]
	if !found {
		return missing()
	}
	if d.Name != nil && *d.Name != old.Name {
		return bad("%s.name: a stream keeps its name; make another one with PUT", wordFor(r))
	}
	document := old.streamDocument
	document.UpdatedAt = time.Now()
	if err := d.into(&document); err != nil {
		return err
	}
	st, err := a.keepStream(r.Context(), document)
	if err != nil {
		return err
	}
	return ok(w, map[string]any{wordFor(r): a.viewStream(st)})
}
