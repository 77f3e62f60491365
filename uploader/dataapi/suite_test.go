package dataapi_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataapi"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

const testKey = "sk_0123456789abcdef0123456789abcdef"

func keyFile(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// history collects detections, as the spool's does.
type history struct {
	mu    sync.Mutex
	found []spool.Detection
	fail  int // so many times
}

func (h *history) Detect(_ context.Context, found ...spool.Detection) (ids []uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail > 0 {
		h.fail--
		return nil, spool.ErrFull
	}
	for _, d := range found {
		h.found = append(h.found, d)
		ids = append(ids, uint64(len(h.found)))
	}
	return ids, nil
}

// all lists how many results each record has, by sequence.
func (h *history) all() map[uint64]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := map[uint64]int{}
	for _, d := range h.found {
		n[d.Sequence]++
	}
	return n
}

// memory keeps settings, as the spool does.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (m *memory) Setting(name string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[name]
	return v, ok
}

func (m *memory) SetSetting(name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(value) > 64<<10 {
		return fmt.Errorf("%d bytes are too many", len(value))
	}
	if value == nil {
		delete(m.values, name)
		return nil
	}
	m.values[name] = slices.Clone(value)
	return nil
}

// open makes a service on the loopback and a destination that sends to it.
func open(t *testing.T, change func(s *uploadertest.DataService, c *dataapi.Config, d *dataapi.Deps)) (*dataapi.Destination, *uploadertest.DataServer) {
	t.Helper()
	service := uploadertest.NewDataService()
	service.Key = testKey
	server := uploadertest.ServeData(t, service)
	c, d := dataapi.DefaultConfig(), dataapi.Deps{Version: "test"}
	c.URL, c.Namespace, c.APIKeyFile = server.Port.URL, "vibration", keyFile(t, testKey)
	if change != nil {
		change(service, &c, &d)
	}
	dest, err := dataapi.New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dest.Close() })
	return dest, server
}

// taken lists the bodies of which the service was told.
func taken(t *testing.T, s *uploadertest.DataService) map[string][][32]byte {
	t.Helper()
	all := map[string][][32]byte{}
	for id, text := range s.Objects("vibration") {
		var o struct{ ID, Category, SHA256 string }
		if err := json.Unmarshal(text, &o); err != nil || o.ID != id {
			t.Fatalf("object %s is %s: %v", id, text, err)
		}
		sum, err := hex.DecodeString(o.SHA256)
		if err != nil || len(sum) != 32 {
			t.Fatalf("object %s has hash %q", id, o.SHA256)
		}
		all[o.Category] = append(all[o.Category], [32]byte(sum))
	}
	return all
}

func TestSuite(t *testing.T) {
	for _, objects := range []int{100, 2} { // everything in arrays; most in uploads
		for _, former := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d objects, former %v", objects, former), func(t *testing.T) {
				uploadertest.Suite(t, func(t *testing.T) uploadertest.FarSide {
					dest, server := open(t, func(s *uploadertest.DataService, c *dataapi.Config, _ *dataapi.Deps) {
						s.Former, c.Batch.Objects = former, objects
					})
					return uploadertest.FarSide{
						Destination: dest, Down: server.Port.Down, Up: server.Port.Up,
						Taken: func() map[string][][32]byte { return taken(t, server.DataService) },
					}
				})
			})
		}
	}
}

func window(t *testing.T) spool.Record {
	t.Helper()
	payload, err := acquisition.AppendPayload(nil, acquisition.PayloadHeader{
		DeviceName: "b8:27", DeviceType: "PI", IntervalMS: 10, Sensors: []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "m/s2"}},
	}, []float64{3, 0, -4, 0})
	if err != nil {
		t.Fatal(err)
	}
	body := spool.Bytes(payload)
	return spool.Record{
		Sequence: 7, Kind: spool.KindWindow, Identity: [32]byte{0xab, 0xcd}, SHA256: body.SHA256(), Dataset: "anomaly",
		Label: spool.Label{Text: "idle"}, ContentType: "application/cbor", Source: "vibration 1", Size: body.Size(), Body: body,
		DeviceName: "b8:27", DeviceType: "PI", Length: time.Second,
		Metadata: map[string]string{"site": "plant-4", "anomaly_score": "0.93", "prediction": "loose", "prediction_score": "0.87", "model": "statistics", "model_version": "2"},
	}
}

func TestObject(t *testing.T) {
	dest, server := open(t, func(_ *uploadertest.DataService, c *dataapi.Config, d *dataapi.Deps) {
		c.Metadata = map[string]string{"fleet": "a", "site": "none"}
		d.Dated = func(*spool.Record) (time.Time, bool) { return time.Unix(1_700_000_000, 250e6), true }
	})
	rec := window(t)
	if v := dest.Send(t.Context(), []spool.Record{rec})[0]; v.Kind != uploader.Stored || v.RemoteID != "request_0001" {
		t.Fatalf("got %+v", v)
	}
	id := "b8-27.vibration-1.abcd00000000000000000000"
	var got map[string]any
	if err := json.Unmarshal(server.Objects("vibration")[id], &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "sha256")
	text, _ := json.Marshal(got)
	want := `{"anomaly_score":0.93,"axes":2,"category":"anomaly","collected_at":"2023-11-14T22:13:20.250Z","content_type":"application/cbor",` +
		`"device":"b8:27","device_type":"PI","features":{"accX_mean":-0.5,"accX_peak":4,"accX_rms":3.5355339059327378,"accY_mean":0,"accY_peak":0,"accY_rms":0},` +
		`"id":"` + id + `","interval_ms":10,"label":"idle","metadata":{"anomaly_score":"0.93","fleet":"a","model":"statistics","model_version":"2","prediction":"loose","prediction_score":"0.87","site":"plant-4"},` +
		`"model":"statistics","model_version":"2","name":"idle.abcd00000000000000000000.cbor","predictions":[{"label":"loose","probability":0.87}],"rows":2,` +
		`"sensors":["accX","accY"],"size":` + fmt.Sprint(rec.Size) + `,"source":"vibration 1"}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	rec.Kind, rec.Body = spool.KindWindow, spool.Bytes([]byte("no payload"))
	rec.Identity[0]++
	if v := dest.Send(t.Context(), []spool.Record{rec})[0]; v.Kind != uploader.Rejected {
		t.Errorf("a window that is none: got %v, %v", v.Kind, v.Err)
	}
}

// The service's refusals, and what they mean.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		action uploadertest.Action
		want   uploader.Kind
		batch  bool
		says   string
	}{
		{"bad key", uploadertest.Action{Status: 401, Body: `{"error":"no such key ` + testKey + `"}`}, uploader.Stop, false, "no such key [key]"},
		{"forbidden", uploadertest.Action{Status: 403}, uploader.Stop, false, "403"},
		{"refused", uploadertest.Action{Status: 422, Body: `{"message":"bad field"}`}, uploader.Rejected, true, "bad field"},
		{"proxy page", uploadertest.Action{Status: 400, Body: "<html>"}, uploader.TryLater, false, "400"},
		{"no path", uploadertest.Action{Status: 404}, uploader.TryLater, false, "is url right"},
		{"busy", uploadertest.Action{Status: 429, Header: map[string]string{"Retry-After": "7"}}, uploader.TryLater, false, "429"},
		{"broken", uploadertest.Action{Status: 500}, uploader.TryLater, false, "500"},
		{"no request", uploadertest.Action{Status: 200, Body: `{"status":"accepted"}`}, uploader.TryLater, false, "names no request"},
		{"login page", uploadertest.Action{Status: 200, Body: `<html>`}, uploader.TryLater, false, "names no request"},
		{"cut", uploadertest.Action{Cut: true}, uploader.TryLater, false, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dest, server := open(t, nil)
			server.Script(uploadertest.OpAdd, c.action)
			for _, v := range dest.Send(t.Context(), uploadertest.Files(1, 2, "training", "")) {
				if v.Kind != c.want || v.Batch != c.batch || v.Err == nil || !strings.Contains(v.Err.Error(), c.says) || strings.Contains(v.Err.Error(), testKey) {
					t.Errorf("got %v, batch %v, %v", v.Kind, v.Batch, v.Err)
				}
				if c.name == "busy" && v.RetryAfter != 7*time.Second {
					t.Errorf("got %v to wait", v.RetryAfter)
				}
			}
			if v := dest.Send(t.Context(), uploadertest.Files(1, 1, "training", ""))[0]; v.Kind != uploader.Stored {
				t.Errorf("behind it: got %v, %v", v.Kind, v.Err)
			}
		})
	}
}
