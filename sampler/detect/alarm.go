package detect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

const (
	tellTime  = 30 * time.Second // for a command, or for one request
	tellTries = 3                // of a webhook
)

// An alarm tells of anomalies: of the first one at once, then of the worst in
// each stretch of time. Nobody waits for it.
type alarm struct {
	config AlarmConfig
	setup  sampler.Setup
	count  func(name string, n uint64)
	client *http.Client
	pause  time.Duration // between tries

	mu      sync.Mutex
	waiting *spool.Detection // the worst that nobody was told of
	missed  uint64           // further ones
	raised  chan struct{}
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newAlarm(c AlarmConfig, s sampler.Setup, count func(name string, n uint64)) *alarm {
	return &alarm{config: c, setup: s, count: count, raised: make(chan struct{}, 1), pause: 2 * time.Second,
		client: &http.Client{
			Timeout:       tellTime,
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
}

// raise takes a detection. The first one starts who tells.
func (a *alarm) raise(ctx context.Context, d spool.Detection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.waiting == nil:
		a.waiting = &d
	default:
		a.missed++
		a.count("alarms_joined", 1)
		if d.Score > a.waiting.Score {
			a.waiting = &d
		}
	}
	if a.stop == nil {
		ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
		a.running.Go(func() { a.run(ctx) })
	}
	select {
	case a.raised <- struct{}{}:
	default:
	}
}

func (a *alarm) close() {
	a.mu.Lock()
	stop := a.stop
	a.mu.Unlock()
	if stop != nil {
		stop()
	}
	a.running.Wait()
	a.client.CloseIdleConnections()
}

func (a *alarm) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-a.raised:
			a.mu.Lock()
			d, missed := a.waiting, a.missed
			a.waiting, a.missed = nil, 0
			a.mu.Unlock()
			if d != nil {
				a.tell(ctx, *d, missed)
				rest(ctx, a.config.Every)
			}
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tell runs the command and posts to the webhook.
func (a *alarm) tell(ctx context.Context, d spool.Detection, missed uint64) {
	text := tidings(d, missed, a.setup)
	if len(a.config.Command) > 0 {
		a.told(ctx, "command", a.execute(ctx, text))
	}
	if a.config.Webhook != "" {
		err := a.post(ctx, text)
		for try := 1; err != nil && try < tellTries && ctx.Err() == nil; try++ {
			rest(ctx, a.pause)
			err = a.post(ctx, text)
		}
		a.told(ctx, "webhook", err)
	}
}

func (a *alarm) told(ctx context.Context, whom string, err error) {
	if err == nil {
		a.count("alarms", 1)
	} else if ctx.Err() == nil {
		a.count("alarms_failed", 1)
		a.setup.Log.Warn("nobody could be told of an anomaly; it is kept all the same", "source", a.setup.Name, "by", whom, "error", err)
	}
}

// execute runs the command once, with the text as its input.
func (a *alarm) execute(ctx context.Context, text []byte) error {
	c, err := launch(a.config.Command, bytes.NewReader(text), nil)
	if err != nil {
		return err
	}
	t := time.NewTimer(tellTime)
	defer t.Stop()
	select {
	case <-c.ended:
		if c.cause != nil {
			return c.explain("run command", io.EOF, 0)
		}
		return nil
	case <-t.C:
		err = fmt.Errorf("run command: it has not ended within %v", tellTime)
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.end(0)
	return err
}

func (a *alarm) post(ctx context.Context, text []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.config.Webhook, bytes.NewReader(text))
	if err != nil {
		return errors.New("post to webhook: its address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "edgespool")
	resp, err := a.client.Do(req)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the address: it may hold a key
		}
		return fmt.Errorf("post to %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post to %s: answered %d", req.URL.Host, resp.StatusCode)
	}
	return nil
}

// tidings is one line of JSON about a detection.
func tidings(d spool.Detection, missed uint64, s sampler.Setup) []byte {
	type label struct {
		Name        string  `json:"name"`
		Probability float64 `json:"probability"`
	}
	t := struct {
		Source         string   `json:"source"`
		Device         string   `json:"device"`
		At             string   `json:"at"`
		Score          float64  `json:"score"`
		Model          string   `json:"model"`
		ModelVersion   string   `json:"model_version,omitempty"`
		Classification string   `json:"classification,omitempty"`
		Labels         []label  `json:"labels,omitempty"`
		Reasons        []string `json:"reasons,omitempty"`
		Sequence       uint64   `json:"sequence,omitempty"`
		Name           string   `json:"name"`
		More           uint64   `json:"more,omitempty"`
	}{
		Source: d.Source, Device: s.Device.Name, At: time.Now().UTC().Format(time.RFC3339), Score: d.Score, Model: d.Model,
		ModelVersion: d.ModelVersion, Classification: d.Classification, Reasons: d.Reasons, Sequence: d.Sequence, Name: d.Name, More: missed,
	}
	for _, l := range d.Labels {
		t.Labels = append(t.Labels, label{strings.Join(l.Name, "."), l.Probability})
	}
	text, _ := json.Marshal(t) // has a form always
	return append(text, '\n')
}
