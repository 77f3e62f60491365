package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// maxRules bounds the rules of a namespace.
const maxRules = 256

// A rule is one of the settings' rules: a numeric field and the bounds beyond
// which the object gets a label, an action and a score. A dot in field leads
// into an object inside.
type rule struct {
	Field string   `json:"field"`
	Above *float64 `json:"above"`
	Below *float64 `json:"below"`
	// Label is the field's name if it is empty.
	Label  string `json:"label"`
	Action string `json:"action"`
	// Score is the risk that breaking the rule stands for, 0 to 1; 1 if it
	// is not given.
	Score       *float64 `json:"score"`
	Explanation string   `json:"explanation"`
}

// parseRules reads the rules of a namespace's settings; members beside them
// are the client's own. A rule with a member that means nothing is refused,
// or a slip of the pen would switch it off.
func parseRules(settings json.RawMessage) ([]rule, error) {
	if settings == nil {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(settings, &members); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	text, given := members["rules"]
	if !given {
		return nil, nil
	}
	var rules []rule
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&rules); err != nil {
		return nil, fmt.Errorf("read settings.rules: %w", err)
	}
	if len(rules) > maxRules {
		return nil, fmt.Errorf("read settings.rules: %d are more than %d", len(rules), maxRules)
	}
	for i := range rules {
		if err := rules[i].check(); err != nil {
			return nil, fmt.Errorf("read settings.rules: rule %d: %w", i, err)
		}
	}
	return rules, nil
}

func (r *rule) check() error {
	switch {
	case r.Field == "":
		return errors.New("it names no field")
	case r.Above == nil && r.Below == nil:
		return errors.New("it has no bound; give above, below or both")
	case r.Score != nil && (*r.Score < 0 || *r.Score > 1):
		return fmt.Errorf("its score is %v; use 0 to 1", *r.Score)
	}
	if r.Label == "" {
		r.Label = r.Field
	}
	return nil
}

// rulesJudge judges by the rules of the namespace's settings.
type rulesJudge struct{ settings *settingsStore }

// Judge holds every rule against the object. The risk score is the highest of
// the rules that are broken, or the object's own anomaly_score if that is
// higher.
func (j rulesJudge) Judge(_ context.Context, ns string, text json.RawMessage) (Output, error) {
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return Output{}, fmt.Errorf("read object: %w", err)
	}
	out := Output{Actions: []string{}, Labels: []Label{}, Fields: map[string]any{}}
	score := 0.0
	if own, ok := members["anomaly_score"].(float64); ok && own >= 0 && own <= 1 {
		score = own
	}
	for _, r := range j.settings.of(ns).rules {
		value, ok := lookUp(members, r.Field)
		if !ok || !r.broken(value) {
			continue
		}
		risk := 1.0
		if r.Score != nil {
			risk = *r.Score
		}
		score = max(score, risk)
		out.Labels = append(out.Labels, Label{Label: r.Label, Explanation: r.explain(value), Confidence: word(risk)})
		if r.Action != "" && !slices.Contains(out.Actions, r.Action) {
			out.Actions = append(out.Actions, r.Action)
		}
	}
	out.Fields[riskScore] = score
	return out, nil
}

func (r *rule) broken(v float64) bool {
	return r.Above != nil && v > *r.Above || r.Below != nil && v < *r.Below
}

func (r *rule) explain(v float64) string {
	switch {
	case r.Explanation != "":
		return r.Explanation
	case r.Above != nil && v > *r.Above:
		return fmt.Sprintf("%s is %v, above %v", r.Field, v, *r.Above)
	}
	return fmt.Sprintf("%s is %v, below %v", r.Field, v, *r.Below)
}

// lookUp finds a number by its name, or by a path of names.
func lookUp(members map[string]any, field string) (float64, bool) {
	if v, ok := members[field]; ok {
		n, ok := v.(float64)
		return n, ok
	}
	for i := range len(field) {
		if field[i] != '.' {
			continue
		}
		if inside, ok := members[field[:i]].(map[string]any); ok {
			if v, ok := lookUp(inside, field[i+1:]); ok {
				return v, true
			}
		}
	}
	return 0, false
}

// word is the confidence that goes with a risk.
func word(risk float64) string {
	switch {
	case risk >= 0.7:
		return "high"
	case risk >= 0.375:
		return "medium"
	}
	return "low"
}
