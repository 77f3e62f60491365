package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/edgespool/edgespool/spool"
)

// maxSettings bounds a namespace's settings, which the spool keeps as one
// value of at most 64 KiB.
const maxSettings = 48 << 10

// A settingsRow is a namespace's settings as the spool keeps them.
type settingsRow struct {
	Schema   json.RawMessage `json:"schema"`
	Settings json.RawMessage `json:"settings"`
	Version  int             `json:"version"`
}

// namespaceSettings are the row and what follows from it.
type namespaceSettings struct {
	row   settingsRow
	rules []rule
}

// A settingsStore keeps the settings of namespaces.
type settingsStore struct {
	spool *spool.Spool

	mu    sync.Mutex
	known map[string]*namespaceSettings
}

func newSettingsStore(s *spool.Spool) *settingsStore {
	return &settingsStore{spool: s, known: map[string]*namespaceSettings{}}
}

// errVersion: the settings have changed since the client saw them.
var errVersion = errors.New("previous_version is not the present one; get the settings and decide again")

// of returns a namespace's settings; version 0 means that there are none.
func (st *settingsStore) of(ns string) *namespaceSettings {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.load(ns)
}

// load is of with st.mu held.
func (st *settingsStore) load(ns string) *namespaceSettings {
	if s := st.known[ns]; s != nil {
		return s
	}
	s := &namespaceSettings{}
	if text, ok := st.spool.Setting("data/settings/" + ns); ok && json.Unmarshal(text, &s.row) == nil {
		s.rules, _ = parseRules(s.row.Settings) // they were good when they came
	}
	if s.row.Version > 0 { // else strangers' names would fill the memory
		st.known[ns] = s
	}
	return s
}

// begin sets the schema of a namespace that has no settings yet.
func (st *settingsStore) begin(ns string, schema json.RawMessage) error {
	if st.of(ns).row.Version > 0 {
		return nil
	}
	zero := 0
	_, err := st.put(ns, schema, nil, &zero)
	if errors.Is(err, errVersion) { // somebody was faster
		return nil
	}
	return err
}

// put makes new settings durable and returns their version. Without settings
// the former ones stay, and so does the schema.
func (st *settingsStore) put(ns string, schema, settings json.RawMessage, previous *int) (int, error) {
	rules, err := parseRules(settings)
	if err != nil {
		return 0, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	old := st.load(ns)
	if previous != nil && *previous != old.row.Version {
		return 0, errVersion
	}
	next := &namespaceSettings{row: settingsRow{Schema: schema, Settings: settings, Version: old.row.Version + 1}, rules: rules}
	if schema == nil {
		next.row.Schema = old.row.Schema
	}
	if settings == nil {
		next.row.Settings, next.rules = old.row.Settings, old.rules
	}
	text, err := json.Marshal(next.row)
	if err == nil {
		err = st.spool.SetSetting("data/settings/"+ns, text)
	}
	if err != nil {
		return 0, fmt.Errorf("keep settings: %w", err)
	}
	st.known[ns] = next
	return next.row.Version, nil
}

// putSettings replaces a namespace's schema, its settings, or both.
func (s *Service) putSettings(w http.ResponseWriter, r *http.Request, c call) {
	if !acceptable(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSettings))
	if err != nil {
		refuseFor(w, err)
		return
	}
	var wish struct {
		Schema   json.RawMessage `json:"schema"`
		Settings json.RawMessage `json:"settings"`
		Previous *int            `json:"previous_version"`
	}
	err = json.Unmarshal(body, &wish)
	if err == nil {
		err = checkWish(wish.Schema, wish.Settings)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "read body: "+err.Error())
		return
	}
	if _, err := s.openNamespace(c.namespace); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	version, err := s.settings.put(c.namespace, wish.Schema, wish.Settings, wish.Previous)
	switch {
	case errors.Is(err, errVersion):
		refuse(w, http.StatusConflict, err.Error())
	case err != nil:
		refuseFor(w, err)
	default:
		answer(w, http.StatusOK, struct {
			Namespace string `json:"namespace"`
			Status    string `json:"status"`
			Version   int    `json:"version"`
		}{c.namespace, "updated", version})
	}
}

// checkWish tells what is wrong with new settings.
func checkWish(schema, settings json.RawMessage) error {
	if schema == nil && settings == nil {
		return errors.New(`nothing to change; send "schema", "settings" or both`)
	}
	if schema != nil {
		if _, err := parseSchema(schema); err != nil {
			return err
		}
	}
	_, err := parseRules(settings)
	return err
}

// getSettings shows a namespace's settings.
func (s *Service) getSettings(w http.ResponseWriter, _ *http.Request, c call) {
	if s.findNamespace(c.namespace) == nil {
		refuse(w, http.StatusNotFound, "there is no such namespace; the first object or setting makes it")
		return
	}
	row := s.settings.of(c.namespace).row
	for _, part := range []*json.RawMessage{&row.Schema, &row.Settings} {
		if *part == nil {
			*part = json.RawMessage("{}")
		}
	}
	answer(w, http.StatusOK, struct {
		Namespace string `json:"namespace"`
		settingsRow
	}{c.namespace, row})
}

// A fieldSchema is what a schema says of one field, as far as we look at it;
// members that are not here are kept as they are.
type fieldSchema struct {
	ContentType *string `json:"content_type"`
	Hint        *struct {
		Type *string `json:"type"`
	} `json:"display_hint"`
	Limit *float64 `json:"field_limit"`
}

var contentTypes = []string{"image_url", "video_url", "website_url", "audio_url", "datetime", "metadata", "card"}

var displayHints = []string{
	"title", "subtitle", "description", "primary_image_url", "video_url", "location", "compact_text", "markdown", "html", "date",
	"audio_url", "card", "chat_thread", "two_person_chat", "email.reply_to", "email.replyTo", "email.body", "email.subject",
	"email.body_image", "email.logo_image", "email.event", "email.footer",
}

// parseSchema checks a schema: a map from fields to what they hold.
func parseSchema(text json.RawMessage) (map[string]fieldSchema, error) {
	var schema map[string]fieldSchema
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		f := schema[name]
		switch {
		case f.ContentType != nil && !slices.Contains(contentTypes, *f.ContentType):
			return nil, fmt.Errorf("read schema: field %q: content_type %q is none of %s", name, *f.ContentType, strings.Join(contentTypes, ", "))
		case f.Hint != nil && f.Hint.Type != nil && !slices.Contains(displayHints, *f.Hint.Type):
			return nil, fmt.Errorf("read schema: field %q: display_hint.type %q is none of %s", name, *f.Hint.Type, strings.Join(displayHints, ", "))
		case f.Limit != nil && *f.Limit <= 0:
			return nil, fmt.Errorf("read schema: field %q: field_limit is %v; use a number above 0", name, *f.Limit)
		}
	}
	return schema, nil
}
