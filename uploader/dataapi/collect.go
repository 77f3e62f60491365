package dataapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

const (
	// collectEvery keeps a busy Send from asking all the time.
	collectEvery = firstAsk / 2
	// unknownLimit is how often a service may not know a request before it
	// is given up: it may be behind with itself.
	unknownLimit = 5
	// handBatch is how many results are handed on at a time.
	handBatch = 100
)

// collects tells whether anybody wants results.
func (d *Destination) collects() bool { return d.config.Results && d.deps.Detections != nil }

// collect asks for the results of up to n requests that are due. One that
// cannot be had is asked for later; nothing here holds up sending.
func (d *Destination) collect(ctx context.Context, n int) {
	if !d.collects() || !d.collecting.TryLock() {
		return
	}
	defer d.collecting.Unlock()
	now := time.Now()
	if now.Sub(d.collected) < collectEvery {
		return
	}
	d.collected = now
	due := d.awaited.due(now, n)
	if len(due) == 0 {
		return
	}
	apiKey, err := d.apiKey.Reveal()
	if err != nil {
		return // Send says so
	}
	for _, p := range due {
		if ctx.Err() != nil {
			return
		}
		ended, asked, err := d.ask(ctx, p, apiKey)
		if ctx.Err() != nil {
			return
		}
		switch {
		case ended:
			if left := d.awaited.left(p); left > 0 && err == nil {
				d.warn("request has ended without a result for some of its records", "request", p.id, "records", left)
			}
			if err != nil {
				d.warn("request has no results", "request", p.id, "error", err)
			}
			if err := d.awaited.finish(p); err != nil {
				d.warn("request cannot be forgotten: its results may be fetched again after a restart", "error", err)
			}
		case d.awaited.later(p, time.Now(), asked):
			d.warn("request has had no results for days: they are given up", "request", p.id)
			_ = d.awaited.finish(p) // it is given up again after a restart
		}
	}
}

// ask asks for one request's results and hands on what there is. ended tells
// that there is nothing more to ask for, with the reason if that is a bad one;
// asked is how long the service wants to be left alone.
func (d *Destination) ask(ctx context.Context, p *pending, apiKey string) (ended bool, asked time.Duration, err error) {
	h := &handing{d: d, ctx: ctx, p: p}
	address := d.base + "/requests/" + url.PathEscape(p.id)
	s, a, err := d.askStatus(ctx, address, apiKey, h)
	if err == nil && a.Status == http.StatusRequestEntityTooLarge {
		s, a, err = d.askStatus(ctx, address+"/results/download-url", apiKey, h)
	}
	switch {
	case err != nil:
		return false, 0, err
	case a.Status == http.StatusNotFound || a.Status == http.StatusGone:
		if p.unknown++; p.unknown >= unknownLimit {
			return true, 0, errors.New("the service does not know the request")
		}
		return false, a.RetryAfter, nil
	case a.Status < 200 || a.Status > 299:
		return false, a.RetryAfter, nil
	case s.Status == "failed":
		return true, 0, fmt.Errorf("the service has failed: %s", excerpt([]byte(s.Summary), apiKey))
	case s.Status != "succeeded":
		return false, 0, nil
	case !s.inline && s.DataURL == "":
		return false, 0, nil
	case s.DataURL != "":
		if err := d.trust(s.DataURL); err != nil {
			return false, 0, err
		}
		a, err = d.client.Post(ctx, uploader.Posting{Method: http.MethodGet, URL: s.DataURL, Header: http.Header{},
			Take: func(body io.Reader) error { return readLines(body, h.take) }})
		if err != nil || a.Status < 200 || a.Status > 299 { // expired, say: the next question gets a new address
			return false, 0, err
		}
	}
	if err := h.flush(); err != nil {
		return false, 0, err
	}
	return true, 0, nil
}

// askStatus reads a status answer; results in it go to h.
func (d *Destination) askStatus(ctx context.Context, address, apiKey string, h *handing) (s status, a uploader.Answer, err error) {
	a, err = d.client.Post(ctx, uploader.Posting{
		Method: http.MethodGet, URL: address, Header: http.Header{"Authorization": {"Bearer " + apiKey}},
		Take: func(body io.Reader) error {
			s, err = readStatus(body, h.take)
			return err
		},
	})
	return s, a, err
}

// A handing hands results on, a hundred at a time.
type handing struct {
	d     *Destination
	ctx   context.Context //nolint:containedctx // lives as long as one answer is read
	p     *pending
	found []spool.Detection
	keys  []key
	mine  map[key]int // place in keys
}

// take notes one result: that of an object of this request that has none. Of
// two for one object the later counts.
func (h *handing) take(res result) error {
	k, ok := parseID(res.ID)
	if !ok {
		return nil
	}
	sequence, missing := h.d.awaited.missing(h.p, k)
	if !missing {
		return nil // it came before, or another request is newer
	}
	rec := spool.Record{Sequence: sequence}
	if h.d.deps.Envelope != nil {
		if r, there := h.d.deps.Envelope(sequence); there && keyOf(&r) == k {
			rec = r
			rec.Sequence = sequence
		}
	}
	found := h.d.detection(res, h.p.id, &rec)
	if i, again := h.mine[k]; again {
		h.found[i] = found
		return nil
	}
	if h.mine == nil {
		h.mine = map[key]int{}
	}
	h.mine[k] = len(h.found)
	h.found, h.keys = append(h.found, found), append(h.keys, k)
	if len(h.found) >= handBatch {
		return h.flush()
	}
	return nil
}

// flush hands on what was noted.
func (h *handing) flush() error {
	if len(h.found) == 0 {
		return nil
	}
	if _, err := h.d.deps.Detections.Detect(h.ctx, h.found...); err != nil {
		return fmt.Errorf("hand on results: %w", err)
	}
	h.d.awaited.arrived(h.p, h.keys)
	h.found, h.keys = nil, nil
	clear(h.mine)
	return nil
}
