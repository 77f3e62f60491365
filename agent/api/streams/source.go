package streams

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// A source is where comments come from.
type source struct{ sourceDocument }

// source finds a source; those of the configuration are there without having
// been made. a.mu is held.
func (a *API) source(owner, name string) (*source, bool) {
	if s, ok := a.sources[owner+"/"+name]; ok {
		return s, true
	}
	if owner == a.owner && slices.Contains(a.deviceSources(), name) {
		return &source{freshSource(owner, name, time.Time{})}, true
	}
	return nil, false
}

func freshSource(owner, name string, now time.Time) sourceDocument {
	return sourceDocument{ID: sourceID(owner, name), Owner: owner, Name: name, Language: "en", CreatedAt: now, UpdatedAt: now}
}

// makeSource finds a source of comments or makes it; a.mu is held for writing.
func (a *API) makeSource(owner, name string, now time.Time) (*source, error) {
	if s, ok := a.sources[owner+"/"+name]; ok {
		return s, nil
	}
	if !isOwner(owner) || !isName(name) {
		return nil, bad("%.80q is no name of a source: owner and name have letters, digits, - and _, the owner dots too", owner+"/"+name)
	}
	if len(a.sources) >= maxOthers {
		return nil, bad("there are %d sources, and no more can be made", maxOthers)
	}
	s := &source{freshSource(owner, name, now)}
	if err := a.save(sourceSetting, s.ID, s.sourceDocument); err != nil {
		return nil, err
	}
	a.sources[s.key()] = s
	return s, nil
}

// putSource makes a source or changes it.
func (a *API) putSource(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		Source struct {
			Title           *string `json:"title"`
			Description     *string `json:"description"`
			Language        *string `json:"language"`
			ShouldTranslate *bool   `json:"should_translate"`
		} `json:"source"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	given := &body.Source
	if err := checkTexts(given.Title, given.Description); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	s, err := a.makeSource(args[0], args[1], now)
	if err != nil {
		return err
	}
	changed := s.sourceDocument
	changed.UpdatedAt = now
	set(&changed.Title, given.Title)
	set(&changed.Description, given.Description)
	set(&changed.Language, given.Language)
	set(&changed.ShouldTranslate, given.ShouldTranslate)
	if err := a.save(sourceSetting, changed.ID, changed); err != nil {
		return err
	}
	a.sources[changed.key()] = &source{changed}
	return ok(w, map[string]any{"source": viewSource(&changed)})
}

func (a *API) getSource(w http.ResponseWriter, _ *http.Request, args []string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, found := a.source(args[0], args[1])
	if !found {
		return missing()
	}
	return ok(w, map[string]any{"source": viewSource(&s.sourceDocument)})
}

func (a *API) listSources(w http.ResponseWriter, _ *http.Request, _ []string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := map[string]*source{}
	for _, name := range a.deviceSources() {
		all[a.owner+"/"+name], _ = a.source(a.owner, name)
	}
	maps.Copy(all, a.sources)
	views := []map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		views = append(views, viewSource(&all[key].sourceDocument))
	}
	return ok(w, map[string]any{"sources": views})
}

func viewSource(d *sourceDocument) map[string]any {
	return map[string]any{
		"id": d.ID, "owner": d.Owner, "name": d.Name, "title": d.Title, "description": d.Description, "language": d.Language,
		"should_translate": d.ShouldTranslate, "_kind": "raw", "created_at": stamp(d.CreatedAt), "updated_at": stamp(d.UpdatedAt),
		"last_modified": stamp(d.UpdatedAt),
	}
}
