package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A watcher works through one stream as a program on site does: fetch, work,
// advance, again and again, whatever the agent does meanwhile.
type watcher struct {
	url   string // of its stream
	match func(n int) bool

	mu   sync.Mutex
	seen map[int]int // samples by their number, and how often
}

// TestStreamsSurviveKills: three filtered streams over the samples of many
// posts and comments, while the agent is killed with SIGKILL at random moments.
// Every sample that was acknowledged and matches is seen at least once, and none
// that does not match.
//
// EDGESPOOL_STREAM_RECORDS=10000 is the long form.
func TestStreamsSurviveKills(t *testing.T) {
	records := 1500
	if text := os.Getenv("EDGESPOOL_STREAM_RECORDS"); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	s.run()
	const streams = "/api/v1/datasets/project1/machines/streams"
	watchers := map[string]*watcher{
		"low":   {match: func(n int) bool { return n%100 <= 20 }},
		"green": {match: func(n int) bool { return n%3 == 1 }},
		"both":  {match: func(n int) bool { return n%100 >= 30 && n%100 <= 70 && n%3 != 1 }},
	}
	filters := map[string]string{
		"low":   `{"number:load":{"maximum":20}}`,
		"green": `{"string:colour":{"one_of":["green"]}}`,
		"both":  `{"number:load":{"minimum":30,"maximum":70},"string:colour":{"not_one_of":["green"]}}`,
	}
	for name, w := range watchers {
		body := fmt.Sprintf(`{"stream":{"name":%q,"comment_filter":{"user_properties":%s}}}`, name, filters[name])
		if _, err := callStreams(t.Context(), "PUT", s.api+streams, body); err != nil {
			t.Fatal(err)
		}
		w.url, w.seen = s.api+streams+"/"+name, map[int]int{}
	}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	for name, w := range watchers {
		work.Go(func() {
			if err := w.run(ctx); err != nil {
				t.Errorf("stream %s: %v", name, err)
			}
		})
	}
	var sent atomic.Int64
	work.Go(func() { sendComments(ctx, s.api, records, &sent) })

	dice, lives := rand.New(rand.NewPCG(3, 4)), 1
	for ; sent.Load() < int64(records); lives++ {
		<-time.After(time.Duration(50+dice.IntN(500)) * time.Millisecond)
		s.agent.signal(syscall.SIGKILL)
		s.run()
	}
	for name, w := range watchers {
		s.until("stream "+name+" has shown all of its samples", func() error { return w.missing(records) })
	}
	total, repeats := 0, 0
	for name, w := range watchers {
		w.mu.Lock()
		for n, times := range w.seen {
			if !w.match(n) {
				t.Errorf("stream %s showed sample %d, which does not match", name, n)
			}
			total, repeats = total+1, repeats+times-1
		}
		w.mu.Unlock()
	}
	t.Logf("%d samples over 3 streams and %d lives of the agent: %d seen, %d of them again", records, lives, total, repeats)
	if lives < 4 {
		t.Error("too few kills to mean anything")
	}
}

// sendComments hands comments in, some at a time, the same ones again until
// they are acknowledged.
func sendComments(ctx context.Context, api string, records int, sent *atomic.Int64) {
	const at = 2
	for n := 0; n < records && ctx.Err() == nil; {
		var list []map[string]any
		for i := n; i < min(n+at, records); i++ {
			list = append(list, map[string]any{"id": strconv.Itoa(i), "timestamp": "2026-01-01T00:00:00Z", "messages": []any{},
				"user_properties": map[string]any{"number:load": i % 100, "string:colour": []string{"red", "green", "blue"}[i%3]}})
		}
		text, _ := json.Marshal(map[string]any{"comments": list}) // numbers and texts always encode
		if _, err := callStreams(ctx, "POST", api+"/api/v1/sources/project1/line/sync", string(text)); err != nil {
			pause(ctx)
			continue
		}
		n += len(list)
		sent.Store(int64(n))
	}
}

// run fetches and advances until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		o, err := callStreams(ctx, "POST", w.url+"/fetch", `{"size":32,"max_filtered":64}`)
		var refused *refusedCall
		switch {
		case errors.As(err, &refused):
			return err
		case err != nil: // it is away
			pause(ctx)
			continue
		}
		if err := w.take(o); err != nil {
			return err
		}
		if _, err = callStreams(ctx, "POST", w.url+"/advance", fmt.Sprintf(`{"sequence_id":%q}`, o.SequenceID)); errors.As(err, &refused) {
			return err
		}
		if len(o.Results) == 0 && o.End {
			pause(ctx)
		}
	}
	return nil
}

func (w *watcher) take(o answered) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range o.Results {
		n, err := strconv.Atoi(r.Comment.ID)
		if err != nil {
			return err
		}
		w.seen[n]++
	}
	return nil
}

// missing names the first sample that was not seen.
func (w *watcher) missing(records int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range records {
		if w.match(n) && w.seen[n] == 0 {
			return fmt.Errorf("sample %d is missing; %d were seen", n, len(w.seen))
		}
	}
	return nil
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// answered is what a call's answer says.
type answered struct {
	SequenceID string `json:"sequence_id"`
	End        bool   `json:"is_end_sequence"`
	Results    []struct {
		Comment struct {
			ID string `json:"id"`
		} `json:"comment"`
	} `json:"results"`
}

// refusedCall is an answer other than ok, which no restart explains.
type refusedCall struct{ text string }

func (e *refusedCall) Error() string { return e.text }

// callStreams sends JSON to the agent.
func callStreams(ctx context.Context, method, url, body string) (o answered, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return o, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return o, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return o, err
	}
	if !slices.Contains([]int{200, 503}, resp.StatusCode) {
		return o, &refusedCall{fmt.Sprintf("%s %s: %s %s", method, url, resp.Status, text)}
	}
	if resp.StatusCode == 503 {
		return o, errors.New("not now")
	}
	return o, json.Unmarshal(text, &o)
}
