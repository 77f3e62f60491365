package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent/api/data"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataapi"
)

// counted is a history that counts detections by record.
type counted struct {
	mu    sync.Mutex
	found map[uint64][]spool.Detection
}

func (c *counted) Detect(_ context.Context, found ...spool.Detection) ([]uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range found {
		c.found[d.Sequence] = append(c.found[d.Sequence], d)
	}
	return make([]uint64, len(found)), nil
}

func openSpool(t *testing.T) *spool.Spool {
	t.Helper()
	c := spool.DefaultConfig()
	c.Path, c.AllowVolatile, c.MaxBytes, c.MinFree = t.TempDir(), true, 256<<20, 1<<20
	s, err := spool.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A lossy road hangs up on every third request that changes something, once
// the service has done what it asked for.
type lossy struct {
	to http.Handler
	mu sync.Mutex
	n  int
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	lose := r.Method != http.MethodGet
	if lose {
		l.n++
		lose = l.n%3 == 0
	}
	l.mu.Unlock()
	if !lose {
		l.to.ServeHTTP(w, r)
		return
	}
	l.to.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// TestBothSidesOfTheDataAPI lets the destination and its worker deliver to the
// service that this house serves, over a road that loses answers: every record
// is there, and has one result.
func TestBothSidesOfTheDataAPI(t *testing.T) {
	far, near := openSpool(t), openSpool(t)
	service, err := data.New(data.DefaultConfig(), data.Deps{Spool: far, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&lossy{to: service})
	ctx, stop := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() { service.Run(ctx) })
	t.Cleanup(func() { // before the spools close
		stop()
		both.Wait()
		server.Close()
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, server.URL+"/v1/data/vibration/settings",
		strings.NewReader(`{"settings":{"rules":[{"field":"size","above":3,"label":"long","action":"look","score":0.75}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("settings: %v, %v", resp, err)
	}
	resp.Body.Close()

	const records = 700
	stream, err := near.Stream("kit/training", "training", spool.StreamOptions{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		_, err := near.Append(t.Context(), spool.Record{
			Kind: spool.KindFile, Name: fmt.Sprintf("%d.csv", i), Dataset: "training", Source: "test", DeviceName: "pi 1", Body: spool.Bytes(fmt.Append(nil, i)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	writeFile(t, dir, "key", "sk_0123456789abcdef\n")
	c := dataapi.DefaultConfig()
	c.URL, c.Namespace, c.APIKeyFile = server.URL, "vibration", filepath.Join(dir, "key")
	c.Batch.Objects, c.Bulk.Objects = 20, 150
	history := &counted{found: map[uint64][]spool.Detection{}}
	destination, err := dataapi.New(c, dataapi.Deps{Memory: near, Envelope: near.Envelope, Detections: history, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	worker := uploader.NewWorker(uploader.Options{Name: "kit", Destination: destination, Feeds: []uploader.Feed{stream}})
	both.Go(func() {
		if err := worker.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		destination.Close()
	})
	deadline := time.After(2 * time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		history.mu.Lock()
		n := len(history.found)
		history.mu.Unlock()
		if n == records {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for the results of %d records; there are those of %d: %+v", records, n, worker.Snapshot())
		}
	}
	if s := worker.Snapshot(); s.Stored != records || s.Rejected != 0 {
		t.Errorf("got %+v", s)
	}
	for sequence, found := range history.found {
		d := found[0]
		score := 0.0
		if d.Size > 3 {
			score = 0.75
		}
		if len(found) != 1 || d.Dataset != "training" || d.Name != fmt.Sprintf("%d.csv", sequence-1) || d.Score != score {
			t.Errorf("record %d: got %d results, %+v", sequence, len(found), d)
		}
	}
	objects := map[string]bool{}
	recs, err := far.ReadFrom(t.Context(), "data-vibration", 0, spool.Limit{Records: 1 << 20, Bytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	for i := range recs {
		objects[recs[i].Name] = true
	}
	if len(objects) != records {
		t.Errorf("the service has %d objects, want %d", len(objects), records)
	}
	t.Logf("%d objects were delivered %d times", len(objects), len(recs))
}

// TestAgentServesTheDataAPI sees that the agent mounts and runs the service,
// and that it can be left out.
func TestAgentServesTheDataAPI(t *testing.T) {
	dir := t.TempDir()
	text := `
spool: {path: %[1]s/spool-%[2]v, allow_volatile: true, max_bytes: 600MiB, min_free: 1MiB}
sources: [{name: inbox, type: directory, path: %[1]s/in}]
api: {listen: "127.0.0.1:0", data: {enabled: %[2]v}}
`
	for _, enabled := range []bool{true, false} {
		h := live(t, fmt.Sprintf(text, dir, enabled))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.Address()+"/v1/data/ns", strings.NewReader(`{"data":{"id":"a"}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := map[bool]int{true: 200, false: 404}[enabled]; resp.StatusCode != want {
			t.Errorf("enabled %v: got %d, want %d", enabled, resp.StatusCode, want)
		}
		if enabled {
			h.until("object and result are in the spool", func(s Status) bool { return s.Spool.Records == 2 })
			h.until("the status has them", func(s Status) bool {
				return len(s.Namespaces) == 1 && s.Namespaces[0].Name == "ns" && s.Namespaces[0].Judged == 1 && s.Namespaces[0].Backlog == 0
			})
		}
		h.stop()
	}
}
