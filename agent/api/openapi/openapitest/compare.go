package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// families are what the paths of each description begin with.
var families = []string{"/api/v1/", "/v1/data/", "/v1/detection", "/v1/files"}

// fault says what of an exchange is not as it is described; nil if all is, or
// if the path is of no description.
func (x *exchange) fault() error {
	path := x.request.URL.Path
	if x.code == 0 { // a handler that writes nothing answers 200
		x.code, x.header = http.StatusOK, http.Header{}
	}
	family := slices.IndexFunc(families, func(f string) bool { return strings.HasPrefix(path, f) })
	if family < 0 {
		return nil
	}
	doc := x.docs[min(family, len(x.docs)-1)]
	template, params := find(doc, parts(x.request.URL, family))
	if template == "" {
		return x.refused(doc, "a path that is not described", http.StatusNotFound)
	}
	item, method := doc.Paths.Value(template), x.request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	operation := item.GetOperation(method)
	if operation == nil {
		return x.refused(doc, "a method that is not described", http.StatusMethodNotAllowed)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: x.again(), PathParams: params,
		Route: &routers.Route{Spec: doc, Path: template, PathItem: item, Method: method, Operation: operation},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
			ExcludeRequestBody: x.sent.cut || !isJSON(x.request.Header)},
	}
	if err := x.answered(input); err != nil {
		return err
	}
	if x.code >= http.StatusBadRequest {
		return nil
	}
	if err := openapi3filter.ValidateRequest(x.request.Context(), input); err != nil {
		return fmt.Errorf("it was taken, and by the description it is wrong: %w", err)
	}
	return nil
}

// parts takes a path apart as its family does: that of the streams unescapes
// first, and lets a path end in a slash; the last ones unescape each part.
func parts(u *url.URL, family int) []string {
	switch family {
	case 0:
		return strings.Split(strings.TrimSuffix(u.Path, "/"), "/")
	case 1:
		return strings.Split(u.Path, "/")
	}
	all := strings.Split(u.EscapedPath(), "/")
	for i, part := range all {
		if plain, err := url.PathUnescape(part); err == nil {
			all[i] = plain
		}
	}
	return all
}

// find looks for a path of a description; one with fewer parameters goes
// first.
func find(doc *openapi3.T, parts []string) (template string, params map[string]string) {
	for _, candidate := range doc.Paths.InMatchingOrder() {
		names := strings.Split(candidate, "/")
		if len(names) != len(parts) {
			continue
		}
		found := map[string]string{}
		fits := true
		for i, name := range names {
			if inner, ok := strings.CutPrefix(name, "{"); ok && parts[i] != "" {
				found[strings.TrimSuffix(inner, "}")] = parts[i]
			} else if name != parts[i] {
				fits = false
			}
		}
		if fits {
			return candidate, found
		}
	}
	return "", nil
}

// again is the request with the body that was read of it.
func (x *exchange) again() *http.Request {
	r := x.request.Clone(x.request.Context())
	r.Body = io.NopCloser(bytes.NewReader(x.sent.Bytes()))
	r.ContentLength = int64(x.sent.Len())
	if r.Header.Get("Content-Type") == "" && x.sent.Len() > 0 {
		r.Header.Set("Content-Type", "application/json") // as the agent takes it
	}
	return r
}

func isJSON(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return kind == "" || strings.EqualFold(strings.TrimSpace(kind), "application/json")
}

// answered compares the answer: its status, its headers, its type and, of
// JSON, its body.
func (x *exchange) answered(input *openapi3filter.RequestValidationInput) error {
	described := input.Route.Operation.Responses.Status(x.code)
	if described == nil {
		return fmt.Errorf("this status is not described; the body is %.200q", x.got.Bytes())
	}
	options := *input.Options
	options.ExcludeResponseBody = x.request.Method == http.MethodHead || x.got.cut || !isJSON(x.header) || described.Value.Content.Get("application/json") == nil
	err := openapi3filter.ValidateResponse(x.request.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: x.code, Header: x.header, Options: &options,
		Body: io.NopCloser(bytes.NewReader(x.got.Bytes())),
	})
	switch kind := x.header.Get("Content-Type"); {
	case err != nil:
		return err
	case len(described.Value.Content) == 0 && x.got.Len() > 0:
		return fmt.Errorf("it has a body of %d bytes, and none is described", x.got.Len())
	case x.got.Len() > 0 && described.Value.Content.Get(kind) == nil:
		return fmt.Errorf("its type %q is not described", kind)
	}
	return nil
}

// refused compares an answer to what no description has: it has to be a
// refusal in the family's form.
func (x *exchange) refused(doc *openapi3.T, what string, want int) error {
	allowed := []int{want, http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest}
	if !slices.Contains(allowed, x.code) {
		return fmt.Errorf("%s has to be answered with one of %v; the body is %.200q", what, allowed, x.got.Bytes())
	}
	if x.code == http.StatusMethodNotAllowed && x.header.Get("Allow") == "" {
		return fmt.Errorf("405 without a header Allow")
	}
	if x.request.Method == http.MethodHead {
		return nil
	}
	var body any
	if err := json.Unmarshal(x.got.Bytes(), &body); err != nil {
		return fmt.Errorf("%s: %.200q is not JSON", what, x.got.Bytes())
	}
	return doc.Components.Schemas["Error"].Value.VisitJSON(body)
}
