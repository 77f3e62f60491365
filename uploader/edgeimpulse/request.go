package edgeimpulse

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// A group is what all records of one request have in common, since the
// service takes it from the request's headers.
type group struct {
	endpoint, dataset string
	label, metadata   string
	labelled          bool
}

// A request is some records of a batch that go out together.
type request struct {
	group
	records []*spool.Record
	at      []int // their places in the batch
	names   []string
	bytes   int64
	labels  labelFiles
	// attached are the further files of the record; one that has any goes
	// alone, as the vendor's own clients send every sample.
	attached []attachment
}

// plan cuts a batch into requests, in the order of the batch.
func (d *Destination) plan(batch []spool.Record) []*request {
	var all []*request
	open := make(map[group]*request)
	for i := range batch {
		rec := &batch[i]
		g := d.groupOf(rec)
		name := uploader.FileName(rec)
		r := open[g]
		if r == nil || !r.takes(rec, name, d.config.Batch) {
			r = &request{group: g}
			open[g] = r
			all = append(all, r)
		}
		r.records, r.at, r.names = append(r.records, rec), append(r.at, i), append(r.names, name)
		r.bytes += rec.Size
		r.labels.add(rec, name)
		r.attached = attachments(rec)
	}
	return all
}

func (d *Destination) groupOf(rec *spool.Record) group {
	g := group{
		endpoint: d.config.Endpoint, dataset: rec.Dataset,
		label: rec.Label.Text, labelled: rec.Label.Text != "", metadata: metadataHeader(d.metadata(rec)),
	}
	if hasLabelFiles(rec) { // the older endpoint has no place for them
		g.endpoint = EndpointFiles
	}
	return g
}

// takes tells whether one more record fits. Label files go by name, so that
// with them every name may occur once.
func (r *request) takes(rec *spool.Record, name string, limit BatchConfig) bool {
	if r.endpoint == EndpointData || len(r.records) >= limit.Files || r.bytes+rec.Size > int64(limit.Bytes) {
		return false
	}
	if !hasLabelFiles(rec) && r.labels.empty() {
		return true
	}
	if len(r.attached) > 0 || len(attachments(rec)) > 0 {
		return false
	}
	for _, taken := range r.names {
		if taken == name {
			return false
		}
	}
	return true
}

// send posts the request and returns a verdict for each of its records.
func (d *Destination) send(ctx context.Context, r *request, key keys) []uploader.Verdict {
	press, err := newPress(d.dated, key.hmac)
	if err != nil {
		return r.all(uploader.Verdict{Kind: uploader.Stop, Err: fmt.Errorf("use HMAC key: %w", err)})
	}
	f := newForm()
	for i, rec := range r.records {
		p := part{size: rec.Size, open: rec.Body.Open, record: i}
		if rec.Kind == spool.KindWindow {
			if p.size, err = press.size(rec); err != nil {
				return r.spoiled(i, err)
			}
			p.open = func() (io.ReadCloser, error) { return press.open(rec) }
		}
		f.add(r.names[i], contentType(rec), p)
	}
	for _, a := range r.attached {
		a.addTo(f)
	}
	r.labels.addTo(f)
	posting := uploader.Posting{URL: d.address(r.group), Header: r.header(key.api)}
	if r.endpoint == EndpointData {
		// The form has one part; without its frame it is the body.
		posting.Size, posting.Open = f.parts[0].size, f.bare
		posting.Header.Set("X-File-Name", percentEncode(r.names[0]))
		posting.Header.Set("Content-Type", contentType(r.records[0]))
	} else {
		posting.Size, posting.Open = f.length(), f.body
		posting.Header.Set("Content-Type", f.contentType())
	}
	answer, err := d.client.Post(ctx, posting)
	if err == nil {
		answer.Body = bytes.ReplaceAll(answer.Body, []byte(key.api), []byte("[key]"))
		return verdicts(answer, len(r.records), len(r.attached))
	}
	if fault := f.faulty(); fault != nil && fault.record >= 0 {
		return r.spoiled(fault.record, fault.err)
	}
	return r.all(uploader.Verdict{Err: err})
}

// header is what the whole request says of its records.
func (r *request) header(apiKey string) http.Header {
	h := make(http.Header, 10)
	h.Set("X-Api-Key", apiKey)
	h.Set("X-Upload-Source", "EDGESPOOL")
	h.Set("X-Disallow-Duplicates", "1")
	if r.labelled {
		h.Set("X-Label", percentEncode(r.label))
	} else {
		h.Set("X-No-Label", "1")
	}
	if r.metadata != "" {
		h.Set("X-Metadata", r.metadata)
	}
	return h
}

func (d *Destination) address(g group) string {
	return d.base + "/api/" + url.PathEscape(g.dataset) + "/" + g.endpoint
}

// all gives every record the same verdict.
func (r *request) all(v uploader.Verdict) []uploader.Verdict {
	list := make([]uploader.Verdict, len(r.records))
	for i := range list {
		list[i] = v
	}
	return list
}

// spoiled is the result of a request that ended because the bytes of one
// record could not be had. That record will never be sent if its bytes are
// damaged or not what they were; the others are as they were.
func (r *request) spoiled(at int, err error) []uploader.Verdict {
	list := r.all(uploader.Verdict{Err: errors.New("sent together with a record that could not be read")})
	list[at].Err = fmt.Errorf("read record: %w", err)
	if errors.Is(err, spool.ErrDamaged) || errors.Is(err, errLength) || errors.Is(err, errUnusable) {
		list[at].Kind = uploader.Rejected
	}
	return list
}

func contentType(rec *spool.Record) string {
	return cmp.Or(headerText(rec.ContentType), acquisition.ContentType(uploader.FileName(rec)))
}

// headerText is s if it can stand in a header, else "".
func headerText(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return ""
		}
	}
	return s
}
