// Package edgeimpulse is the destination Edge Impulse: it posts records to the
// ingestion service of that name, or to one that speaks like it, many in one
// request, and reads what became of each.
package edgeimpulse

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// Deps are what a destination is given by the agent. All may be left out.
type Deps struct {
	// Version of the program, for the User-Agent.
	Version string
	// Dated tells a record's true time, as Spool.Dated does; without it no
	// window is dated.
	Dated func(*spool.Record) (time.Time, bool)
	// ClockKnown tells whether the wall clock can be trusted; hours do not
	// count while it cannot. Without it the clock counts as known.
	ClockKnown func() bool
	// Transport replaces the network, in tests.
	Transport http.RoundTripper
}

// A Destination is one project's ingestion service.
type Destination struct {
	config     Config
	base       string
	apiKey     *uploader.Secret
	hmacKey    *uploader.Secret // nil: documents are unsigned
	client     *uploader.Client
	dated      func(*spool.Record) (time.Time, bool)
	clockKnown func() bool
}

// keys are the credentials of one Send.
type keys struct {
	api  string
	hmac []byte
}

// New makes a destination of a configuration that Validate finds no fault in.
// It does not connect.
func New(c Config, d Deps) (*Destination, error) {
	var faults []string
	c.Validate(func(field, problem, remedy string) { faults = append(faults, field+": "+problem+"; "+remedy) })
	if len(faults) > 0 {
		return nil, fmt.Errorf("set up destination: %s", strings.Join(faults, "; "))
	}
	dest := &Destination{
		config: c, base: strings.TrimRight(c.URL, "/"),
		apiKey: c.apiKey().Secret(), hmacKey: c.hmacKey().Secret(),
		client: uploader.NewClient(uploader.ClientOptions{Version: d.Version, Rate: c.Limit.Rate.limiter(), Transport: d.Transport}),
		dated:  d.Dated, clockKnown: d.ClockKnown,
	}
	if dest.dated == nil {
		dest.dated = func(*spool.Record) (time.Time, bool) { return time.Time{}, false }
	}
	if dest.clockKnown == nil {
		dest.clockKnown = func() bool { return true }
	}
	return dest, nil
}

// Send posts the batch: one request for each group of records with the same
// category, label and metadata, several at once. Repeating it is safe, since
// the service is asked to refuse duplicates and a repeat has the same bytes.
func (d *Destination) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	all := make([]uploader.Verdict, len(batch))
	requests := d.plan(batch)
	key, err := d.keys()
	if err != nil {
		return fill(all, uploader.Verdict{Kind: uploader.Stop, Err: err})
	}
	var next, end sync.Mutex
	var hopeless *uploader.Verdict // what makes further requests senseless
	i := 0
	take := func() (*request, *uploader.Verdict) {
		next.Lock()
		defer next.Unlock()
		if i == len(requests) {
			return nil, nil
		}
		i++
		if ctx.Err() != nil && hopeless == nil {
			hopeless = &uploader.Verdict{Err: fmt.Errorf("not sent: %w", context.Cause(ctx))}
		}
		return requests[i-1], hopeless
	}
	put := func(r *request, verdicts []uploader.Verdict) {
		end.Lock()
		defer end.Unlock()
		for j, v := range verdicts {
			all[r.at[j]] = v
		}
	}
	work := func() {
		for {
			r, spared := take()
			switch {
			case r == nil:
				return
			case spared != nil:
				put(r, r.all(*spared))
				continue
			}
			verdicts := d.send(ctx, r, key)
			put(r, verdicts)
			if v := verdicts[0]; v.Everywhere() {
				next.Lock()
				hopeless = &v
				next.Unlock()
			}
		}
	}
	var workers sync.WaitGroup
	for range min(d.config.Concurrency, len(requests)) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
	return all
}

func fill(all []uploader.Verdict, v uploader.Verdict) []uploader.Verdict {
	for i := range all {
		all[i] = v
	}
	return all
}

// keys reads the credentials. Without the HMAC key that is configured nothing
// is sent, since the service would take wrong signatures without a word.
func (d *Destination) keys() (k keys, err error) {
	if k.api, err = d.apiKey.Reveal(); err != nil {
		return keys{}, fmt.Errorf("API key: %w", err)
	}
	if d.hmacKey == nil {
		return k, nil
	}
	key, err := d.hmacKey.Reveal()
	if err != nil {
		return keys{}, fmt.Errorf("HMAC key: %w", err)
	}
	k.hmac = []byte(key)
	return k, nil
}

// BatchLimit is what one Send can have under way: a full request for each of
// the concurrent ones.
func (d *Destination) BatchLimit() spool.Limit {
	n := d.config.Concurrency
	return spool.Limit{Records: d.config.Batch.Files * n, Bytes: int64(d.config.Batch.Bytes) * int64(n)}
}

// OpensIn is how long until records of this dataset may go out: anomalies at
// any time, others within the hours, and everything while the clock is not
// known.
func (d *Destination) OpensIn(dataset string) time.Duration {
	if dataset == "anomaly" || !d.clockKnown() {
		return 0
	}
	return d.config.Limit.Hours.opensIn(time.Now())
}

// CredentialsChanged tells whether a key file is another one than was used.
func (d *Destination) CredentialsChanged() bool { return d.apiKey.Changed() || d.hmacKey.Changed() }

// BytesSent counts the bytes of all request bodies, repeats included.
func (d *Destination) BytesSent() int64 { return d.client.BytesSent() }

// Close hangs up the kept connections.
func (d *Destination) Close() error {
	d.client.CloseIdle()
	return nil
}
