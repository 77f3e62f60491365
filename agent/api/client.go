package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what a client reads of an answer; the largest is a batch of
// comments.
const maxAnswer = 16 << 20

// A Client asks a running agent over its API.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// NewClient makes a client for the agent at base, such as
// http://127.0.0.1:8347; token may be empty.
func NewClient(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("read address: %q is not of the form http://HOST:PORT", base)
	}
	transport := &http.Transport{Proxy: nil, MaxIdleConns: 2, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 10 * time.Second}
	return &Client{base: u, token: token, http: &http.Client{Transport: transport}}, nil
}

// Status asks for the whole status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.exchange(ctx, http.MethodGet, "api/status", nil, &s)
}

// Label changes how a source labels and returns its new status.
func (c *Client) Label(ctx context.Context, source string, change Change) (SourceStatus, error) {
	var s SourceStatus
	return s, c.exchange(ctx, http.MethodPut, "api/sources/"+url.PathEscape(source), change, &s)
}

func (c *Client) exchange(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read answer of agent at %s: %w", c.base.Host, err)
	}
	return nil
}

// send returns an answer of 200; anything else is an error.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.base.String(), "/")+"/"+path, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, WithHint(fmt.Errorf("ask agent at %s: %w", c.base.Host, bare(err)),
			"is it running? edgespool run --config FILE starts it; --url says where it listens")
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refused(resp)
}

// bare takes the URL out of an error of the HTTP client.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *Client) refused(resp *http.Response) error {
	var f struct {
		failure
		Text string `json:"message"` // the streams API's word for it
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&f) // the status says enough
	err := fmt.Errorf("ask agent at %s: %s", c.base.Host, cmp.Or(f.Error, f.Text, resp.Status))
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return WithHint(err, "name a file with the API's token: --token-file FILE")
	case http.StatusNotFound:
		if f.Text != "" {
			return WithHint(err, "there is no such dataset or stream; edgespool streams list shows those of a dataset")
		}
		if strings.HasPrefix(f.Error, "find stream") || strings.HasPrefix(f.Error, "retry on") {
			return WithHint(err, "edgespool streams exceptions lists the exceptions with the names of their streams")
		}
		return WithHint(err, "edgespool status lists the sources")
	}
	return err
}

// A View shows a source's readings and samples as they come.
type View struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// Watch opens a view; what comes after it has returned is seen. The view ends
// with ctx, or by Close.
func (c *Client) Watch(ctx context.Context, source string) (*View, error) {
	resp, err := c.send(ctx, http.MethodGet, "api/sources/"+url.PathEscape(source)+"/live", nil)
	if err != nil {
		return nil, err
	}
	v := &View{body: resp.Body, lines: bufio.NewScanner(resp.Body)}
	v.lines.Buffer(nil, maxAnswer)
	return v, nil
}

// Next waits for the next reading or sample; io.EOF when the view has ended.
func (v *View) Next() (Glimpse, error) {
	for v.lines.Scan() {
		data, ok := strings.CutPrefix(v.lines.Text(), "data: ")
		if !ok {
			continue
		}
		var g Glimpse
		if err := json.Unmarshal([]byte(data), &g); err != nil {
			return g, fmt.Errorf("read view: %w", err)
		}
		return g, nil
	}
	if err := v.lines.Err(); err != nil {
		return Glimpse{}, fmt.Errorf("read view: %w", err)
	}
	return Glimpse{}, io.EOF
}

// Close ends the view.
func (v *View) Close() error { return v.body.Close() }
