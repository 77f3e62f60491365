package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// A dataSite is an agent whose Data API is asked, a process of the program.
type dataSite struct {
	site
	token string // for everything
}

// newDataSite writes the configuration of an agent that serves the Data API
// and keeps what comes.
func newDataSite(t *testing.T) *dataSite {
	t.Helper()
	if testing.Short() {
		t.Skip("runs whole processes for a while; leave out -short to run it")
	}
	s := &dataSite{site: site{t: t, dir: t.TempDir()}, token: "sk_" + strings.Repeat("5", 32)}
	s.write("token", s.token+"\n")
	s.write("read-token", "sk_"+strings.Repeat("6", 32)+"\n")
	s.write("ingest-token", "sk_"+strings.Repeat("7", 32)+"\n")
	address := freeAddress(t)
	s.api = "http://" + address
	s.config = s.write("agent.yaml", fmt.Sprintf(`
spool: {path: %q, max_bytes: 600MiB, min_free: 16MiB, allow_volatile: true}
sources: [{name: inbox, type: directory, path: %q}]
api: {listen: %q, tokens: {admin: %q, consume: %q, ingest: %q}}
`, s.path("spool"), s.path("inbox"), address, s.path("token"), s.path("read-token"), s.path("ingest-token")))
	return s
}

// run starts the agent and waits until its API answers.
func (s *dataSite) run(path string) *process {
	s.t.Helper()
	p := s.startProgram("data site", path, "run", "--config", s.config)
	s.until("the data site answers", func() error { var ok struct{}; return getJSON(s.api+"/healthz", &ok) })
	return p
}

// ask sends one request with a token.
func (s *dataSite) ask(method, path, token, body string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.api+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// TestBacklogDrainsByUploads gives an agent the samples of two days, one every
// ten seconds, and lets it deliver them to another agent's Data API. Both are
// the 32-bit program, and neither's memory may grow with the backlog.
func TestBacklogDrainsByUploads(t *testing.T) {
	const samples = 48 * 360
	to := newDataSite(t)
	program := build32(t, to.path("edgespool32"))
	service := to.run(program)
	serviceMemory := watchMemory(service.cmd.Process.Pid)
	if code, text, err := to.ask("PUT", "/v1/data/vibration/settings", to.token, `{"settings":{"rules":[{"field":"size","above":20,"label":"long"}]}}`); code != 200 {
		t.Fatalf("settings: %d %s %v", code, text, err)
	}

	from := &site{t: t, dir: t.TempDir(), api: "http://" + freeAddress(t)}
	fillSpool(t, from.path("spool"), samples)
	from.config = from.write("agent.yaml", fmt.Sprintf(`
spool: {path: %q, max_bytes: 600MiB, min_free: 16MiB, allow_volatile: true}
destinations: [{name: kit, type: data-api, url: %q, namespace: vibration, api_key_file: %q, categories: [training]}]
api: {listen: %q}
`, from.path("spool"), to.api, to.path("token"), strings.TrimPrefix(from.api, "http://")))
	agent := from.startProgram("agent", program, "run", "--config", from.config)
	memory := watchMemory(agent.cmd.Process.Pid)
	for drained := false; !drained; { // a slow machine needs more than one patience
		before, _ := from.status()
		from.until("the backlog shrinks or is gone", func() error {
			st, err := from.status()
			switch {
			case err != nil:
				return err
			case st.Destinations[0].Stored == samples:
				drained = true
				return nil
			case len(before.Destinations) > 0 && st.Destinations[0].Stored == before.Destinations[0].Stored:
				return fmt.Errorf("%d of %d delivered: %s", st.Destinations[0].Stored, samples, st.Destinations[0].Error)
			}
			return nil
		})
	}
	agent.signal(syscall.SIGTERM)
	memory.judge(t, "delivering")
	last, err := to.add("vibration", "last", 1)
	if err != nil {
		t.Fatal(err)
	}
	to.until("the last object is judged, and so all before it", func() error { return to.ended("vibration", last, 1) })
	service.signal(syscall.SIGTERM)
	serviceMemory.judge(t, "serving")

	objects, results, requests := map[string]int{}, map[string]int{}, map[string]int{}
	walk(t, to.path("spool"), "data-vibration", func(r spool.Record) {
		objects[r.Name]++
		requests[r.Metadata["request"]]++
	})
	walk(t, to.path("spool"), "results-vibration", func(r spool.Record) { results[r.Name]++ })
	for name, n := range objects {
		if n != 1 || results[name] != 1 {
			t.Fatalf("%s came %d times and has %d results", name, n, results[name])
		}
	}
	t.Logf("%d objects came in %d requests", len(objects), len(requests))
	if len(objects) != samples+1 || len(requests) > samples/500 {
		t.Errorf("got %d objects in %d requests, want %d in uploads of a thousand", len(objects), len(requests), samples+1)
	}
}

// fillSpool makes a spool with so many samples that no agent has delivered.
func fillSpool(t *testing.T, dir string, samples int) {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile, c.MaxBytes, c.MinFree = dir, true, 600<<20, 16<<20
	s, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var last spool.Receipt
	for i := range samples {
		last, err = s.Append(t.Context(), spool.Record{
			Kind: spool.KindFile, Name: fmt.Sprintf("wave.%d.csv", i), Dataset: "training", ContentType: "text/csv", Source: "vibration",
			DeviceName: "b8:27:eb:12:34:56", DeviceType: "RASPBERRY_PI", Label: spool.Label{Text: "wave"}, Metadata: map[string]string{"site": "plant-4"},
			Body: spool.Bytes(fmt.Appendf(nil, "timestamp,x\n0,%d\n10,%d\n", i, i+1)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(last.Wait(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// walk visits the records of a dataset in a spool that no agent holds.
func walk(t *testing.T, dir, dataset string, visit func(spool.Record)) {
	t.Helper()
	err := spool.Walk(t.Context(), dir, func(r spool.Record) error {
		if r.Dataset == dataset {
			visit(r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDataAPIKilled kills the agent with SIGKILL again and again while a
// client adds objects. Every request that was accepted has its results in the
// end, and no object has two.
func TestDataAPIKilled(t *testing.T) {
	s := newDataSite(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	requests := map[string]int{} // accepted ones, and their objects
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for c := range 2 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				n := 1 + i%7
				id, err := s.add("kill", fmt.Sprintf("%d-%d", c, i), n)
				if err != nil {
					<-time.After(10 * time.Millisecond) // it is dead just now
					continue
				}
				mu.Lock()
				requests[id] = n
				mu.Unlock()
			}
		})
	}
	dice := rand.New(rand.NewPCG(3, 4))
	for range 10 {
		agent := s.run(path)
		<-time.After(time.Duration(200+dice.IntN(800)) * time.Millisecond)
		agent.signal(syscall.SIGKILL)
	}
	stop()
	clients.Wait()
	agent := s.run(path)
	if len(requests) < 20 {
		t.Fatalf("only %d requests were accepted: too few for the kills to mean anything", len(requests))
	}
	t.Logf("%d requests were accepted", len(requests))
	for id, n := range requests {
		s.until("request "+id+" has its results", func() error { return s.ended("kill", id, n) })
	}
	agent.signal(syscall.SIGTERM)
	objects, results := 0, map[string]int{}
	walk(t, s.path("spool"), "data-kill", func(spool.Record) { objects++ })
	walk(t, s.path("spool"), "results-kill", func(r spool.Record) { results[r.Metadata["object"]]++ })
	if len(results) != objects {
		t.Errorf("%d objects have %d results", objects, len(results))
	}
	for object, n := range results {
		if n != 1 {
			t.Errorf("object %s has %d results", object, n)
		}
	}
}

// add sends n objects and returns the request's id.
func (s *dataSite) add(ns, name string, n int) (string, error) {
	var data []string
	for i := range n {
		data = append(data, fmt.Sprintf(`{"id":"%s-%d"}`, name, i))
	}
	code, text, err := s.ask("POST", "/v1/data/"+ns, s.token, `{"data":[`+strings.Join(data, ",")+`]}`)
	if err != nil {
		return "", err
	}
	var a struct{ RequestID string }
	if err := json.Unmarshal(text, &a); err != nil || code != 200 || a.RequestID == "" {
		return "", fmt.Errorf("add: %d %s: %v", code, text, err)
	}
	return a.RequestID, nil
}

// ended is nil once a request has n results.
func (s *dataSite) ended(ns, id string, n int) error {
	code, text, err := s.ask("GET", "/v1/data/"+ns+"/requests/"+id, s.token, "")
	if err != nil {
		return err
	}
	var r struct {
		Status string
		Data   []struct{ ID string }
	}
	if err := json.Unmarshal(text, &r); err != nil || code != 200 || r.Status != "succeeded" || len(r.Data) != n {
		return fmt.Errorf("%d %s, want %d results (%v)", code, text, n, err)
	}
	return nil
}
