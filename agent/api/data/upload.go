package data

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// uploadBatch bounds what of an upload waits for one commit.
var uploadBatch = spool.Limit{Records: 1000, Bytes: 1 << 20}

// issued is the answer to the wish to upload.
type issued struct {
	RequestID string    `json:"requestId"`
	Status    string    `json:"status"`
	ObjectKey string    `json:"objectKey"`
	UploadURL string    `json:"upload_url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// issueUpload signs an address for one file.
func (s *Service) issueUpload(w http.ResponseWriter, r *http.Request, c call) {
	schema, ok := readWish(w, r)
	if !ok {
		return
	}
	if _, ok := s.begin(w, c.namespace, schema); !ok {
		return
	}
	now := time.Now().UTC().Truncate(time.Second)
	id := requestID{at: uint64(max(now.UnixMilli(), 0)) & (1<<48 - 1)}
	_, _ = rand.Read(id.nonce[:]) // never fails, says its documentation
	row := importRow{ID: id.String(), Namespace: c.namespace, Expires: now.Add(addressLife)}
	address, err := s.signed(r, http.MethodPut, Prefix+c.namespace+"/uploads/"+row.ID, row.Expires)
	if err == nil {
		err = s.imports.put(row)
	}
	if err != nil {
		refuseFor(w, err)
		return
	}
	answer(w, http.StatusOK, issued{
		RequestID: row.ID, Status: "pending_upload", UploadURL: address, ExpiresAt: row.Expires,
		ObjectKey: "edgespool/data-api-request-input/" + c.namespace + "/" + row.ID + ".jsonl",
	})
}

// readWish reads the body of the wish to upload: nothing, or an object, in
// which only a schema means something.
func readWish(w http.ResponseWriter, r *http.Request) (schema json.RawMessage, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSettings))
	if err != nil {
		refuseFor(w, err)
		return nil, false
	}
	if len(body) == 0 {
		return nil, true
	}
	if !acceptable(w, r) {
		return nil, false
	}
	var members map[string]json.RawMessage
	err = json.Unmarshal(body, &members)
	if schema = members["schema"]; err == nil && schema != nil {
		_, err = parseSchema(schema)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "read body: "+err.Error())
		return nil, false
	}
	return schema, true
}

// upload takes a file of objects, one on each line, and keeps them as they
// come. The request begins once the file has come whole; a file that broke
// off may be sent again, and brings nothing twice.
func (s *Service) upload(w http.ResponseWriter, r *http.Request, c call) {
	if !s.admitted(w, r) {
		return
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		refuse(w, http.StatusUnsupportedMediaType, "send the file as it is, without a Content-Encoding")
		return
	}
	row, known := s.imports.find(c.request)
	if !known || row.Namespace != c.namespace {
		refuse(w, http.StatusForbidden, "this upload is not known any more; ask for a new address")
		return
	}
	n, err := s.openNamespace(c.namespace)
	if err != nil {
		refuseFor(w, err)
		return
	}
	if !s.imports.begin(row.ID) {
		refuse(w, http.StatusConflict, "another client is sending this file at the moment")
		return
	}
	defer s.imports.end(row.ID)
	in := &intake{service: s, namespace: n, row: importRow{ID: row.ID, Namespace: row.Namespace, Expires: row.Expires}}
	err = in.all(r.Context(), newLineReader(&patientReader{r.Body, w}, int(s.config.Bytes)))
	if err == nil {
		in.row.Uploaded = true
		err = s.imports.put(in.row)
	}
	var broken *bodyError
	switch {
	case errors.As(err, &broken):
		refuse(w, http.StatusBadRequest, "the file ended too early; send it again")
		return
	case err != nil:
		refuseFor(w, err)
		return
	}
	s.wake()
	patient(w)
	w.WriteHeader(http.StatusOK)
}

// A bodyError is a fault of the connection and not of the spool.
type bodyError struct{ error }

// An intake is a file on its way in.
type intake struct {
	service   *Service
	namespace *namespace
	row       importRow
	batch     []spool.Record
	bytes     int64
	line      uint64
}

// all takes every line of the file.
func (in *intake) all(ctx context.Context, lines *lineReader) error {
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return in.flush(ctx)
		}
		in.line++
		switch {
		case errors.Is(err, errLongLine):
			in.refuse(err)
			continue
		case err != nil:
			return &bodyError{err}
		case len(line) == 0:
			continue
		}
		o, err := parseObject(line)
		if err != nil {
			in.refuse(err)
			continue
		}
		rec := in.service.record(in.row.Namespace, o, in.row.ID, in.line)
		if sequence, there := in.service.deps.Spool.Seen(rec.Identity); there { // it came in an earlier try
			in.count(sequence)
			continue
		}
		in.batch = append(in.batch, rec)
		if in.bytes += int64(len(o.text)); len(in.batch) >= uploadBatch.Records || in.bytes >= uploadBatch.Bytes {
			if err := in.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// refuse counts a line that is no object.
func (in *intake) refuse(why error) {
	in.row.Refused++
	if in.row.Reason == "" {
		in.row.Reason = fmt.Sprintf("line %d: %.200s", in.line, why)
	}
}

// count notes an object that is safe.
func (in *intake) count(sequence uint64) {
	if in.row.Objects == 0 || sequence < in.row.First {
		in.row.First = sequence
	}
	in.row.Objects++
	in.row.Last = max(in.row.Last, sequence)
}

// flush makes what came so far durable.
func (in *intake) flush(ctx context.Context) error {
	if len(in.batch) == 0 {
		return nil
	}
	receipt, err := in.service.deps.Spool.Append(ctx, in.batch...)
	if err == nil {
		err = receipt.Wait(ctx)
	}
	if err != nil {
		return err
	}
	for _, r := range receipt.Results {
		in.count(r.Sequence)
	}
	in.batch, in.bytes = in.batch[:0], 0
	in.namespace.committed(in.row.Last)
	in.service.wake()
	return nil
}
