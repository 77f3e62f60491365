package data

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// addTime is how long the body of an add may take.
const addTime = 2 * time.Minute

// accepted is the answer to an add.
type accepted struct {
	RequestID string `json:"requestId"`
	Status    string `json:"status"`
}

// add takes one object, or an array of them, all or none.
func (s *Service) add(w http.ResponseWriter, r *http.Request, c call) {
	if !acceptable(w, r) {
		return
	}
	select { // what is held in memory is bounded
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-r.Context().Done():
		return
	}
	// However slowly it comes, its place is wanted by others.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(addTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.config.Bytes)))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			refuseFor(w, err)
		} else {
			refuse(w, http.StatusBadRequest, "the body ended too early, or took too long")
		}
		return
	}
	objects, schema, err := s.parseAdd(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if len(objects) > s.config.Objects {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("%d objects are more than %d; send them in parts, or by requests/upload-url", len(objects), s.config.Objects))
		return
	}
	n, ok := s.begin(w, c.namespace, schema)
	if !ok {
		return
	}
	id, err := s.take(r, n, objects)
	if err != nil {
		refuseFor(w, err)
		return
	}
	answer(w, http.StatusOK, accepted{RequestID: id.String(), Status: "accepted"})
}

// take appends the objects of an add and returns once they survive a power
// cut. They lie one behind the other, for nobody else appends meanwhile.
func (s *Service) take(r *http.Request, n *namespace, objects []object) (requestID, error) {
	id := requestID{count: uint16(len(objects))}
	_, _ = rand.Read(id.nonce[:]) // never fails, says its documentation
	recs := make([]spool.Record, len(objects))
	for i, o := range objects {
		recs[i] = s.record(n.name, o, id.nonceText(), uint64(i))
		recs[i].Metadata[metaPlace] = fmt.Sprintf("%d/%d", i, len(objects))
	}
	receipt, err := s.deps.Spool.Append(r.Context(), recs...)
	if err == nil {
		err = receipt.Wait(r.Context())
	}
	if err != nil {
		return requestID{}, err
	}
	id.at = receipt.Results[0].Sequence
	n.committed(receipt.Results[len(recs)-1].Sequence)
	s.wake()
	return id, nil
}

// parseAdd reads the body of an add. Members that mean nothing are let be; a
// schema beside the data is what older clients send.
func (s *Service) parseAdd(body []byte) (objects []object, schema json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, nil, fmt.Errorf("read body: it is not a JSON object: %w", err)
	}
	text, given := members["data"]
	if !given {
		return nil, nil, errors.New(`read body: it has no "data"; send {"data": {"id": "…"}} or {"data": [{"id": "…"}]}`)
	}
	parts := []json.RawMessage{text}
	if text[0] == '[' {
		if err := json.Unmarshal(text, &parts); err != nil {
			return nil, nil, fmt.Errorf("read data: %w", err)
		}
	}
	if len(parts) == 0 {
		return nil, nil, errors.New("read data: it is empty; send at least one object")
	}
	objects = make([]object, 0, len(parts))
	for i, part := range parts {
		o, err := parseObject(part)
		if err != nil {
			return nil, nil, fmt.Errorf("read data: object %d: %w", i, err)
		}
		objects = append(objects, o)
	}
	if schema = members["schema"]; schema != nil {
		if _, err := parseSchema(schema); err != nil {
			return nil, nil, err
		}
	}
	return objects, schema, nil
}

// begin finds or makes the namespace of a request, with the schema that came
// along if it has none yet, or answers why there is none.
func (s *Service) begin(w http.ResponseWriter, name string, schema json.RawMessage) (*namespace, bool) {
	n, err := s.openNamespace(name)
	if errors.Is(err, errNamespaces) {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return nil, false
	}
	if err == nil && schema != nil {
		err = s.settings.begin(name, schema)
	}
	if err != nil {
		refuseFor(w, err)
		return nil, false
	}
	return n, true
}
