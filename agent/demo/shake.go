package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// leastShake is how long the machine shakes at least: two windows.
	leastShake = 2 * time.Second
	// longestShake is how long it shakes at most until the detector says so.
	longestShake = 20 * time.Second
	// alarmScore is the anomaly score from which on the stream gives samples.
	alarmScore = 0.8
)

// A sighting is what was seen of the shaking machine while the agent ran.
type sighting struct {
	away     uint64   // what the service received before it went away has lower sequences
	reported int      // anomalies that the agent had to send before the service was back
	history  []string // file names in the detection history
	streamed []string // names of the samples that the stream gave
	filtered int      // samples that it held back
}

// shake lets the machine shake until the detector has said so. The service is
// away meanwhile, so that older samples wait.
func (p *play) shake(ctx context.Context) error {
	p.tell("the machine shakes, while older samples wait for the service")
	p.sensor.Shake(true)
	defer p.sensor.Shake(false)
	if err := pause(ctx, leastShake); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, longestShake)
	defer cancel()
	err := eventually(patient, func() bool {
		p.seen.reported = p.anomalies(ctx)
		return p.seen.reported > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil { // if not, the check at the end says so
		p.tell("the detector reports it: %d anomalies so far", p.seen.reported)
	}
	return nil
}

// look asks the history and a stream for the shaking.
func (p *play) look(ctx context.Context) error {
	var history struct {
		Data []struct{ FileName string }
	}
	path := fmt.Sprintf("/v1/detection?limit=100&minLikelihood=%d&tagFilter=source=accelerometer", int(100*alarmScore))
	if err := p.ask(ctx, http.MethodGet, path, "", &history); err != nil {
		return fmt.Errorf("look into detection history: %w", err)
	}
	for _, d := range history.Data {
		p.seen.history = append(p.seen.history, d.FileName)
	}
	return p.stream(ctx)
}

// stream makes a stream of anomalies of a score, from the first sample on, and
// fetches it and moves on.
func (p *play) stream(ctx context.Context) error {
	const path = "/api/v1/datasets/" + deviceOwner + "/anomaly/streams"
	var batch struct {
		Filtered   int
		SequenceID string `json:"sequence_id"`
		Results    []struct {
			Comment struct {
				UserProperties map[string]any `json:"user_properties"`
			}
		}
	}
	for _, step := range []struct{ method, path, body string }{
		{http.MethodPut, path, fmt.Sprintf(`{"stream": {"name": "alarms", "comment_filter": {"user_properties": {"number:Anomaly Score": {"minimum": %g}}}}}`, alarmScore)},
		{http.MethodPost, path + "/alarms/reset", `{"to_comment_created_at": "1970-01-01T00:00:00Z"}`},
		{http.MethodPost, path + "/alarms/fetch", `{"size": 256}`},
	} {
		if err := p.ask(ctx, step.method, step.path, step.body, &batch); err != nil {
			return fmt.Errorf("fetch stream of anomalies: %w", err)
		}
	}
	for _, r := range batch.Results {
		name, _ := r.Comment.UserProperties["string:Name"].(string)
		p.seen.streamed = append(p.seen.streamed, name)
	}
	p.seen.filtered = batch.Filtered
	if err := p.ask(ctx, http.MethodPost, path+"/alarms/advance", fmt.Sprintf(`{"sequence_id": %q}`, batch.SequenceID), &struct{}{}); err != nil {
		return fmt.Errorf("advance stream of anomalies: %w", err)
	}
	return nil
}

// shaking checks that the shaking was reported, overtook older samples, and is
// in the history and in the stream.
func (v *verdict) shaking(seen sighting, records, received []kept) {
	var found []kept
	for _, k := range records {
		if k.window && k.dataset == "anomaly" {
			found = append(found, k)
		}
	}
	if len(found) == 0 || seen.reported == 0 {
		v.fault("the shaking machine was not reported: %d anomalies while the service was away, %d in all", seen.reported, len(found))
		return
	}
	v.proof("reported by the detector: %d windows of the accelerometer went to category anomaly, %d of them while the service was away", len(found), seen.reported)
	v.overtaken(seen.away, records, received)
	if v.holds("the detection history", seen.history, found) {
		v.proof("in the detection history: %d detections by GET /v1/detection", len(seen.history))
	}
	if v.holds("the stream of anomalies", seen.streamed, found) {
		v.proof("in a stream with Anomaly Score from %g on: %d samples; others of the category that it held back: %d", alarmScore, len(seen.streamed), seen.filtered)
	}
}

// overtaken checks that the first that the service received when it was back is
// an anomaly, and counts the samples that are older and came later.
func (v *verdict) overtaken(away uint64, records, received []kept) {
	order := make(map[string]kept) // what the agent keeps, by the file name that it sends
	for _, k := range records {
		order[k.name] = k
	}
	var first kept
	older := 0
	for _, r := range received {
		k, known := order[r.name]
		switch {
		case r.sequence < away || !known:
		case first.sequence == 0:
			first = k
		case k.dataset != "anomaly" && k.sequence < first.sequence:
			older++
		}
	}
	if first.dataset != "anomaly" || older == 0 {
		v.fault("the shaking overtook nothing: %q of %s came first when the service was back, and %d older samples later", first.name, first.dataset, older)
		return
	}
	v.proof("overtook the backlog: %s arrived first when the service was back, before %d older samples that had waited", first.name, older)
}

// holds checks that a list has every anomaly once and nothing else.
func (v *verdict) holds(where string, names []string, found []kept) bool {
	all := "\n" + strings.Join(names, "\n") + "\n"
	ok := len(names) == len(found)
	for _, k := range found {
		ok = ok && strings.Count(all, "\n"+k.name+"\n") == 1
	}
	if !ok {
		v.fault("%s has %d samples (%s) for %d windows in category anomaly", where, len(names), strings.Join(names, ", "), len(found))
	}
	return ok
}

func (v *verdict) proof(format string, args ...any) {
	v.proofs = append(v.proofs, fmt.Sprintf(format, args...))
}
