package uploader

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// Connections is how many a client keeps to its host at most.
	Connections = 4
	// stallLimit is how long a request may go without a byte of progress.
	stallLimit = 60 * time.Second
	// answerLimit is how long an answer may take once all is sent: the far
	// side may be busy with a batch.
	answerLimit = 120 * time.Second
	// answerBytes bounds what is read of an answer.
	answerBytes = 1 << 20
	// sendBuffer bounds what the kernel takes ahead of the wire, so that
	// "all is sent" is nearly true on a slow line (128 KiB are 13 s at
	// 10 KB/s), and so that four connections cost little memory.
	sendBuffer = 128 << 10
)

var (
	errStalled  = fmt.Errorf("not a byte went through for %v", stallLimit)
	errNoAnswer = fmt.Errorf("no answer within %v", answerLimit)
)

// ClientOptions say how a Client behaves.
type ClientOptions struct {
	// Version goes into the User-Agent.
	Version string
	// Rate bounds all bodies together, in bytes per second; nil is no bound.
	// Its burst is the largest piece that goes out at once.
	Rate *rate.Limiter
	// Transport replaces the network, in tests.
	Transport http.RoundTripper
}

// A Client posts to one host: kept alive, over at most 4 connections, without
// a total deadline but never stuck, every byte of a body counted.
type Client struct {
	http  *http.Client
	agent string
	rate  *rate.Limiter
	sent  atomic.Int64
}

// NewClient makes a client; it connects when it posts. HTTP_PROXY and its
// like are honoured. Redirects are answers: a key never follows them.
func NewClient(o ClientOptions) *Client {
	transport := o.Transport
	if transport == nil {
		transport = newTransport()
	}
	return &Client{
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		agent: "edgespool/" + o.Version,
		rate:  o.Rate,
	}
}

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
				_ = tcp.SetWriteBuffer(sendBuffer) // only a matter of comfort
			}
			return conn, err
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(2 * Connections)},
		TLSHandshakeTimeout:    30 * time.Second,
		Protocols:              protocols,
		MaxConnsPerHost:        Connections,
		MaxIdleConnsPerHost:    Connections,
		IdleConnTimeout:        55 * time.Second, // load balancers hang up after 60 s
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		WriteBufferSize:        16 << 10,
	}
}

// BytesSent counts the bytes of all bodies, repeats included.
func (c *Client) BytesSent() int64 { return c.sent.Load() }

// CloseIdle hangs up the connections that are not in use.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// A Posting is one request.
type Posting struct {
	// Method is POST if it is empty.
	Method string
	URL    string
	Header http.Header
	// Size is the exact length of the body.
	Size int64
	// Open starts the body at its first byte; it may be asked again when a
	// kept connection turns out to be closed. Without it there is no body.
	Open func() (io.ReadCloser, error)
	// Take, if set, reads the body of an answer with a status of success,
	// however long it is; then Answer.Body is empty.
	Take func(body io.Reader) error
}

// An Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	// Body is the beginning of the answer, at most 1 MiB; Cut tells that
	// there was more.
	Body []byte
	Cut  bool
	// RetryAfter is how long the far side asked to wait; 0 if it did not.
	RetryAfter time.Duration
}

// Post sends one request and reads its answer. An error means that there is
// none: with ErrUnavailable nothing has arrived there, else it is not known.
// It never names the address beyond its host.
func (c *Client) Post(ctx context.Context, p Posting) (Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := &watchdog{cancel: cancel}
	watch.timer = time.AfterFunc(stallLimit, watch.bite)
	defer watch.timer.Stop()
	answer, err := c.exchange(ctx, watch, p)
	if err == nil {
		return answer, nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) || errors.Is(cause, errNoAnswer) {
		err = cause
	}
	verb := "post to"
	if p.Method == http.MethodGet {
		verb = "get from"
	}
	return Answer{}, fmt.Errorf("%s %s: %w", verb, SafeURL(p.URL), explain(err))
}

func (c *Client) exchange(ctx context.Context, watch *watchdog, p Posting) (Answer, error) {
	open := func() (io.ReadCloser, error) {
		body, err := p.Open()
		if err != nil {
			return nil, err
		}
		watch.reset(false)
		return &meteredBody{ReadCloser: body, client: c, watch: watch, ctx: ctx, left: p.Size}, nil
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(p.Method, http.MethodPost), p.URL, http.NoBody)
	if err != nil {
		return Answer{}, err
	}
	req.Header = p.Header
	watch.reset(p.Open == nil)
	if p.Open != nil {
		if req.Body, err = open(); err != nil {
			return Answer{}, err
		}
		req.ContentLength, req.GetBody = p.Size, open
	}
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	watch.reset(false)
	var text []byte
	if p.Take != nil && resp.StatusCode >= 200 && resp.StatusCode < 300 {
		err = p.Take(progressReader{resp.Body, watch})
	} else {
		text, err = io.ReadAll(io.LimitReader(progressReader{resp.Body, watch}, answerBytes+1))
	}
	if err != nil {
		return Answer{}, fmt.Errorf("read answer with status %d: %w", resp.StatusCode, err)
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Body: text}
	if len(text) > answerBytes {
		a.Body, a.Cut = text[:answerBytes], true
	}
	a.RetryAfter = RetryAfter(resp.Header, time.Now())
	return a, nil
}

// explain finds words for what went wrong on the way, and marks what speaks
// of the whole destination.
func explain(err error) error {
	err = withoutURL(err)
	var invalid x509.CertificateInvalidError
	var dial *net.OpError
	var name *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: the certificate is not valid at this board's time, %s: check the clock first: %w",
			ErrUnavailable, time.Now().UTC().Format(time.DateTime), err)
	case errors.As(err, &name), errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect"),
		errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
