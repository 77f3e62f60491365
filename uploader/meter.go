package uploader

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// A watchdog cancels a request that makes no progress.
type watchdog struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
	// awaiting: the body is out, the answer is what is missing.
	awaiting atomic.Bool
}

func (w *watchdog) bite() {
	if w.awaiting.Load() {
		w.cancel(errNoAnswer)
		return
	}
	w.cancel(errStalled)
}

// reset notes progress.
func (w *watchdog) reset(awaiting bool) {
	w.awaiting.Store(awaiting)
	if awaiting {
		w.timer.Reset(answerLimit)
		return
	}
	w.timer.Reset(stallLimit)
}

// A meteredBody counts, paces and watches a body on its way out.
type meteredBody struct {
	io.ReadCloser
	client *Client
	watch  *watchdog
	ctx    context.Context
	left   int64
}

func (b *meteredBody) Read(p []byte) (int, error) {
	if limiter := b.client.rate; limiter != nil {
		p = p[:min(len(p), limiter.Burst())]
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 && b.client.rate != nil {
		if wait := b.client.rate.WaitN(b.ctx, n); wait != nil {
			return 0, wait
		}
	}
	b.client.sent.Add(int64(n))
	b.left -= int64(n)
	b.watch.reset(b.left <= 0)
	return n, err
}

// A progressReader tells the watchdog of every byte of the answer.
type progressReader struct {
	io.Reader
	watch *watchdog
}

func (r progressReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.watch.reset(false)
	}
	return n, err
}
