package data

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// The states of a request; the last two are its end.
const (
	stateQueued    = "queued"
	stateUploading = "uploading"
	stateIngesting = "ingesting"
	stateSucceeded = "succeeded"
	stateFailed    = "failed"
)

// inlineLimit is how much of results an answer holds; what is larger is
// fetched by download-url. The wire says 5 MiB.
const inlineLimit = 5 << 20

// A request is what can be said of one.
type request struct {
	id          string
	upload      bool
	state       string
	first, last uint64 // its objects lie between, perhaps among others
	expected    int64  // objects that came
	summary     string // what went wrong with some
	// Once it has ended: results, and bytes of those that are no failures.
	results, failed, bytes int64
}

// inlineStatus is the answer for an add.
type inlineStatus struct {
	Namespace string            `json:"namespace"`
	RequestID string            `json:"request_id"`
	Status    string            `json:"status"`
	Data      []json.RawMessage `json:"data"`
	Summary   *string           `json:"error_summary,omitempty"`
}

// addressStatus is the answer for an upload, and for download-url.
type addressStatus struct {
	Namespace string     `json:"namespace"`
	RequestID string     `json:"request_id"`
	Status    string     `json:"status"`
	URL       *string    `json:"data_url"`
	Count     *int64     `json:"data_count"`
	ExpiresAt *time.Time `json:"data_expires_at"`
	Summary   *string    `json:"error_summary,omitempty"`
}

var errNoRequest = errors.New("there is no such request in this namespace, or its objects are gone from the spool")

// findRequest says what is known of a request, counting the results of one
// that has ended.
func (s *Service) findRequest(ctx context.Context, ns, id string) (*namespace, request, error) {
	parsed, ok := parseRequestID(id)
	n := s.findNamespace(ns)
	if !ok || n == nil {
		return nil, request{}, errNoRequest
	}
	q := request{id: id, upload: parsed.upload(), first: parsed.at, expected: int64(parsed.count)}
	if q.upload {
		row, known := s.imports.find(id)
		if !known || row.Namespace != ns {
			return nil, request{}, errNoRequest
		}
		q.first, q.last, q.expected, q.summary = row.First, row.Last, row.Objects, row.summary()
		switch {
		case !row.Uploaded && time.Now().After(row.Expires):
			q.state, q.summary = stateFailed, "no file came before the address for it expired"
		case !row.Uploaded:
			q.state = stateUploading
		case row.Objects == 0:
			q.state = stateFailed
		}
	} else {
		q.last = parsed.last()
		recs, err := s.deps.Spool.ReadFrom(ctx, objectsDataset+ns, q.first, spool.Limit{Records: 1, Bytes: 1})
		if err != nil {
			return nil, request{}, err
		}
		if len(recs) == 0 || recs[0].Sequence != q.first || recs[0].Metadata[metaRequest] != parsed.nonceText() {
			return nil, request{}, errNoRequest
		}
	}
	if q.state == "" {
		if err := s.conclude(ctx, n, &q); err != nil {
			return nil, request{}, err
		}
	}
	return n, q, nil
}

// summary says what was wrong with a file.
func (row importRow) summary() string {
	switch {
	case row.Uploaded && row.Objects == 0 && row.Refused == 0:
		return "the file was empty"
	case row.Refused > 0:
		return fmt.Sprintf("%d of %d lines were refused; %s", row.Refused, row.Refused+row.Objects, row.Reason)
	}
	return ""
}

// conclude finds the state of a request whose objects are all here.
func (s *Service) conclude(ctx context.Context, n *namespace, q *request) error {
	done := n.judgedBefore()
	switch {
	case done <= q.first:
		q.state = stateQueued
		return nil
	case done <= q.last:
		q.state = stateIngesting
		return nil
	}
	err := s.eachResult(ctx, n, *q, func(rec *spool.Record) error {
		if rec.Metadata[metaFailed] != "" {
			q.failed++
			return nil
		}
		q.results++
		q.bytes += rec.Size
		return nil
	})
	if err != nil {
		return err
	}
	q.state = stateSucceeded
	if q.failed > 0 && q.results == 0 {
		q.state = stateFailed
	}
	if q.failed > 0 {
		q.add(fmt.Sprintf("%d of %d objects could not be judged", q.failed, q.expected))
	}
	if missing := q.expected - q.failed - q.results; missing > 0 {
		q.add(fmt.Sprintf("%d of %d results are gone from the spool", missing, q.expected))
	}
	return nil
}

func (q *request) add(more string) {
	if q.summary != "" {
		q.summary += "; "
	}
	q.summary += more
}

// told is what was wrong, nil if nothing was.
func (q *request) told() *string {
	if q.summary == "" {
		return nil
	}
	return &q.summary
}

// status answers with the results of an add, or with an address for those of
// an upload.
func (s *Service) status(w http.ResponseWriter, r *http.Request, c call) {
	n, q, err := s.findRequest(r.Context(), c.namespace, c.request)
	if err != nil {
		refuseRequest(w, err)
		return
	}
	if q.upload {
		s.answerAddress(w, r, n, q)
		return
	}
	a := inlineStatus{Namespace: n.name, RequestID: q.id, Status: q.state, Data: []json.RawMessage{}, Summary: q.told()}
	if q.state == stateSucceeded {
		var size int64
		err = s.eachResult(r.Context(), n, q, func(rec *spool.Record) error {
			if rec.Metadata[metaFailed] != "" {
				return nil
			}
			if size += rec.Size; size > inlineLimit {
				return errInline
			}
			line, err := s.resultLine(r, n, rec)
			if err == nil {
				a.Data = append(a.Data, line)
			}
			return err
		})
	}
	if err != nil {
		refuseRequest(w, err)
		return
	}
	answer(w, http.StatusOK, a)
}

var errInline = fmt.Errorf("the results are larger than %d bytes; get them by results/download-url", inlineLimit)

func refuseRequest(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNoRequest):
		refuse(w, http.StatusNotFound, err.Error())
	case errors.Is(err, errInline):
		refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	default:
		refuseFor(w, err)
	}
}
