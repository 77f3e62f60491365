package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/openapi"
)

// Descriptions are for whoever may read.
func TestDescriptionsAreServedToReaders(t *testing.T) {
	file := func(name string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(name+"-0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := "http://" + start(t, Config{Tokens: Tokens{Admin: file("admin"), Consume: file("consume"), Ingest: file("ingest")}}, &testAgent{}, nil)
	for token, want := range map[string]int{"": 401, "ingest": 403, "consume": 200, "admin": 200} {
		bearer := ""
		if token != "" {
			bearer = "Bearer " + token + "-0123456789abcdef"
		}
		for _, name := range append(openapi.Names(), "") {
			code, _, text := ask(t, "GET", base+openapi.Prefix+name, "", "Authorization", bearer)
			if code != want || want == 200 && !strings.Contains(text, "openapi") || want != 200 && !strings.Contains(text, `"success":false`) {
				t.Errorf("%s with token %q: got %d %.80q, want %d", name, token, code, text, want)
			}
		}
	}
	bearer := "Bearer consume-0123456789abcdef"
	if code, _, text := ask(t, "GET", base+openapi.Prefix+"none.yaml", "", "Authorization", bearer); code != 404 || !strings.Contains(text, openapi.Prefix) {
		t.Errorf("one that there is not: got %d %s", code, text)
	}
	if code, _, text := ask(t, "POST", base+openapi.Prefix+"data.yaml", "", "Authorization", bearer); code != 405 {
		t.Errorf("a method that it does not take: got %d %s", code, text)
	}
}
