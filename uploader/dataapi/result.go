package dataapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

// A result is what the service says of one object.
type result struct {
	ID     string  `json:"id"`
	Output *output `json:"output"`
	URL    string  `json:"url"`
}

// An output is the service's opinion. Samples of the documentation have words
// as actions, its types allow anything.
type output struct {
	Actions []json.RawMessage          `json:"actions"`
	Labels  []label                    `json:"labels"`
	Fields  map[string]json.RawMessage `json:"fields"`
}

type label struct {
	Label       string          `json:"label"`
	Explanation string          `json:"explanation"`
	Confidence  json.RawMessage `json:"confidence"`
}

// A status is what the service says of a request. Results may lie in data, or
// in a file at data_url.
type status struct {
	Status  string
	Summary string
	DataURL string
	inline  bool
}

// readStatus reads an answer and calls take for each result in it, without
// holding more than one.
func readStatus(r io.Reader, take func(result) error) (s status, err error) {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return s, errors.Join(errors.New("read status: the answer is not a JSON object"), err)
	}
	for d.More() {
		member, err := d.Token()
		if err != nil {
			return s, fmt.Errorf("read status: %w", err)
		}
		switch member {
		case "status":
			err = decodeText(d, &s.Status)
		case "error_summary":
			err = decodeText(d, &s.Summary)
		case "data_url":
			err = decodeText(d, &s.DataURL)
		case "data":
			s.inline = true
			err = readArray(d, take)
		default:
			var skipped json.RawMessage
			err = d.Decode(&skipped)
		}
		if err != nil {
			return s, fmt.Errorf("read status: %w", err)
		}
	}
	if _, err := d.Token(); err != nil {
		return s, fmt.Errorf("read status: %w", err)
	}
	return s, nil
}

// decodeText reads a text; null and other kinds count as empty.
func decodeText(d *json.Decoder, into *string) error {
	var v any
	err := d.Decode(&v)
	*into, _ = v.(string)
	return err
}

// readArray calls take for each element; what is no result is passed over.
func readArray(d *json.Decoder, take func(result) error) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return errors.New("data is not an array")
	}
	for d.More() {
		if err := readOne(d, take); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// readLines calls take for each line of a file of results.
func readLines(r io.Reader, take func(result) error) error {
	d := json.NewDecoder(r)
	for {
		err := readOne(d, take)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read results: %w", err)
		}
	}
}

// readOne reads one result. A value of other types than expected is passed
// over; text that is no JSON is an error.
func readOne(d *json.Decoder, take func(result) error) error {
	var res result
	err := d.Decode(&res)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && res.ID == "" {
		return nil
	}
	if err != nil && !errors.As(err, &kind) {
		return err
	}
	return take(res)
}

// confidence gives the service's words probabilities, for want of better ones.
func confidence(raw json.RawMessage) float64 {
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch strings.ToLower(word) {
		case "low":
			return 0.25
		case "medium":
			return 0.5
		case "high":
			return 0.9
		}
		return 0.5
	}
	var v float64
	if json.Unmarshal(raw, &v) == nil && v >= 0 && v <= 1 {
		return v
	}
	return 0.5
}

// Bounds of what is kept of a result.
const (
	maxLabels  = 64
	maxReasons = 64
	maxReason  = 1 << 10
)

// detection is a result in the house's words.
func (d *Destination) detection(res result, request string, rec *spool.Record) spool.Detection {
	found := spool.Detection{
		Sequence: rec.Sequence, Dataset: rec.Dataset, Name: rec.Name, ContentType: rec.ContentType, Source: rec.Source,
		Size: rec.Size, SHA256: rec.SHA256, Model: "data-api/" + d.config.Namespace,
		Tags: map[string]string{"namespace": d.config.Namespace, "id": res.ID, "request": request},
	}
	if res.Output == nil {
		return found
	}
	found.Score = risk(res.Output.Fields["risk_score"])
	best := 0.0
	for _, l := range res.Output.Labels[:min(len(res.Output.Labels), maxLabels)] {
		p := confidence(l.Confidence)
		found.Labels = append(found.Labels, spool.PredictedLabel{Name: append([]string{"sk"}, strings.Split(l.Label, ".")...), Probability: p})
		if p > best {
			best, found.Classification = p, l.Label
		}
		if l.Explanation != "" {
			found.Reasons = append(found.Reasons, cut(l.Explanation))
		}
	}
	for _, a := range res.Output.Actions[:min(len(res.Output.Actions), maxReasons)] {
		var word string
		if json.Unmarshal(a, &word) != nil {
			word = string(a)
		}
		found.Reasons = append(found.Reasons, "action: "+cut(word))
	}
	return found
}

func cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}

// risk is a score from 0 to 1; one beyond that counts as a percentage.
func risk(raw json.RawMessage) float64 {
	var v float64
	if json.Unmarshal(raw, &v) != nil || v < 0 {
		return 0
	}
	if v > 1 {
		v /= 100
	}
	return min(v, 1)
}
