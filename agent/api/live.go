package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// stillThere is how often a live view says so when there is nothing to show.
const stillThere = 15 * time.Second

// A Glimpse is one thing that a live view of a source shows: a reading or a
// sample.
type Glimpse struct {
	// Sensors and Values are a reading's.
	Sensors []string `json:"sensors,omitempty"`
	Values  []Value  `json:"values,omitempty"`
	// Sample is one that was handed to the spool.
	Sample *SampleGlimpse `json:"sample,omitempty"`
}

// Value is one number of a reading. Those that a sample keeps as float32 are
// written as they were meant, 0.997 and not 0.996999979019165.
type Value float64

// MarshalJSON writes the shortest decimal; an error for NaN and Inf.
func (v Value) MarshalJSON() ([]byte, error) {
	if float64(float32(v)) == float64(v) {
		return json.Marshal(float32(v))
	}
	return json.Marshal(float64(v))
}

// SampleGlimpse is what can be told of a sample in one line.
type SampleGlimpse struct {
	Sequence  uint64 `json:"sequence"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	Label     string `json:"label"`
	Category  string `json:"category"`
	Size      int64  `json:"size"`
	LengthMS  int64  `json:"length_ms,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

func glimpse(s sampler.Sight) Glimpse {
	g := Glimpse{Sensors: s.Sensors}
	for _, v := range s.Values {
		g.Values = append(g.Values, Value(v))
	}
	if s.Sample != nil {
		g.Sample = sampleGlimpse(s.Sample, s.Result)
	}
	return g
}

func sampleGlimpse(r *spool.Record, result spool.Result) *SampleGlimpse {
	return &SampleGlimpse{Sequence: result.Sequence, ID: r.ID(), Name: r.Name, Label: r.Label.Text, Category: r.Dataset,
		Size: r.Size, LengthMS: r.Length.Milliseconds(), Duplicate: result.Duplicate}
}

// live shows a source's readings and samples as they come, as server-sent
// events: "reading" and "sample", each with a Glimpse in JSON.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	tap, ok := s.agent.Tap(r.PathValue("name"))
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no source %q", r.PathValue("name")))
		return
	}
	sights, stop, ok := tap.Watch()
	if !ok {
		w.Header().Set("Retry-After", "10")
		refuse(w, http.StatusServiceUnavailable, "too many are looking at this source already")
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	view := http.NewResponseController(w)
	limit(w, time.Time{}) // each piece has a limit of its own
	if !push(w, view, ": looking\n\n") {
		return
	}
	tick := time.NewTicker(stillThere)
	defer tick.Stop()
	for open := true; open; {
		select {
		case sight := <-sights:
			open = push(w, view, frame(sight))
		case <-tick.C:
			open = push(w, view, ": still there\n\n")
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		}
	}
}

// push writes one piece and sends it off; false when nobody is there.
func push(w http.ResponseWriter, view *http.ResponseController, piece string) bool {
	_ = view.SetWriteDeadline(time.Now().Add(answerTime))
	_, err := w.Write([]byte(piece))
	return err == nil && view.Flush() == nil
}

func frame(s sampler.Sight) string {
	kind := "reading"
	if s.Sample != nil {
		kind = "sample"
	}
	data, err := json.Marshal(glimpse(s))
	if err != nil { // a value that JSON has no word for
		return ": not shown\n\n"
	}
	return "event: " + kind + "\ndata: " + string(data) + "\n\n"
}
