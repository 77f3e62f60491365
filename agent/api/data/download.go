package data

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// issueDownload answers with an address for the results of any request.
func (s *Service) issueDownload(w http.ResponseWriter, r *http.Request, c call) {
	n, q, err := s.findRequest(r.Context(), c.namespace, c.request)
	if err != nil {
		refuseRequest(w, err)
		return
	}
	s.answerAddress(w, r, n, q)
}

func (s *Service) answerAddress(w http.ResponseWriter, r *http.Request, n *namespace, q request) {
	a := addressStatus{Namespace: n.name, RequestID: q.id, Status: q.state, Summary: q.told()}
	if q.state == stateSucceeded {
		until := time.Now().Add(addressLife).UTC().Truncate(time.Second)
		address, err := s.signed(r, http.MethodGet, Prefix+n.name+"/results/"+q.id, until)
		if err != nil {
			refuseFor(w, err)
			return
		}
		a.URL, a.Count, a.ExpiresAt = &address, &q.results, &until
	}
	answer(w, http.StatusOK, a)
}

// resultLine is a result as the wire has it.
func (s *Service) resultLine(r *http.Request, n *namespace, rec *spool.Record) (json.RawMessage, error) {
	res, err := readResult(rec)
	if err != nil {
		return nil, err
	}
	res.URL = s.link(r, n.name, rec.Metadata[metaRequest])
	return json.Marshal(res)
}

// download gives the results of a request as a file, one on each line.
func (s *Service) download(w http.ResponseWriter, r *http.Request, c call) {
	if !s.admitted(w, r) {
		return
	}
	n, q, err := s.findRequest(r.Context(), c.namespace, c.request)
	if err != nil {
		refuseRequest(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	err = s.eachResult(r.Context(), n, q, func(rec *spool.Record) error {
		if rec.Metadata[metaFailed] != "" {
			return nil
		}
		line, err := s.resultLine(r, n, rec)
		if err == nil {
			patient(w)
			_, err = w.Write(append(line, '\n'))
		}
		return err
	})
	if err != nil {
		panic(http.ErrAbortHandler) // so that half a file does not look whole
	}
}
