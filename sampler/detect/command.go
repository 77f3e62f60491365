package detect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A command is any program that reads one line of JSON for each window and
// answers with one.
type command struct {
	config  *CommandConfig
	process process
	id      uint64
	line    []byte
}

func newCommand(c *CommandConfig) *command {
	d := &command{config: c}
	d.process = process{start: d.start, first: firstPause}
	return d
}

func (d *command) start(context.Context) (*child, error) {
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	defer theirIn.Close()
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		_ = ourOut.Close()
		return nil, fmt.Errorf("start program: %w", err)
	}
	defer theirOut.Close()
	pipes := pipes{File: ourIn, out: ourOut}
	c, err := launch(d.config.Command, theirIn, theirOut)
	if err != nil {
		_ = pipes.Close()
		return nil, err
	}
	c.attach(pipes)
	return c, nil
}

// pipes are a child's standard input and output as one link.
type pipes struct {
	*os.File // its output
	out      *os.File
}

// Write writes to the child's input.
func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }

// SetDeadline bounds both ways.
func (p pipes) SetDeadline(t time.Time) error {
	return errors.Join(p.File.SetDeadline(t), p.out.SetDeadline(t))
}

// Close closes both.
func (p pipes) Close() error { return errors.Join(p.out.Close(), p.File.Close()) }

func (d *command) close() { d.process.close() }

func (d *command) judge(ctx context.Context, c sampler.Case) (o opinion, err error) {
	child, err := d.process.get(ctx)
	if err != nil {
		return o, err
	}
	defer func() {
		if err != nil {
			d.process.fail(ctx, err)
		}
	}()
	if !child.quiet() {
		return o, errUnasked
	}
	d.id++
	d.line = appendCase(d.line[:0], d.id, c)
	answer, err := child.ask(ctx, d.line, '\n', child.patience(d.config.Timeout), func(answer []byte) bool { return answers(answer, d.id) })
	if err != nil {
		return o, err
	}
	if o, err = parseOpinion(answer); err != nil {
		return o, err
	}
	child.warm = true
	d.process.succeed()
	if o.name == "" {
		o.name = filepath.Base(d.config.Command[0])
	}
	return o, nil
}

// answers tells whether a line is the answer to a request, which it is unless
// it names another one. A line that is no JSON is left to the parser.
func answers(line []byte, id uint64) bool {
	var a struct {
		ID *uint64 `json:"id"`
	}
	return json.Unmarshal(line, &a) != nil || a.ID == nil || *a.ID == id
}

// appendCase writes a window as one line of JSON.
func appendCase(b []byte, id uint64, c sampler.Case) []byte {
	b = strconv.AppendUint(append(b, `{"id":`...), id, 10)
	b = appendText(append(b, `,"source":`...), c.Source)
	b = appendText(append(b, `,"device":`...), c.Device.Name)
	b = appendText(append(b, `,"label":`...), c.Label)
	b = appendNumber(append(b, `,"frequency":`...), c.Hz, 64)
	b = append(b, `,"sensors":[`...)
	for i, s := range c.Sensors {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"name":`...), s.Name)
		b = append(appendText(append(b, `,"units":`...), s.Units), '}')
	}
	b = append(b, `],"values":[`...)
	for i, v := range c.Values {
		switch {
		case i%len(c.Sensors) > 0:
			b = append(b, ',')
		case i > 0:
			b = append(b, "],["...)
		default:
			b = append(b, '[')
		}
		b = appendNumber(b, v, 64)
	}
	return append(b, "]]}\n"...)
}

func appendText(b []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // text always has a form
	return append(b, quoted...)
}

func appendNumber(b []byte, v float64, bits int) []byte {
	return strconv.AppendFloat(b, v, 'g', -1, bits)
}

const (
	maxLabels  = 256
	maxReasons = 16
	maxText    = 256 // bytes of a label or reason
)

// parseOpinion reads the line of a command: score, and what else it knows.
func parseOpinion(line []byte) (o opinion, err error) {
	var a struct {
		Score   *float64           `json:"score"`
		Label   string             `json:"label"`
		Labels  map[string]float64 `json:"labels"`
		Reasons []string           `json:"reasons"`
		Model   string             `json:"model"`
		Version string             `json:"version"`
		Error   string             `json:"error"`
	}
	switch err := json.Unmarshal(line, &a); {
	case err != nil:
		return o, fmt.Errorf("read answer: %q is not the JSON that was asked for: %w", shortened(string(line)), err)
	case a.Error != "":
		return o, fmt.Errorf("read answer: program reports %q", shortened(a.Error))
	case a.Score == nil:
		return o, errors.New("read answer: it has no score")
	case *a.Score < 0 || *a.Score > 1:
		return o, fmt.Errorf("read answer: score %v is not between 0 and 1", *a.Score)
	case len(a.Reasons) > maxReasons:
		return o, fmt.Errorf("read answer: it has %d reasons, at most %d are taken", len(a.Reasons), maxReasons)
	}
	o.score, o.name, o.version = *a.Score, shortened(a.Model), shortened(a.Version)
	if o.name != "" && !names.MatchString(o.name) {
		return opinion{}, fmt.Errorf("read answer: model %q is not a name", o.name)
	}
	if o.labels, err = rank(a.Labels); err != nil {
		return opinion{}, err
	}
	if a.Label != "" && len(a.Labels) == 0 {
		o.labels = []spool.PredictedLabel{{Name: []string{shortened(a.Label)}, Probability: 1}} // it says so
	}
	for _, r := range a.Reasons {
		o.reasons = append(o.reasons, shortened(r))
	}
	o.checks = []spool.Check{{Type: "COMMAND", Passed: o.score < limitScore, Score: o.score}}
	return o, nil
}

// rank orders labels by their probabilities, the most probable first.
func rank(labels map[string]float64) (ranked []spool.PredictedLabel, err error) {
	if len(labels) > maxLabels {
		return nil, fmt.Errorf("read answer: it has %d labels, at most %d are taken", len(labels), maxLabels)
	}
	for name, p := range labels {
		// Rounding makes probabilities a little more than 1.
		if name == "" || len(name) > maxText || p < -0.01 || p > 1.01 {
			return nil, fmt.Errorf("read answer: label %q with probability %v cannot be", shortened(name), p)
		}
		l := spool.PredictedLabel{Name: []string{name}, Probability: min(max(p, 0), 1)}
		at := len(ranked)
		for at > 0 && before(l, ranked[at-1]) {
			at--
		}
		ranked = slices.Insert(ranked, at, l)
	}
	return ranked, nil
}

// before tells whether a label is more probable; names settle a tie.
func before(a, b spool.PredictedLabel) bool {
	return a.Probability > b.Probability || a.Probability == b.Probability && a.Name[0] < b.Name[0]
}

// shortened cuts a text to what is kept of it.
func shortened(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
