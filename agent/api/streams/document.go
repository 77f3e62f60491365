package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Streams, datasets and sources are kept as settings of the spool, one document
// each, by these names and their ids.
const (
	streamSetting  = "streams/stream/"
	datasetSetting = "streams/dataset/"
	sourceSetting  = "streams/source/"

	// maxDocument is what a setting takes.
	maxDocument = 64 << 10
	// They are all in memory, and written anew once in a while.
	maxStreams = 256
	maxOthers  = 1024
)

// A streamDocument is what is kept of a stream beside its position.
type streamDocument struct {
	ID          string          `json:"id"`
	Owner       string          `json:"owner"`
	Dataset     string          `json:"dataset"`
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Filter      json.RawMessage `json:"comment_filter,omitempty"`
	Model       *model          `json:"model,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	// BeganMS is when it began in the time that records are created in, 0 if
	// the clock was not to be trusted; for a sequence_id before any record.
	BeganMS int64 `json:"began_ms,omitempty"`
	// Again is what it shows once more.
	Again againList `json:"again,omitzero"`
}

func (d *streamDocument) key() string { return d.Owner + "/" + d.Dataset + "/" + d.Name }

// A datasetDocument is what is kept of a dataset.
type datasetDocument struct {
	ID          string `json:"id"`
	Owner       string `json:"owner"`
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// SourceIDs are the sources that it is of; nil is all of the owner's.
	SourceIDs []string `json:"source_ids,omitempty"`
	// OfDevice: the owner was the device when it was made. The device may be
	// called otherwise later on.
	OfDevice  bool      `json:"of_device,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func (d *datasetDocument) key() string { return d.Owner + "/" + d.Name }

// A sourceDocument is what is kept of a source of comments.
type sourceDocument struct {
	ID              string    `json:"id"`
	Owner           string    `json:"owner"`
	Name            string    `json:"name"`
	Title           string    `json:"title,omitempty"`
	Description     string    `json:"description,omitempty"`
	Language        string    `json:"language,omitempty"`
	ShouldTranslate bool      `json:"should_translate,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
}

func (d *sourceDocument) key() string { return d.Owner + "/" + d.Name }

// save makes a document durable.
func (a *API) save(setting, id string, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("keep definition: %w", err)
	}
	if len(text) > maxDocument {
		return &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the definition takes %d bytes, more than %d; "+
			"shorten its description, filter or label thresholds", len(text), maxDocument)}
	}
	return a.spool.SetSetting(setting+id, text)
}

// load brings back the documents and opens the streams; streams of the spool
// that no document tells of are what a crash left of one that was made or
// deleted. A definition that cannot be read, for a later version wrote it, is
// left as it is, with its position.
func (a *API) load(ctx context.Context) error {
	_, err := eachDocument(a, sourceSetting, func(d sourceDocument) { a.sources[d.key()] = &source{d} })
	if err == nil {
		_, err = eachDocument(a, datasetSetting, func(d datasetDocument) { a.datasets[d.key()] = &dataset{d} })
	}
	var documents []streamDocument
	whole := true
	if err == nil {
		whole, err = eachDocument(a, streamSetting, func(d streamDocument) { documents = append(documents, d) })
	}
	if err != nil {
		return fmt.Errorf("load streams: %w", err)
	}
	there := a.cursorNames()
	wanted := map[string]bool{}
	for _, d := range documents {
		st, err := a.openStream(ctx, d, there)
		var unreadable *fault
		if errors.As(err, &unreadable) {
			whole = false
			continue
		}
		if err != nil {
			return fmt.Errorf("load stream %s: %w", d.key(), err)
		}
		a.streams[d.key()] = st
		for _, c := range st.cursors {
			wanted[c.Name()] = true
		}
	}
	for name := range there {
		if whole && !wanted[name] {
			_ = a.spool.RemoveStream(name) // a disk that takes no writes does not keep the agent from starting
		}
	}
	return nil
}

// eachDocument visits the documents below a setting. It tells whether all of
// them could be read.
func eachDocument[D any](a *API, setting string, visit func(D)) (whole bool, err error) {
	texts, err := a.spool.Settings(setting)
	whole = true
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		var d D
		if json.Unmarshal(texts[name], &d) != nil {
			whole = false
			continue
		}
		visit(d)
	}
	return whole, err
}

// cursorPrefix begins the names of our streams in the spool. A destination may
// be called api too, but its streams have one slash only.
const cursorPrefix = "api/"

// cursorNames are the spool's streams that are ours.
func (a *API) cursorNames() map[string]bool {
	names := map[string]bool{}
	for _, info := range a.spool.Streams() {
		if strings.HasPrefix(info.Name, cursorPrefix) && strings.Count(info.Name, "/") > 1 {
			names[info.Name] = true
		}
	}
	return names
}
