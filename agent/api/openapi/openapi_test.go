package openapi_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/openapi"
	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
)

func TestDescriptionsAreDescriptions(t *testing.T) {
	for _, name := range openapi.Names() {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := openapi.File(name)
		if err != nil || !bytes.Equal(source, packed) {
			t.Errorf("%s.gz is not %s (%v): run go generate ./agent/api/openapi", name, name, err)
		}
		doc, err := openapitest.Load(t.Context(), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids := map[string]bool{}
		for path, item := range doc.Paths.Map() {
			for method, o := range item.Operations() {
				if o.OperationID == "" || o.Summary == "" || ids[o.OperationID] {
					t.Errorf("%s: %s %s needs a summary and an operationId of its own", name, method, path)
				}
				ids[o.OperationID] = true
			}
		}
	}
}

func TestServe(t *testing.T) {
	ask := func(path string) (bool, *httptest.ResponseRecorder) {
		w := httptest.NewRecorder()
		return openapi.Serve(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)), w
	}
	_, index := ask(openapi.Prefix)
	for _, name := range openapi.Names() {
		if !strings.Contains(index.Body.String(), `"`+openapi.Prefix+name+`"`) {
			t.Errorf("%s is missing in %s", name, index.Body)
		}
		if there, w := ask(openapi.Prefix + name); !there || !strings.HasPrefix(w.Body.String(), "openapi: 3.") || w.Header().Get("Content-Type") != "application/yaml" {
			t.Errorf("%s: got %v %v %.40q", name, there, w.Header(), w.Body)
		}
	}
	for _, path := range []string{"none.yaml", "../openapi.go", "streams.yaml/", "/", "streams"} {
		if there, w := ask(openapi.Prefix + path); there || w.Body.Len() > 0 {
			t.Errorf("%s: got %q", path, w.Body)
		}
	}
}
