package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// A StreamInfo is a stream of the streams API as its clients see it.
type StreamInfo struct {
	Name        string          `json:"name"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Filter      json.RawMessage `json:"comment_filter,omitempty"`
	Model       json.RawMessage `json:"model,omitempty"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	// Next is the sequence of the first record that was not advanced over,
	// Backlog how many records there are from there on, filtered or not, and
	// Lost how many left the spool before.
	Next    uint64 `json:"_next_sequence"`
	Backlog int64  `json:"_backlog"`
	Lost    uint64 `json:"_lost"`
}

// A StreamBatch is what a fetch gives.
type StreamBatch struct {
	Results []struct {
		Comment    json.RawMessage `json:"comment"`
		Labels     json.RawMessage `json:"labels"`
		SequenceID string          `json:"sequence_id"`
	} `json:"results"`
	Filtered   int    `json:"filtered"`
	SequenceID string `json:"sequence_id"`
	End        bool   `json:"is_end_sequence"`
}

// A StreamException is a comment that was tagged on a stream.
type StreamException struct {
	UID      string `json:"uid"`
	Metadata struct {
		Type string `json:"type"`
	} `json:"metadata"`
	TaggedAt time.Time `json:"tagged_at"`
}

// Streams asks the streams API of one dataset of the agent; an empty owner is
// the agent's own device.
func (c *Client) Streams(ctx context.Context, owner, dataset string) (*StreamsClient, error) {
	if owner == "" {
		s, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		owner = s.Device.Name
	}
	return &StreamsClient{client: c, path: "api/v1/datasets/" + url.PathEscape(owner) + "/" + url.PathEscape(dataset) + "/streams"}, nil
}

// Datasets lists the datasets that have streams or could have some, each as
// OWNER/DATASET.
func (c *Client) Datasets(ctx context.Context) ([]string, error) {
	var answer struct {
		Datasets []struct {
			Owner string `json:"owner"`
			Name  string `json:"name"`
		} `json:"datasets"`
	}
	err := c.exchange(ctx, http.MethodGet, "api/v1/datasets", nil, &answer)
	var names []string
	for _, d := range answer.Datasets {
		names = append(names, d.Owner+"/"+d.Name)
	}
	return names, err
}

// A StreamsClient asks for the streams of one dataset.
type StreamsClient struct {
	client *Client
	path   string
}

func (s *StreamsClient) of(name string) string { return s.path + "/" + url.PathEscape(name) }

// List gives all streams by name.
func (s *StreamsClient) List(ctx context.Context) ([]StreamInfo, error) {
	var answer struct {
		Streams []StreamInfo `json:"streams"`
	}
	return answer.Streams, s.client.exchange(ctx, http.MethodGet, s.path, nil, &answer)
}

// Show gives one stream.
func (s *StreamsClient) Show(ctx context.Context, name string) (StreamInfo, error) {
	return s.exchange(ctx, http.MethodGet, s.of(name), nil)
}

// Create makes a stream or changes it. filter and model are JSON objects of the
// API, empty for none.
func (s *StreamsClient) Create(ctx context.Context, name, title string, filter, model json.RawMessage) (StreamInfo, error) {
	def := map[string]any{"name": name, "title": title}
	if len(filter) > 0 {
		def["comment_filter"] = filter
	}
	if len(model) > 0 {
		def["model"] = model
	}
	return s.exchange(ctx, http.MethodPut, s.path, map[string]any{"stream": def})
}

// Delete forgets a stream with its position and exceptions.
func (s *StreamsClient) Delete(ctx context.Context, name string) error {
	_, err := s.exchange(ctx, http.MethodDelete, s.of(name), nil)
	return err
}

// Fetch gives the next comments, the same ones until the stream is advanced.
func (s *StreamsClient) Fetch(ctx context.Context, name string, size, maxFiltered int) (b StreamBatch, err error) {
	body := map[string]int{"size": size}
	if maxFiltered > 0 {
		body["max_filtered"] = maxFiltered
	}
	return b, s.client.exchange(ctx, http.MethodPost, s.of(name)+"/fetch", body, &b)
}

// Advance moves a stream to the place that a sequence_id names.
func (s *StreamsClient) Advance(ctx context.Context, name, sequenceID string) error {
	_, err := s.exchange(ctx, http.MethodPost, s.of(name)+"/advance", map[string]string{"sequence_id": sequenceID})
	return err
}

// Reset moves a stream to the first comment created at or after an ISO-8601
// time.
func (s *StreamsClient) Reset(ctx context.Context, name, at string) (StreamInfo, error) {
	return s.exchange(ctx, http.MethodPost, s.of(name)+"/reset", map[string]string{"to_comment_created_at": at})
}

// Exceptions lists what was tagged on a stream.
func (s *StreamsClient) Exceptions(ctx context.Context, name string) ([]StreamException, error) {
	var answer struct {
		Exceptions []StreamException `json:"exceptions"`
	}
	return answer.Exceptions, s.client.exchange(ctx, http.MethodGet, s.of(name)+"/exceptions", nil, &answer)
}

// Tag tags comments as exceptions of a type.
func (s *StreamsClient) Tag(ctx context.Context, name, kind string, uids ...string) error {
	list := []map[string]any{}
	for _, uid := range uids {
		list = append(list, map[string]any{"uid": uid, "metadata": map[string]string{"type": kind}})
	}
	_, err := s.exchange(ctx, http.MethodPut, s.of(name)+"/exceptions", map[string]any{"exceptions": list})
	return err
}

// Untag takes tags off again.
func (s *StreamsClient) Untag(ctx context.Context, name string, uids ...string) error {
	_, err := s.exchange(ctx, http.MethodDelete, s.of(name)+"/exceptions?"+url.Values{"uid": uids}.Encode(), nil)
	return err
}

// Retry has tagged comments come once more and takes their tags off; without
// uids it is all of them. Those that have left the spool are counted as gone.
func (s *StreamsClient) Retry(ctx context.Context, name string, uids ...string) (done Retried, err error) {
	list := []map[string]string{}
	for _, uid := range uids {
		list = append(list, map[string]string{"uid": uid})
	}
	body := map[string]any{"exceptions": list, "all": len(uids) == 0}
	return done, s.client.exchange(ctx, http.MethodPost, s.of(name)+"/exceptions/retry", body, &done)
}

// exchange asks for what is answered with a stream, or with nothing.
func (s *StreamsClient) exchange(ctx context.Context, method, path string, body any) (StreamInfo, error) {
	var answer struct {
		Stream StreamInfo `json:"stream"`
	}
	return answer.Stream, s.client.exchange(ctx, method, path, body, &answer)
}
