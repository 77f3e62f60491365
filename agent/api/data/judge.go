package data

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/edgespool/edgespool/spool"
)

const (
	// judgeAgain is the pause after the spool took no results.
	judgeAgain = 5 * time.Second
	// maxFailure bounds what is told of an object that could not be judged.
	maxFailure = 1 << 10
)

// judgeBatch is how much is judged for one commit.
var judgeBatch = spool.Limit{Records: 256, Bytes: 4 << 20}

// judgeAll judges the objects of every namespace as they come, until ctx ends.
func (s *Service) judgeAll(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		more := false
		var failed error
		for _, n := range s.allNamespaces() {
			some, err := s.judgeSome(ctx, n)
			more = more || some
			if err != nil && ctx.Err() == nil {
				failed = err
			}
		}
		if failed != nil && !failing {
			s.deps.Log.Warn("data api cannot keep results: objects wait in the spool and are judged once it can", "error", failed)
		}
		failing = failed != nil
		switch {
		case failed != nil:
			pause(ctx, judgeAgain)
		case !more:
			select {
			case <-s.work:
			case <-ctx.Done():
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// judgeSome judges a batch of a namespace's objects. The results are durable
// before the stream moves on, so a crash costs at most that some are judged
// again, and then found to have their results.
func (s *Service) judgeSome(ctx context.Context, n *namespace) (more bool, err error) {
	bound := n.bound()
	recs, err := n.objects.Fetch(ctx, judgeBatch)
	if err != nil {
		return false, err
	}
	if len(recs) == 0 {
		n.judged(bound)
		return false, nil
	}
	results := make([]spool.Record, 0, len(recs))
	found := make([]spool.Detection, 0, len(recs))
	outcomes := make([]spool.Outcome, 0, len(recs))
	for i := range recs {
		res, detection := s.judgeOne(ctx, n, &recs[i])
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		rec, err := s.resultRecord(n, &recs[i], res)
		if err != nil {
			return false, err
		}
		results, found = append(results, rec), append(found, detection)
		outcomes = append(outcomes, spool.Outcome{Sequence: recs[i].Sequence, Fate: spool.FateStored})
	}
	receipt, err := s.deps.Spool.Append(ctx, results...)
	if err == nil {
		err = receipt.Wait(ctx)
	}
	if err != nil {
		return false, err
	}
	n.mark(mark{recs[0].Sequence, receipt.Results[0].Sequence})
	if err := s.report(ctx, found, receipt); err != nil {
		return false, err
	}
	if err := n.objects.Settle(ctx, outcomes...); err != nil {
		return false, err
	}
	n.judged(recs[len(recs)-1].Sequence + 1)
	if s.posted != nil {
		kick(s.posted.work)
	}
	return true, nil
}

// judgeOne asks the judge. What it makes of an object, a panic included, is
// that object's result and nobody else's trouble.
func (s *Service) judgeOne(ctx context.Context, n *namespace, rec *spool.Record) (res result, found spool.Detection) {
	text, err := readBody(rec)
	if err != nil {
		return result{ID: objectID(rec), Error: "the object cannot be read: " + err.Error()}, found
	}
	var members struct {
		ID       string          `json:"id"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(text, &members); err != nil {
		return result{ID: objectID(rec), Error: "the object cannot be read: " + err.Error()}, found
	}
	res = result{ID: members.ID, Metadata: members.Metadata}
	if len(res.Metadata) > 0 && res.Metadata[0] != '{' { // the wire has a map there
		res.Metadata = nil
	}
	out, err := s.askJudge(ctx, n.name, text)
	if err == nil {
		res.Output, err = json.Marshal(out.complete())
	}
	if err != nil {
		res.Output, res.Error = nil, shorten(err.Error())
		return res, found
	}
	return res, detectionOf(n.name, rec, members.ID, out)
}

func (s *Service) askJudge(ctx context.Context, ns string, text []byte) (out Output, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.deps.Log.Error("judge panicked", "namespace", ns, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("judge panicked: %v", p)
		}
	}()
	return s.deps.Judge.Judge(ctx, ns, text)
}

// complete gives an output the members that the wire always has.
func (o Output) complete() Output {
	if o.Actions == nil {
		o.Actions = []string{}
	}
	if o.Labels == nil {
		o.Labels = []Label{}
	}
	if o.Fields == nil {
		o.Fields = map[string]any{}
	}
	return o
}

func shorten(text string) string {
	if len(text) > maxFailure {
		text = text[:maxFailure]
	}
	return text
}

// objectID is an object's id by its record's name.
func objectID(rec *spool.Record) string {
	return rec.Name[:max(len(rec.Name)-len(".json"), 0)]
}

// report hands the detections of fresh results on; those of objects that were
// judged before a crash have been.
func (s *Service) report(ctx context.Context, found []spool.Detection, receipt spool.Receipt) error {
	if s.deps.Detections == nil {
		return nil
	}
	fresh := make([]spool.Detection, 0, len(found))
	for i, d := range found {
		if !receipt.Results[i].Duplicate && d.Model != "" {
			fresh = append(fresh, d)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if _, err := s.deps.Detections.Detect(ctx, fresh...); err != nil {
		s.deps.Log.Warn("detections of data api are not kept: the results of the requests have them", "error", err)
	}
	return nil
}

// confidence gives a label's word a probability, for want of a better one.
func confidence(word string) float64 {
	switch word {
	case "low":
		return 0.25
	case "medium":
		return 0.5
	}
	return 0.9
}

// detectionOf is what was found, for the history; nothing if nothing was.
func detectionOf(ns string, rec *spool.Record, id string, out Output) spool.Detection {
	score, _ := out.Fields[riskScore].(float64)
	if score <= 0 && len(out.Labels) == 0 {
		return spool.Detection{}
	}
	d := spool.Detection{
		Sequence: rec.Sequence, Dataset: rec.Dataset, Name: rec.Name, ContentType: rec.ContentType, Source: rec.Source,
		Size: rec.Size, SHA256: rec.SHA256, Model: "data-api/" + ns, Score: min(max(score, 0), 1),
		Tags: map[string]string{"namespace": ns, "id": id},
	}
	for _, l := range out.Labels {
		d.Labels = append(d.Labels, spool.PredictedLabel{Name: []string{l.Label}, Probability: confidence(l.Confidence)})
		if l.Explanation != "" {
			d.Reasons = append(d.Reasons, l.Explanation)
		}
	}
	if len(out.Labels) > 0 {
		d.Classification = out.Labels[0].Label
	}
	for _, a := range out.Actions {
		d.Reasons = append(d.Reasons, "action: "+a)
	}
	return d
}
