package listener

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/edgespool/edgespool/sampler"
)

// The two endpoints of a category.
const (
	endpointFiles = "files"
	endpointData  = "data"
)

// route takes /api/{category}/{endpoint} apart.
func route(path string) (category, endpoint string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return "", "", false
	}
	category, endpoint, ok = strings.Cut(rest, "/")
	return category, endpoint, ok && (endpoint == endpointFiles || endpoint == endpointData)
}

// ServeHTTP answers one request of the ingestion API.
func (s *Source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	category, endpoint, ok := route(r.URL.Path)
	answer := reply{w: w, plain: endpoint == endpointData, wait: s.config.Timeout}
	switch {
	case !ok:
		answer.refuse(refuse(http.StatusNotFound, "No such endpoint, expected POST /api/{category}/files or /api/{category}/data"))
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		answer.refuse(refuse(http.StatusMethodNotAllowed, "Method %s is not allowed, use POST", r.Method))
		return
	}
	v, no := s.door.enter(s.config.MaxRequests)
	if no != nil {
		answer.refuse(no)
		return
	}
	defer s.door.leave(v)
	if choice, _, _ := s.setup.Labelling.Now(); choice.Disabled {
		answer.refuse(later("The source is paused", aWhile))
		return
	}
	outcomes, o, no := s.admit(v, w, r, category, endpoint)
	s.count(outcomes, no)
	switch {
	case no != nil:
		answer.refuse(no)
	case endpoint == endpointFiles:
		answer.write(http.StatusOK, filesBody(outcomes, o.refuseRepeats))
	default:
		answer.single(outcomes, o.refuseRepeats)
	}
}

// admit checks who asks for what, and takes the samples in.
func (s *Source) admit(v *visit, w http.ResponseWriter, r *http.Request, category, endpoint string) ([]outcome, order, *refusal) {
	if no := s.checkKey(r.Header.Get("x-api-key")); no != nil {
		return nil, order{}, no
	}
	if !sampler.IsCategory(category) && category != sampler.CategorySplit {
		// The vendor's clients pass any word on, and take 400 for final.
		return nil, order{}, refuse(http.StatusBadRequest, "Invalid category %q, expected %s or %s",
			category, strings.Join(sampler.Categories, ", "), sampler.CategorySplit)
	}
	o, no := readOrder(r.Header)
	if no != nil {
		return nil, order{}, no
	}
	o.category, o.legacy = category, endpoint == endpointData
	choice, left, _ := s.setup.Labelling.Now()
	o.follow(choice, left > 0)

	wire := &patientReader{control: http.NewResponseController(w), wait: s.config.Timeout}
	v.hold(wire)
	body, err := openBody(w, r, wire, int64(s.config.MaxRequest))
	if err != nil {
		return nil, o, bodyRefusal(err)
	}
	// A client may close its half of the connection when it has sent all;
	// what is here whole is kept, whether it waits for the answer or not.
	ctx := context.WithoutCancel(r.Context())
	limit := min(int64(s.config.MaxFile), sampler.MaxBody)
	sent := &shipment{sink: v.sink, limit: limit, inMemory: &s.inMemory}
	defer sent.letGo()
	if no := sent.unload(ctx, r, body, o); no != nil {
		return nil, o, no
	}
	outcomes, no := s.keep(ctx, v.sink, o, sent)
	return outcomes, o, no
}

// checkKey compares in constant time, and the hashes rather than the keys so
// that their lengths do not matter either.
func (s *Source) checkKey(given string) *refusal {
	if s.key == nil {
		return nil
	}
	key, err := s.key()
	if err != nil || key == "" {
		return later("The agent cannot read the key of this source", aWhile)
	}
	if given == "" {
		return refuse(http.StatusUnauthorized, "Missing x-api-key header")
	}
	want, got := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return refuse(http.StatusUnauthorized, "Invalid API key")
	}
	return nil
}
