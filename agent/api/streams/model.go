package streams

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

// The bounds of label thresholds, by the vendor's definitions.
const (
	maxThresholds = 4096
	maxLabelParts = 64
)

// A labelName is a label with a part for each level of its hierarchy.
type labelName []string

// String writes a label as people do: Parent > Child.
func (n labelName) String() string { return strings.Join(n, " > ") }

// parseLabel takes a label apart.
func parseLabel(text string) labelName { return strings.Split(text, " > ") }

// UnmarshalJSON reads a list of parts, or all of them in one text.
func (n *labelName) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil && !isNull(text) {
		*n = parseLabel(one)
		return nil
	}
	var parts []string
	if err := json.Unmarshal(text, &parts); err != nil || parts == nil {
		return bad("%.40s is no label: write [\"Parent\", \"Child\"]", text)
	}
	*n = parts
	return nil
}

// A model is the pinned model of a stream: which version's predictions it
// shows, and how sure they must be.
type model struct {
	Version int64 `json:"version"`
	// Thresholds, if there are any, are all the labels that are shown. Clients
	// want the list even if it is empty.
	Thresholds []threshold `json:"label_thresholds"`
}

// A threshold shows a label whose probability is above it.
type threshold struct {
	Name      labelName `json:"name"`
	Threshold float64   `json:"threshold"`
}

func parseModel(text json.RawMessage) (*model, error) {
	var given struct {
		Version    *int64 `json:"version"`
		Thresholds []struct {
			Name      labelName `json:"name"`
			Threshold *float64  `json:"threshold"`
		} `json:"label_thresholds"`
	}
	if err := decode("model", text, &given, false); err != nil {
		return nil, err
	}
	if given.Version == nil || *given.Version < 0 {
		return nil, bad("model.version: it needs a whole number from 0 on")
	}
	if len(given.Thresholds) > maxThresholds {
		return nil, bad("model.label_thresholds: more than %d", maxThresholds)
	}
	m := &model{Version: *given.Version, Thresholds: []threshold{}}
	for i, t := range given.Thresholds {
		tooLong := func(part string) bool { return part == "" || len([]rune(part)) > maxLabelParts }
		switch {
		case len(t.Name) == 0 || len(t.Name) > maxLabelParts || slices.ContainsFunc(t.Name, tooLong):
			return nil, bad("model.label_thresholds[%d].name: it needs 1 to %d parts of 1 to %d characters", i, maxLabelParts, maxLabelParts)
		case t.Threshold == nil || *t.Threshold < 0 || *t.Threshold > 1:
			return nil, bad("model.label_thresholds[%d].threshold: it needs a number from 0 to 1", i)
		}
		m.Thresholds = append(m.Thresholds, threshold{t.Name, *t.Threshold})
	}
	return m, nil
}

// A prediction is a label that something thinks a record shows.
type prediction struct {
	Name        labelName `json:"name"`
	Probability float64   `json:"probability"`
}

// Metadata of a record that a detector judged.
const (
	keyAnomaly        = "anomaly_score"
	keyPrediction     = "prediction"
	keyPredictionSure = "prediction_score"
	keyModelVersion   = "model_version"
)

// anomalyLabel is the label of a record's anomaly score.
const anomalyLabel = "Anomaly"

// predictions are what a record's metadata says of it, and by which version of
// a model; -1 if that is not told by a number.
func predictions(r *spool.Record) (found []prediction, version int64) {
	score := func(key string) (float64, bool) {
		p, ok := asNumber(r.Metadata[key])
		return p, ok && p >= 0 && p <= 1
	}
	if p, ok := score(keyAnomaly); ok {
		found = append(found, prediction{labelName{anomalyLabel}, p})
	}
	if p, ok := score(keyPredictionSure); ok && r.Metadata[keyPrediction] != "" {
		found = append(found, prediction{parseLabel(r.Metadata[keyPrediction]), p})
	}
	version, err := strconv.ParseInt(r.Metadata[keyModelVersion], 10, 64)
	if err != nil {
		version = -1
	}
	return found, version
}

// of picks the predictions of the pinned version: none without a pinned model,
// for that is what such a stream is. Version 0, and records that do not tell a
// number, stand for any.
func (m *model) of(found []prediction, version int64) []prediction {
	if m == nil || m.Version != 0 && version >= 0 && version != m.Version {
		return nil
	}
	return found
}

// passes tells whether a prediction is above its threshold; without any
// thresholds all are.
func (m *model) passes(p prediction) bool {
	if len(m.Thresholds) == 0 {
		return true
	}
	return slices.ContainsFunc(m.Thresholds, func(t threshold) bool {
		return slices.Equal(t.Name, p.Name) && p.Probability > t.Threshold
	})
}

// labels are the predictions that a stream shows.
func (m *model) labels(c *comment) []prediction {
	shown := []prediction{}
	for _, p := range m.of(c.predictions, c.version) {
		if m.passes(p) {
			shown = append(shown, p)
		}
	}
	return shown
}
