package detect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// facts are what a model says of itself when it is greeted. The names of the
// fields are those of eim.cpp, which sends them, and of
// RunnerHelloResponseModelParameters in the vendor's Linux command line.
type facts struct {
	name, version string
	features      int
	axes          int // 0 if it does not say
	frequency     float64
	labels        []string
	limit         float64 // of its anomaly score; 0 if it names none
}

// anomalyAt is the anomaly score at which there is one.
func (f *facts) anomalyAt(c *ModelConfig) float64 { return cmp.Or(c.AnomalyAt, f.limit, 0.3) }

// maxFeatures fits into the request that a model takes, 10 MiB.
const maxFeatures = 400_000

// answerID is the number of the request that an answer belongs to.
func answerID(answer []byte) (id int64, ok bool) {
	var a struct {
		ID *int64 `json:"id"`
	}
	if json.Unmarshal(answer, &a) != nil || a.ID == nil {
		return 0, false
	}
	return *a.ID, true
}

// refusal is what a model says instead of an answer.
type refusal struct {
	Success *bool  `json:"success"`
	Error   string `json:"error"`
}

func (r refusal) err() error {
	switch {
	case r.Error != "":
		return fmt.Errorf("read answer: model reports %q", shortened(r.Error))
	case r.Success == nil || !*r.Success:
		return errors.New("read answer: model reports no success, and no reason")
	}
	return nil
}

func noJSON(answer []byte, err error) error {
	return fmt.Errorf("read answer: %q is not what a model says: %w", shortened(string(answer)), err)
}

// parseHello reads the answer to a greeting.
func parseHello(answer []byte) (f facts, err error) {
	var a struct {
		refusal
		Parameters struct {
			Features   int      `json:"input_features_count"`
			Axes       int      `json:"axis_count"`
			Frequency  float64  `json:"frequency"`
			Labels     []string `json:"labels"`
			ModelType  string   `json:"model_type"`
			Width      int      `json:"image_input_width"`
			Thresholds []struct {
				Limit float64 `json:"min_anomaly_score"`
			} `json:"thresholds"`
		} `json:"model_parameters"`
		Project struct {
			ID      int64  `json:"id"`
			Owner   string `json:"owner"`
			Name    string `json:"name"`
			Version int64  `json:"deploy_version"`
		} `json:"project"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return f, noJSON(answer, err)
	}
	if err := a.err(); err != nil {
		return f, err
	}
	p := a.Parameters
	switch {
	case p.Features < 1 || p.Features > maxFeatures:
		return f, fmt.Errorf("read answer: a model of %d features cannot be asked", p.Features)
	case p.Axes < 0 || p.Axes > 0 && p.Features%p.Axes != 0:
		return f, fmt.Errorf("read answer: %d features are not readings of %d axes", p.Features, p.Axes)
	case p.Width > 0 || strings.Contains(p.ModelType, "object_detection"):
		return f, errors.New("read answer: the model looks at images; take one for readings")
	case len(p.Labels) > maxLabels:
		return f, fmt.Errorf("read answer: the model has %d labels, at most %d are taken", len(p.Labels), maxLabels)
	}
	f = facts{features: p.Features, axes: p.Axes, frequency: p.Frequency, labels: p.Labels, version: strconv.FormatInt(a.Project.Version, 10)}
	for _, t := range p.Thresholds {
		f.limit = max(f.limit, t.Limit)
	}
	if f.name = shortened(strings.Trim(a.Project.Owner+"/"+a.Project.Name, "/")); f.name == "" {
		f.name = "model"
	}
	return f, nil
}

// classified is what a model says of one piece.
type classified struct {
	labels  map[string]float64
	anomaly *float64 // nil if it does not look for one
}

// parseClassified reads the answer to readings. What is no number in the
// model comes as null.
func parseClassified(answer []byte) (c classified, err error) {
	var a struct {
		refusal
		Result *struct {
			Labels  map[string]*float64 `json:"classification"`
			Anomaly *float64            `json:"anomaly"`
		} `json:"result"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return c, noJSON(answer, err)
	}
	if err := a.err(); err != nil {
		return c, err
	}
	if a.Result == nil {
		return c, errors.New("read answer: it has no result")
	}
	c.anomaly, c.labels = a.Result.Anomaly, make(map[string]float64, len(a.Result.Labels))
	for label, p := range a.Result.Labels {
		if p != nil {
			c.labels[label] = *p
		}
	}
	if len(c.labels) == 0 && c.anomaly == nil {
		return c, errors.New("read answer: it has neither labels nor an anomaly score")
	}
	_, err = rank(c.labels)
	return c, err
}
