package detect

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// hook is a server that takes what is posted, after so many refusals.
func hook(t *testing.T, refuse int32, status int) (url string, posted chan map[string]any) {
	t.Helper()
	posted = make(chan map[string]any, 100)
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= refuse {
			w.WriteHeader(status)
			return
		}
		text, _ := io.ReadAll(r.Body)
		var d map[string]any
		if err := json.Unmarshal(text, &d); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("posted %q: %v", text, err)
		}
		posted <- d
	}))
	t.Cleanup(s.Close)
	return s.URL, posted
}

func newTestAlarm(t *testing.T, c AlarmConfig) (*alarm, sampler.Setup) {
	t.Helper()
	setup := samplertest.Setup("pump", quiet)
	a := newAlarm(c, setup, (&panel{setup: setup}).count)
	a.pause = time.Millisecond
	t.Cleanup(a.close)
	return a, setup
}

func found(score float64) spool.Detection {
	return spool.Detection{Source: "pump", Name: "idle.01.cbor", Sequence: 17, Model: "statistics", Score: score,
		Labels: []spool.PredictedLabel{{Name: []string{"bearing", "outer"}, Probability: 0.5}}, Reasons: []string{"accX rms"}}
}

// The first anomaly is told at once, then the worst in each stretch, with the
// number of those that nobody was told of.
func TestAlarmTellsTheWorst(t *testing.T) {
	url, posted := hook(t, 0, 0)
	a, setup := newTestAlarm(t, AlarmConfig{Webhook: url, Every: 300 * time.Millisecond})
	a.raise(t.Context(), found(0.8))
	first := <-posted
	if first["score"] != 0.8 || first["source"] != "pump" || first["device"] != "02:00:00:00:00:01" || first["sequence"] != 17.0 || first["more"] != nil {
		t.Errorf("first: got %v", first)
	}
	for _, score := range []float64{0.85, 0.99, 0.9} {
		a.raise(t.Context(), found(score))
	}
	told, joined, most := 0, uint64(0), 0.0
	for told < 3 { // on a slow machine they may come in more than one stretch
		d := <-posted
		more, _ := d["more"].(float64)
		told, joined = told+1+int(more), joined+uint64(more)
		most = max(most, d["score"].(float64))
	}
	if told != 3 || most != 0.99 {
		t.Errorf("told of %d, the worst of %v, want 3 and 0.99", told, most)
	}
	if n := setup.Progress.Snapshot().Detail["alarms_joined"]; n != joined {
		t.Errorf("counted %d that went into another, want %d", n, joined)
	}
}

// A webhook that fails is tried a few times; its address stays out of the log.
func TestAlarmTriesAgain(t *testing.T) {
	url, posted := hook(t, 2, http.StatusBadGateway)
	a, setup := newTestAlarm(t, AlarmConfig{Webhook: url})
	a.raise(t.Context(), found(0.9))
	<-posted
	samplertest.AwaitProgress(t, "the alarm to be counted", setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["alarms"] == 1 })

	url, _ = hook(t, 100, http.StatusForbidden)
	a, setup = newTestAlarm(t, AlarmConfig{Webhook: url + "/secret?key=1"})
	a.raise(t.Context(), found(0.9))
	samplertest.AwaitProgress(t, "the failure to be counted", setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["alarms_failed"] == 1 })
	if err := a.post(t.Context(), nil); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v, want the status and no address", err)
	}
	a.config.Webhook = "http://127.0.0.1:1/secret"
	if err := a.post(t.Context(), nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want no address", err)
	}
}

func TestAlarmRunsACommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "told")
	a, setup := newTestAlarm(t, AlarmConfig{Command: []string{"/bin/sh", "-c", `cat > "$0"`, path}})
	a.raise(t.Context(), found(0.9))
	samplertest.AwaitProgress(t, "the alarm to be counted", setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["alarms"] == 1 })
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"labels":[{"name":"bearing.outer","probability":0.5}]`) {
		t.Errorf("got %q, %v", text, err)
	}
	a, setup = newTestAlarm(t, AlarmConfig{Command: []string{"/bin/sh", "-c", "echo out of paper >&2; exit 4"}})
	a.raise(t.Context(), found(0.9))
	samplertest.AwaitProgress(t, "the failure to be counted", setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["alarms_failed"] == 1 })
	if err := a.execute(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "out of paper") {
		t.Errorf("got %v, want what it said", err)
	}
}

// Nobody waits for an alarm, not even a stop.
func TestAlarmThatHangs(t *testing.T) {
	a, _ := newTestAlarm(t, AlarmConfig{Command: []string{"/bin/sh", "-c", "sleep 1000"}, Every: time.Hour})
	for range 1000 {
		a.raise(t.Context(), found(0.9))
	}
	a.close()
}
