package streams

import (
	"maps"
	"net/http"
	"slices"
	"time"
)

// commentsPrefix begins the spool's datasets of comments that were handed in,
// one for each owner.
const commentsPrefix = "comments/"

// maxSetName is the longest part of a dataset's name in the spool, which has
// 200 bytes at most.
const maxSetName = 120

// setName is a part of a dataset's name in the spool; a long one is hashed.
func setName(text string) string {
	if len(text) <= maxSetName {
		return text
	}
	return text[:maxSetName-17] + "~" + idOf("set", text)
}

// A dataset is a list of comments: records of the spool.
type dataset struct{ datasetDocument }

// A coverage says which records a dataset has: those of some datasets of the
// spool, the first of which it has always, and of some sources.
type coverage struct {
	sets    []string
	sources map[string]bool // by their ids; nil is all
}

// covers is what a dataset has; a.mu is held.
func (a *API) covers(d *datasetDocument) coverage {
	comments := commentsPrefix + setName(d.Owner)
	device := d.OfDevice || d.Owner == a.owner
	c := coverage{sets: []string{comments}}
	if device {
		c.sets = []string{setName(d.Name)}
	}
	add := func(names ...string) {
		for _, name := range names {
			if !slices.Contains(c.sets, name) {
				c.sets = append(c.sets, name)
			}
		}
	}
	if d.SourceIDs == nil {
		if device && !slices.Contains(a.opts.Categories, d.Name) {
			add(comments)
		}
		return c
	}
	c.sources = map[string]bool{}
	for _, id := range d.SourceIDs {
		c.sources[id] = true
		for _, s := range a.sources {
			if s.ID == id {
				add(commentsPrefix + setName(s.Owner))
			}
		}
		for _, name := range a.deviceSources() {
			if sourceID(a.owner, name) == id {
				add(a.opts.Categories...)
			}
		}
	}
	return c
}

// dataset finds a dataset; those of the device are there without having been
// made. a.mu is held.
func (a *API) dataset(owner, name string) (*dataset, bool) {
	if d, ok := a.datasets[owner+"/"+name]; ok {
		return d, true
	}
	if owner != a.owner || !slices.Contains(a.opts.Categories, name) {
		return nil, false
	}
	return &dataset{a.freshDataset(owner, name, time.Time{})}, true
}

func (a *API) freshDataset(owner, name string, now time.Time) datasetDocument {
	return datasetDocument{ID: idOf("dataset", owner+"/"+name), Owner: owner, Name: name, OfDevice: owner == a.owner, CreatedAt: now, UpdatedAt: now}
}

// makeDataset finds a dataset or makes it; a.mu is held for writing.
func (a *API) makeDataset(owner, name string, now time.Time) (*dataset, error) {
	if d, ok := a.dataset(owner, name); ok {
		return d, nil
	}
	if !isOwner(owner) || !isName(name) {
		return nil, bad("%.80q is no name of a dataset: owner and name have letters, digits, - and _, the owner dots too", owner+"/"+name)
	}
	if len(a.datasets) >= maxOthers {
		return nil, bad("there are %d datasets, and no more can be made", maxOthers)
	}
	d := &dataset{a.freshDataset(owner, name, now)}
	if err := a.save(datasetSetting, d.ID, d.datasetDocument); err != nil {
		return nil, err
	}
	a.datasets[d.key()] = d
	return d, nil
}

// putDataset makes a dataset or changes it.
func (a *API) putDataset(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		Dataset struct {
			Title       *string  `json:"title"`
			Description *string  `json:"description"`
			SourceIDs   []string `json:"source_ids"`
		} `json:"dataset"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if err := checkTexts(body.Dataset.Title, body.Dataset.Description); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	d, err := a.makeDataset(args[0], args[1], now)
	if err != nil {
		return err
	}
	changed := d.datasetDocument
	changed.UpdatedAt = now
	if changed.CreatedAt.IsZero() {
		changed.CreatedAt = now
	}
	set(&changed.Title, body.Dataset.Title)
	set(&changed.Description, body.Dataset.Description)
	if body.Dataset.SourceIDs != nil {
		changed.SourceIDs = body.Dataset.SourceIDs
	}
	if len(changed.SourceIDs) > 128 {
		return bad("dataset.source_ids: more than 128")
	}
	if err := a.save(datasetSetting, changed.ID, changed); err != nil {
		return err
	}
	a.datasets[changed.key()] = &dataset{changed}
	if err := a.cover(r.Context(), changed.Owner, changed.Name); err != nil {
		return err
	}
	return ok(w, map[string]any{"dataset": a.viewDataset(&changed)})
}

// set takes over what was given.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

func (a *API) getDataset(w http.ResponseWriter, _ *http.Request, args []string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	d, found := a.dataset(args[0], args[1])
	if !found {
		return missing()
	}
	return ok(w, map[string]any{"dataset": a.viewDataset(&d.datasetDocument)})
}

func (a *API) listDatasets(w http.ResponseWriter, _ *http.Request, _ []string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := map[string]*dataset{}
	for _, name := range a.opts.Categories {
		all[a.owner+"/"+name], _ = a.dataset(a.owner, name)
	}
	maps.Copy(all, a.datasets)
	views := []map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		views = append(views, a.viewDataset(&all[key].datasetDocument))
	}
	return ok(w, map[string]any{"datasets": views})
}

// viewDataset is a dataset as clients want it; much of it means nothing here.
func (a *API) viewDataset(d *datasetDocument) map[string]any {
	ids := d.SourceIDs
	if ids == nil {
		ids = a.idsOfOwner(d.Owner)
	}
	return map[string]any{
		"id": d.ID, "owner": d.Owner, "name": d.Name, "title": d.Title, "description": d.Description, "source_ids": ids,
		"created": stamp(d.CreatedAt), "created_at": stamp(d.CreatedAt), "last_modified": stamp(d.UpdatedAt), "updated_at": stamp(d.UpdatedAt),
		"model_family": "random", "has_sentiment": false, "entity_defs": []any{}, "general_fields": []any{}, "label_defs": []any{},
		"label_groups": []any{}, "_dataset_flags": []any{}, "limited_access": false,
	}
}

// idsOfOwner are the ids of an owner's sources; a.mu is held.
func (a *API) idsOfOwner(owner string) []string {
	ids := []string{}
	if owner == a.owner {
		for _, name := range a.deviceSources() {
			ids = append(ids, sourceID(owner, name))
		}
	}
	for _, s := range a.sources {
		if s.Owner == owner && !slices.Contains(ids, s.ID) {
			ids = append(ids, s.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// deviceSources are the sources of the configuration.
func (a *API) deviceSources() []string {
	if a.opts.Sources == nil {
		return nil
	}
	return a.opts.Sources()
}
