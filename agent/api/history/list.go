package history

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/edgespool/edgespool/spool"
)

// page is a part of the list.
type page struct {
	TotalCount int64    `json:"totalCount"`
	Count      int      `json:"count"`
	Data       []record `json:"data"`
}

// list answers with a page of the history. Whoever takes one page after the
// other while detections come follows the Link of each: it names the highest id
// of the first page, behind which nothing changes.
func (h *History) list(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found, err := h.parts.Store.Detections(r.Context(), h.detections(&q))
	if err != nil {
		refuseError(w, err)
		return
	}
	p := page{TotalCount: found.Total, Count: len(found.Detections), Data: make([]record, 0, len(found.Detections))}
	for i := range found.Detections {
		p.Data = append(p.Data, h.record(&found.Detections[i], base(r)))
	}
	if next := int64(q.offset) + int64(q.limit); next < found.Total {
		if q.through == 0 {
			q.through = found.Newest
		}
		w.Header().Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", nextPage(r.URL.Query(), next, q.through)))
	}
	answer(w, http.StatusOK, p)
}

// nextPage is the address of the next page, relative to this server.
func nextPage(values url.Values, offset int64, through uint64) string {
	values.Set("offset", strconv.FormatInt(offset, 10))
	values.Set("throughId", strconv.FormatUint(through, 10))
	return "/v1/detection?" + values.Encode()
}

// result is one record in an answer.
type result struct {
	Result record `json:"result"`
}

// one answers with one record.
func (h *History) one(w http.ResponseWriter, r *http.Request) {
	d, ok := h.find(w, r, r.PathValue("id"))
	if ok {
		answer(w, http.StatusOK, result{h.record(&d, base(r))})
	}
}

// find finds a detection by its id, and answers itself when there is none.
func (h *History) find(w http.ResponseWriter, r *http.Request, text string) (d spool.Detection, ok bool) {
	id, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		Refuse(w, http.StatusBadRequest, fmt.Sprintf("%q is not the id of a detection, which is a number", text))
		return d, false
	}
	found, err := h.parts.Store.Detections(r.Context(), spool.DetectionQuery{First: id, Last: max(id, 1), Limit: 1})
	switch {
	case err != nil:
		refuseError(w, err)
	case id == 0 || len(found.Detections) == 0:
		Refuse(w, http.StatusNotFound, fmt.Sprintf("there is no detection %d, or no more", id))
	default:
		return found.Detections[0], true
	}
	return d, false
}

// refuseError answers what the spool says.
func refuseError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, spool.ErrFull), errors.Is(err, spool.ErrReadOnly), errors.Is(err, spool.ErrClosed):
		w.Header().Set("Retry-After", "10")
		Refuse(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, spool.ErrTooLarge):
		Refuse(w, http.StatusRequestEntityTooLarge, err.Error())
	default:
		Refuse(w, http.StatusInternalServerError, err.Error())
	}
}
