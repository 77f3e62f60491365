// Package dataapi is the destination that speaks the Data API of SafetyKit: it
// sends a description of each record as an object, few at a time or a backlog
// as a file, and fetches what the service makes of them.
package dataapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// A Memory keeps small values over restarts; the spool is one.
type Memory interface {
	Setting(name string) (value []byte, ok bool)
	SetSetting(name string, value []byte) error
}

// Deps are what a destination is given by the agent. All may be left out.
type Deps struct {
	// Version of the program, for the User-Agent.
	Version string
	// Dated tells a record's true time, as Spool.Dated does.
	Dated func(*spool.Record) (time.Time, bool)
	// Memory keeps the requests whose results are awaited; without it a
	// restart forgets them.
	Memory Memory
	// Envelope finds a record that was sent, as Spool.Envelope does.
	Envelope func(sequence uint64) (spool.Record, bool)
	// Detections takes the results.
	Detections uploader.Detections
	Log        spool.Logger
	// Transport replaces the network, in tests.
	Transport http.RoundTripper
}

// A Destination is one namespace of a service.
type Destination struct {
	config    Config
	base      string // up to the namespace
	deps      Deps
	apiKey    *uploader.Secret
	client    *uploader.Client
	dated     func(*spool.Record) (time.Time, bool)
	awaited   *awaited
	former    atomic.Bool // the service has the former route for uploads
	noUploads atomic.Bool // it has none

	collecting sync.Mutex // one asks for results at a time
	collected  time.Time
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
		config: c, base: strings.TrimRight(c.URL, "/") + "/v1/data/" + c.Namespace, deps: d, dated: d.Dated,
		apiKey: c.apiKey().Secret(),
		client: uploader.NewClient(uploader.ClientOptions{Version: d.Version, Transport: d.Transport}),
	}
	if dest.dated == nil {
		dest.dated = func(*spool.Record) (time.Time, bool) { return time.Time{}, false }
	}
	sum := sha256.Sum256([]byte(dest.base))
	dest.awaited = newAwaited(d.Memory, "data-api/"+hex.EncodeToString(sum[:8]))
	return dest, nil
}

// A parcel is the records of a batch that have yet to go, with their objects.
type parcel struct {
	records []*spool.Record
	at      []int // their places in the batch
	lines   [][]byte
	bytes   int
}

// Send tells the service of the records. One that it has accepted before is
// not sent again; after a lost answer a record is sent twice, under the same
// id, which the service takes for the same object.
func (d *Destination) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	verdicts := make([]uploader.Verdict, len(batch))
	apiKey, err := d.apiKey.Reveal()
	if err != nil {
		return fill(verdicts, uploader.Verdict{Kind: uploader.Stop, Err: fmt.Errorf("API key: %w", err)})
	}
	all := d.pack(ctx, batch, verdicts)
	limit := d.config.Batch
	if len(all.lines) > limit.Objects || all.bytes > int(limit.Bytes) {
		if !d.noUploads.Load() {
			limit = d.config.Bulk
		}
	}
	for first := 0; first < len(all.lines); {
		part := all.part(first, limit)
		first += len(part.lines)
		if ctx.Err() != nil {
			part.judge(verdicts, uploader.Verdict{Err: fmt.Errorf("not sent: %w", context.Cause(ctx))})
			continue
		}
		v := d.deliver(ctx, part, apiKey)
		part.judge(verdicts, v)
		if v.Everywhere() {
			all.rest(first).judge(verdicts, v)
			break
		}
	}
	if d.someStored(verdicts) { // the service answers
		asking, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		d.collect(asking, 2)
	}
	return verdicts
}

// askTime bounds what a Send spends on results.
const askTime = 15 * time.Second

func (d *Destination) someStored(verdicts []uploader.Verdict) bool {
	for _, v := range verdicts {
		if v.Kind == uploader.Stored {
			return true
		}
	}
	return false
}

func fill(all []uploader.Verdict, v uploader.Verdict) []uploader.Verdict {
	for i := range all {
		all[i] = v
	}
	return all
}

// pack makes the objects, and the verdicts of records that have none to send.
func (d *Destination) pack(ctx context.Context, batch []spool.Record, verdicts []uploader.Verdict) parcel {
	var p parcel
	for i := range batch {
		rec := &batch[i]
		if ctx.Err() != nil {
			verdicts[i] = uploader.Verdict{Err: fmt.Errorf("not sent: %w", context.Cause(ctx))}
			continue
		}
		if id, there := d.awaited.accepted(keyOf(rec)); there {
			verdicts[i] = uploader.Verdict{Kind: uploader.AlreadyThere, RemoteID: id}
			continue
		}
		line, err := d.makeObject(rec)
		if err != nil {
			verdicts[i] = uploader.Verdict{Err: fmt.Errorf("read record: %w", err)}
			if errors.Is(err, spool.ErrDamaged) || errors.Is(err, errUnusable) {
				verdicts[i].Kind = uploader.Rejected
			}
			continue
		}
		p.records, p.at, p.lines = append(p.records, rec), append(p.at, i), append(p.lines, line)
		p.bytes += len(line) + 1
	}
	return p
}

// part takes as much from one place on as a request holds.
func (p *parcel) part(first int, limit BatchConfig) parcel {
	end, size := first, 0
	for end < len(p.lines) && end-first < limit.Objects && (end == first || size+len(p.lines[end]) < int(limit.Bytes)) {
		size += len(p.lines[end]) + 1
		end++
	}
	return parcel{p.records[first:end], p.at[first:end], p.lines[first:end], size}
}

func (p *parcel) rest(first int) *parcel {
	return &parcel{records: p.records[first:], at: p.at[first:], lines: p.lines[first:]}
}

func (p *parcel) judge(verdicts []uploader.Verdict, v uploader.Verdict) {
	v.Batch = v.Batch && len(p.at) > 1
	for _, i := range p.at {
		verdicts[i] = v
	}
}

// deliver sends one request: few objects as an array, more as a file.
func (d *Destination) deliver(ctx context.Context, p parcel, apiKey string) uploader.Verdict {
	var v uploader.Verdict
	if len(p.lines) > d.config.Batch.Objects || p.bytes > int(d.config.Batch.Bytes) && len(p.lines) > 1 {
		v = d.upload(ctx, p, apiKey)
	} else {
		v = d.add(ctx, p, apiKey)
	}
	if v.Kind == uploader.Stored {
		d.accept(v.RemoteID, p)
	}
	return v
}

// accept remembers what was accepted, and that its results are to be fetched.
func (d *Destination) accept(request string, p parcel) {
	objects := make([]sent, 0, len(p.records))
	for _, rec := range p.records {
		objects = append(objects, sent{keyOf(rec), rec.Sequence})
	}
	if !d.collects() {
		d.awaited.note(request, objects)
		return
	}
	dropped, err := d.awaited.add(request, objects)
	if err != nil {
		d.warn("request is not remembered over a restart; its results are fetched until then", "error", err)
	}
	if dropped != "" {
		d.warn("too many requests have no results yet: those of the oldest are given up", "request", dropped)
	}
}

func (d *Destination) warn(text string, args ...any) {
	if d.deps.Log != nil {
		d.deps.Log.Warn(text, append([]any{"host", uploader.SafeURL(d.config.URL), "namespace", d.config.Namespace}, args...)...)
	}
}

// BatchLimit is what one Send can have under way.
func (d *Destination) BatchLimit() spool.Limit {
	return spool.Limit{Records: max(d.config.Batch.Objects, d.config.Bulk.Objects), Bytes: 8 << 20}
}

// Tidy fetches results while there is nothing to send.
func (d *Destination) Tidy(ctx context.Context, final bool) time.Duration {
	if final || !d.collects() {
		return 0
	}
	d.collect(ctx, maxAwaited)
	return d.awaited.dueIn(time.Now())
}

// CredentialsChanged tells whether the key file is another one than was used.
func (d *Destination) CredentialsChanged() bool { return d.apiKey.Changed() }

// BytesSent counts the bytes of all request bodies, repeats included.
func (d *Destination) BytesSent() int64 { return d.client.BytesSent() }

// Close hangs up the kept connections.
func (d *Destination) Close() error {
	d.client.CloseIdle()
	return nil
}
