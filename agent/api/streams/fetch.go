package streams

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// fetch answers with the comments from the stream's position on. It moves
// nothing: the same ones come again until advance.
func (a *API) fetch(w http.ResponseWriter, r *http.Request, args []string) error {
	var body struct {
		Size        *json.Number `json:"size"`
		MaxFiltered *json.Number `json:"max_filtered"`
	}
	st, err := a.find(args)
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	if body.Size == nil {
		return bad("size: it is missing; give a whole number from 1 to %d", maxSize)
	}
	var limit batchLimit
	if limit.size, err = bounded("size", body.Size, 1); err == nil {
		limit.maxFiltered, err = bounded("max_filtered", body.MaxFiltered, 0)
	}
	if err != nil {
		return err
	}
	b, err := a.fill(r.Context(), st, limit)
	if err != nil {
		return err
	}
	results := make([]map[string]any, 0, len(b.found))
	for _, f := range b.found {
		results = append(results, map[string]any{
			"comment": f.members, "sequence_id": token(f.at, a.spool.LogID()), "labels": st.Model.labels(f.comment), "entities": []any{},
		})
	}
	return ok(w, map[string]any{
		"results": results, "filtered": b.filtered, "sequence_id": token(b.last, a.spool.LogID()), "is_end_sequence": b.end,
	})
}

// bounded reads a number of comments; an absent one is 0.
func bounded(name string, given *json.Number, least int) (int, error) {
	if given == nil {
		return 0, nil
	}
	n, err := strconv.ParseFloat(given.String(), 64)
	if err != nil || n != float64(int(n)) || n < float64(least) || n > maxSize {
		return 0, bad("%s: %.20s is no whole number from %d to %d", name, given, least, maxSize)
	}
	return int(n), nil
}

// results is fetch as the newer clients ask for it: with a query, and with
// every prediction, those above their threshold marked.
func (a *API) results(w http.ResponseWriter, r *http.Request, args []string) error {
	st, err := a.find(args)
	if err != nil {
		return err
	}
	var limit batchLimit
	if limit.size, err = queried(r.URL.Query(), "max_results", 1, usualResults); err == nil {
		limit.maxFiltered, err = queried(r.URL.Query(), "max_filtered", 0, 0)
	}
	if err != nil {
		return err
	}
	b, err := a.fill(r.Context(), st, limit)
	if err != nil {
		return err
	}
	results := make([]map[string]any, 0, len(b.found))
	for _, f := range b.found {
		results = append(results, map[string]any{
			"comment": f.members, "continuation": token(f.at, a.spool.LogID()), "prediction": st.Model.occurrences(f.comment),
		})
	}
	return ok(w, map[string]any{
		"results": results, "num_filtered": b.filtered, "more_results": !b.end, "continuation": token(b.last, a.spool.LogID()),
	})
}

// usualResults is what max_results is when it is not given.
const usualResults = 16

func queried(q url.Values, name string, least, usual int) (int, error) {
	if !q.Has(name) {
		return usual, nil
	}
	n := json.Number(q.Get(name))
	return bounded(name, &n, least)
}

// occurrences are predictions as the newer form has them.
func (m *model) occurrences(c *comment) map[string]any {
	labels := []any{}
	for _, p := range m.of(c.predictions, c.version) {
		above := []string{}
		if m.passes(p) {
			above = append(above, "stream")
		}
		labels = append(labels, map[string]any{
			"name": p.Name.String(), "fields": []any{}, "occurrence_confidence": map[string]any{"value": p.Probability, "thresholds": above},
		})
	}
	return map[string]any{"labels": labels}
}
