package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
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

// TestRefusedSampleIsSentAgain: by command, once, though the far side is away
// first and the agent is killed with SIGKILL between; and what became of it can
// be asked for.
func TestRefusedSampleIsSentAgain(t *testing.T) {
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	var answers, taken atomic.Int64 // 0: what comes is taken
	answers.Store(http.StatusBadRequest)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code := answers.Load(); code != 0 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(int(code))
			fmt.Fprint(w, `{"success":false,"error":"not now"}`)
			return
		}
		taken.Add(1)
		proxy.ServeHTTP(w, r)
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
	streams := func(args string) (string, error) {
		out, err := exec.Command(path, strings.Fields("streams "+args+" --url "+s.api)...).CombinedOutput()
		return string(out), err
	}
	says := func(args, want string) func() error {
		return func() error {
			out, err := streams(args)
			if err == nil && !strings.Contains(out, want) {
				err = fmt.Errorf("got %q, want %q", out, want)
			}
			return err
		}
	}
	s.until("the refusal is listed", says("exceptions", "odd.csv"))
	if out, err := streams("retry studio/testing 2"); err == nil || !strings.Contains(out, "no such exception") {
		t.Errorf("retried what is no exception: %s", out)
	}
	if out, err := streams("retry studio/nothing all"); err == nil || !strings.Contains(out, "no such stream") {
		t.Errorf("retried on what is no stream: %s", out)
	}
	answers.Store(http.StatusServiceUnavailable)
	if out, err := streams("retry studio/testing all"); err != nil || out != "1 sample sent again, 0 gone from the spool\n" {
		t.Fatalf("retry: %v, %s", err, out)
	}
	s.agent.signal(syscall.SIGKILL)
	s.run()
	s.until("it is being sent again", says("exceptions --json", `"retrying":true`))
	answers.Store(0)
	s.agent.signal(syscall.SIGKILL) // and again, rather than wait for the next try
	s.run()
	s.until("it is stored", says("outcomes studio/testing 1", "  stored  "))
	s.until("all is delivered", s.drained)
	if out, err := streams("exceptions"); err != nil || out != "" {
		t.Errorf("there are still exceptions: %v, %s", err, out)
	}
	if n := taken.Load(); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	if out, err := streams("retry studio/testing 1"); err == nil || !strings.Contains(out, "no such exception") {
		t.Errorf("retried what was taken: %s", out)
	}
}
