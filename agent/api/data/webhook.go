package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
)

const (
	// answerTime is how long a receiver may take; the wire says 15 s.
	answerTime = 15 * time.Second
	// postsAtOnce is how many results are posted at a time.
	postsAtOnce = 4
)

// retries are the pauses before each further try, those of the wire's
// example, some days in all; behind the last one a result is an exception of
// its webhook stream.
var retries = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour, 24 * time.Hour,
}

// postWindow is how many results of a namespace are under way: those behind
// wait until one of them has come to its end.
var postWindow = spool.Limit{Records: 256, Bytes: 4 << 20}

// A posting is the body of one post.
type posting struct {
	Type      string          `json:"type"`
	Namespace string          `json:"namespace"`
	ID        string          `json:"id"`
	RequestID string          `json:"request_id"`
	URL       string          `json:"url,omitempty"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	Output    json.RawMessage `json:"output,omitempty"`
	Error     string          `json:"error,omitempty"`
}

// A poster posts each result to the webhook, signed as Standard Webhooks says
// (github.com/standard-webhooks/standard-webhooks, spec): a retry has the same
// id. Results of different objects overtake each other.
type poster struct {
	service *Service
	http    *http.Client
	work    chan struct{}

	pauses  []time.Duration
	tries   map[string]map[uint64]try // by namespace, of results that were not taken yet
	failing bool
}

// A try is what is remembered of a result between two tries; a restart forgets
// it and tries again at once.
type try struct {
	made int
	next time.Time
}

func newPoster(s *Service) *poster {
	transport := s.deps.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: postsAtOnce, MaxIdleConnsPerHost: postsAtOnce,
			IdleConnTimeout: 55 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		}
	}
	return &poster{
		service: s, work: make(chan struct{}, 1), pauses: retries, tries: map[string]map[uint64]try{},
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// run posts until ctx ends.
func (p *poster) run(ctx context.Context) {
	defer p.http.CloseIdleConnections()
	for ctx.Err() == nil {
		var wake time.Time
		progress := false
		for _, n := range p.service.allNamespaces() {
			if n.results == nil {
				continue
			}
			some, next, err := p.postSome(ctx, n)
			progress = progress || some
			if err != nil {
				next = time.Now().Add(judgeAgain)
			}
			if !next.IsZero() && (wake.IsZero() || next.Before(wake)) {
				wake = next
			}
		}
		if !progress {
			p.rest(ctx, wake)
		}
	}
}

// rest waits for results, or until a try is due.
func (p *poster) rest(ctx context.Context, wake time.Time) {
	var due <-chan time.Time
	if !wake.IsZero() {
		t := time.NewTimer(time.Until(wake))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-p.work:
	case <-due:
	case <-ctx.Done():
	}
}

// postSome posts what is due of a namespace and says when the next one is.
func (p *poster) postSome(ctx context.Context, n *namespace) (some bool, next time.Time, err error) {
	recs, err := n.results.Fetch(ctx, postWindow)
	if err != nil {
		return false, next, err
	}
	tries := p.triesOf(n, recs)
	due := make([]*spool.Record, 0, len(recs))
	for i := range recs {
		t := tries[recs[i].Sequence]
		if time.Now().Before(t.next) {
			if next.IsZero() || t.next.Before(next) {
				next = t.next
			}
			continue
		}
		due = append(due, &recs[i])
	}
	for part := range slices.Chunk(due, 4*postsAtOnce) { // what was taken is noted soon
		failures := p.postAll(ctx, n, part)
		if ctx.Err() != nil {
			return false, next, ctx.Err()
		}
		var outcomes []spool.Outcome
		for i, rec := range part {
			if o, ended := p.conclude(tries, rec.Sequence, failures[i]); ended {
				outcomes = append(outcomes, o)
			}
		}
		if err := n.results.Settle(ctx, outcomes...); err != nil {
			return false, next, err
		}
	}
	return len(due) > 0, next, nil
}

// triesOf are the tries of a namespace's results that are under way; those of
// others are forgotten.
func (p *poster) triesOf(n *namespace, recs []spool.Record) map[uint64]try {
	tries := make(map[uint64]try, len(recs))
	for i := range recs {
		if t, ok := p.tries[n.name][recs[i].Sequence]; ok {
			tries[recs[i].Sequence] = t
		}
	}
	p.tries[n.name] = tries
	return tries
}

// postAll posts results, some at a time, and returns what went wrong with
// each.
func (p *poster) postAll(ctx context.Context, n *namespace, due []*spool.Record) []error {
	failures := make([]error, len(due))
	turns := make(chan int)
	var workers sync.WaitGroup
	for range min(postsAtOnce, len(due)) {
		workers.Go(func() {
			for i := range turns {
				failures[i] = p.post(ctx, n, due[i])
			}
		})
	}
	for i := range due {
		turns <- i
	}
	close(turns)
	workers.Wait()
	return failures
}

// conclude decides about the next try of a result, or that there is none.
func (p *poster) conclude(tries map[uint64]try, sequence uint64, failure error) (o spool.Outcome, ended bool) {
	o = spool.Outcome{Sequence: sequence, Fate: spool.FateStored}
	if failure == nil {
		if p.failing {
			p.failing = false
			p.service.deps.Log.Info("webhook takes results again")
		}
		delete(tries, sequence)
		return o, true
	}
	if !p.failing {
		p.failing = true
		p.service.deps.Log.Warn("webhook does not take results: each is tried again for some days", "error", failure)
	}
	t := tries[sequence]
	if t.made >= len(p.pauses) {
		delete(tries, sequence)
		o.Fate, o.Reason = spool.FateRejected, shorten(failure.Error())
		return o, true
	}
	tries[sequence] = try{t.made + 1, time.Now().Add(p.pauses[t.made])}
	return o, false
}

// post makes one try.
func (p *poster) post(ctx context.Context, n *namespace, rec *spool.Record) error {
	res, err := readResult(rec)
	if err != nil {
		return err
	}
	body := posting{
		Type: "workflow.succeeded", Namespace: n.name, ID: res.ID, RequestID: rec.Metadata[metaRequest],
		Metadata: res.Metadata, Output: res.Output, Error: res.Error,
	}
	if res.Error != "" {
		body.Type = "workflow.failed"
	} else {
		body.URL = p.service.link(nil, n.name, body.RequestID)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write webhook: %w", err)
	}
	secret, err := readSecret(p.service.config.Webhook.SecretFile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.service.config.Webhook.URL, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("post webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, secret, "msg_"+rec.ID(), time.Now(), text)
	resp, err := p.http.Do(req)
	if err != nil {
		var addressed *url.Error
		if errors.As(err, &addressed) {
			err = addressed.Err // without the address, which may hold a key
		}
		return fmt.Errorf("post webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be kept
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("post webhook: the receiver answered %d", resp.StatusCode)
	}
	return nil
}
