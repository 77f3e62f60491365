package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edgespool/edgespool/sampler"
)

// A Change is what PUT /api/sources/{name} asks for; fields that are absent
// stay as they are.
type Change struct {
	// Label of the samples from now on; an empty one goes back to what is
	// configured.
	Label *string `json:"label,omitempty"`
	// Category is one of Edge Impulse's, or split; an empty one goes back to
	// what is configured.
	Category *string `json:"category,omitempty"`
	// Enabled false pauses the source.
	Enabled *bool `json:"enabled,omitempty"`
	// For bounds the change, such as 60s; then the former label returns. 0s
	// ends a bounded change at once. Absent: for good, over restarts too.
	For *string `json:"for,omitempty"`
}

const (
	maxLabel = 256                 // bytes; Edge Impulse shows far fewer
	maxFor   = 31 * 24 * time.Hour // longer than this is "for good"
)

// Duration is how long the change holds; bounded is false for "for good".
func (c Change) Duration() (d time.Duration, bounded bool, err error) {
	if c.For == nil {
		return 0, false, nil
	}
	d, err = time.ParseDuration(*c.For)
	if err != nil || d < 0 || d > maxFor {
		return 0, false, fmt.Errorf("for: %q is not a length of time up to 744h, such as 60s", *c.For)
	}
	return d, true, nil
}

// check says what is wrong with the change.
func (c Change) check() error {
	_, bounded, err := c.Duration()
	switch {
	case err != nil:
		return err
	case c == Change{}:
		return errors.New("nothing to change: give label, category or enabled")
	case c.Label != nil && !isLabel(*c.Label):
		return fmt.Errorf("label: at most %d bytes of text without control characters", maxLabel)
	case c.Category != nil && *c.Category != "" && *c.Category != sampler.CategorySplit && !sampler.IsCategory(*c.Category):
		return fmt.Errorf("category: %q is not one of %s, %s", *c.Category, strings.Join(sampler.Categories, ", "), sampler.CategorySplit)
	case bounded && c.Enabled != nil:
		return errors.New("enabled cannot be changed for a time; leave out for")
	}
	return nil
}

func isLabel(text string) bool {
	return len(text) <= maxLabel && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// label changes how a source labels and answers with its new status.
func (s *Server) label(w http.ResponseWriter, r *http.Request) {
	var c Change
	if !readJSON(w, r, &c) {
		return
	}
	name := r.PathValue("name")
	err := c.check()
	if err == nil {
		err = s.agent.Label(r.Context(), name, c)
	}
	switch {
	case errors.Is(err, ErrUnknownSource):
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no source %q", name))
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	sources := s.agent.Status().Sources
	if i := slices.IndexFunc(sources, func(src SourceStatus) bool { return src.Name == name }); i >= 0 {
		answer(w, http.StatusOK, sources[i])
	}
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.agent.Status())
}

// healthy answers 200 as long as the process is of use, and 503 once only a
// new start can help.
func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) {
	if err := s.agent.Healthy(); err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready tells whether samples can be taken.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.agent.Ready(); err != nil {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}
