package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestRefusedSamplesAreListed: what the far side refuses for good is an
// exception with its reason, listed by a command.
func TestRefusedSamplesAreListed(t *testing.T) {
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"success":false,"error":"the far side does not like it"}`)
	}))
	t.Cleanup(far.Close)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write("agent.yaml", strings.Replace(string(text), "url: "+s.url, "url: "+far.URL, 1))
	s.run()
	if err := post(t.Context(), &http.Client{Timeout: time.Minute}, s, "odd.csv", []byte("timestamp,x\n0,1\n1,2\n")); err != nil {
		t.Fatal(err)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, want string }{
		{"", "  studio/testing  1  odd.csv  "}, {"--json", `{"stream":"studio/testing","sequence":1,`},
	} {
		s.until("the refusal is listed", func() error {
			out, err := exec.Command(path, strings.Fields("streams exceptions --url "+s.api+" "+c.flag)...).CombinedOutput()
			if err == nil && (!strings.Contains(string(out), c.want) || !strings.Contains(string(out), "does not like it")) {
				err = fmt.Errorf("got %q, want %q", out, c.want)
			}
			return err
		})
	}
}
