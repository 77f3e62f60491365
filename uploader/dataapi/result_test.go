package dataapi_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataapi"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

// A road reaches the service without a network, for bubbles.
type road struct{ to http.Handler }

func (r road) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil { // the service has hung up
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	in := req.Clone(req.Context())
	in.Host = req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	r.to.ServeHTTP(out, in)
	return out.Result(), nil
}

// A far is a service that judges every object, and all that a destination
// needs to go on behind a restart.
type far struct {
	*uploadertest.DataService
	t       *testing.T
	history history
	memory  memory
	change  func(c *dataapi.Config)
}

func newFar(t *testing.T) *far {
	s := &far{DataService: uploadertest.NewDataService(), t: t, memory: memory{values: map[string][]byte{}}}
	s.Judge = func(o map[string]any) any {
		return map[string]any{
			"actions": []any{"inspect", map[string]any{"queue": 1}},
			"labels": []any{map[string]any{"label": "machine.loose", "confidence": "medium", "explanation": "it rattles"},
				map[string]any{"label": "worn", "confidence": "high"}},
			"fields": map[string]any{"risk_score": 0.92},
		}
	}
	return s
}

func (s *far) open() *dataapi.Destination {
	s.t.Helper()
	s.t.Setenv("DATA_API_KEY", testKey)
	c := dataapi.DefaultConfig()
	c.URL, c.Namespace, c.APIKeyEnv = "http://far.example", "vibration", "DATA_API_KEY"
	if s.change != nil {
		s.change(&c)
	}
	d, err := dataapi.New(c, dataapi.Deps{Memory: &s.memory, Detections: &s.history, Transport: road{s.DataService}})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// results is how many each record has, as text: of records from 1 on.
func (s *far) results(n int) string {
	all := s.history.all()
	counts := make([]int, 0, n)
	for i := range n {
		counts = append(counts, all[uint64(i+1)])
	}
	return fmt.Sprint(counts)
}

func ones(n int) string { return fmt.Sprint(slices.Repeat([]int{1}, n)) }

func stored(t *testing.T, verdicts []uploader.Verdict) {
	t.Helper()
	for i, v := range verdicts {
		if v.Kind != uploader.Stored {
			t.Errorf("record %d: got %v, %v", i, v.Kind, v.Err)
		}
	}
}

// tidy lets the destination ask until it wants to be left alone.
func tidy(t *testing.T, d *dataapi.Destination) {
	t.Helper()
	for range 100 {
		again := d.Tidy(t.Context(), false)
		if again == 0 {
			return
		}
		<-time.After(again)
	}
	t.Error("the destination still asks for results")
}

func TestResultsBecomeDetections(t *testing.T) {
	for _, objects := range []int{100, 1} { // results in the answer; in a file
		synctest.Test(t, func(t *testing.T) {
			s := newFar(t)
			s.change = func(c *dataapi.Config) { c.Batch.Objects = objects }
			d := s.open()
			s.Hold(true)
			stored(t, d.Send(t.Context(), uploadertest.Files(1, 3, "training", "")))
			for range 5 {
				if again := d.Tidy(t.Context(), false); again <= 0 {
					t.Fatal("nothing is awaited")
				} else {
					<-time.After(again)
				}
			}
			s.Hold(false)
			tidy(t, d)
			if got := s.results(3); got != ones(3) {
				t.Fatalf("results: got %s", got)
			}
			got := s.history.found[0]
			want := spool.Detection{
				Sequence: 1, Model: "data-api/vibration", Score: 0.92, Classification: "worn",
				Labels:  []spool.PredictedLabel{{Name: []string{"sk", "machine", "loose"}, Probability: 0.5}, {Name: []string{"sk", "worn"}, Probability: 0.9}},
				Reasons: []string{"it rattles", "action: inspect", `action: {"queue":1}`},
				Tags:    map[string]string{"namespace": "vibration", "request": "request_0001", "id": got.Tags["id"]},
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// Results that come twice, in another order, late, over a restart, or for a
// request of which the answer was lost: each record has one.
func TestOneResultForEachRecord(t *testing.T) {
	cut := uploadertest.Action{Cut: true, Commit: true}
	for _, c := range []struct {
		name  string
		bulk  bool
		setup func(s *far)
		want  int // requests
	}{
		{"twice and backwards", false, func(s *far) {
			s.Disturb = func(r []uploadertest.DataResult) []uploadertest.DataResult {
				slices.Reverse(r)
				return append(append(r, r...), uploadertest.DataResult{ID: "foreign"}, uploadertest.DataResult{ID: "x.000102030405060708090a0b"})
			}
		}, 1},
		{"twice and backwards in a file", true, func(s *far) {
			s.Disturb = func(r []uploadertest.DataResult) []uploadertest.DataResult {
				slices.Reverse(r)
				return append(r, r...)
			}
		}, 1},
		{"answer of an add lost", false, func(s *far) { s.Script(uploadertest.OpAdd, cut) }, 2},
		{"answer of an upload lost", true, func(s *far) { s.Script(uploadertest.OpUpload, cut) }, 2},
		{"address of an upload lost", true, func(s *far) { s.Script(uploadertest.OpUploadURL, cut) }, 2},
		{"address has expired", true, func(s *far) {
			s.Script(uploadertest.OpUpload, uploadertest.Action{Status: 403, Body: "<Error>expired"})
		}, 2},
		{"results' address has expired", true, func(s *far) {
			s.Script(uploadertest.OpDownload, uploadertest.Action{Status: 403}, uploadertest.Action{Status: 403})
		}, 1},
		{"answers lost while asking", true, func(s *far) {
			s.Script(uploadertest.OpStatus, cut, uploadertest.Action{Status: 503}, uploadertest.Action{Status: 404})
			s.Script(uploadertest.OpDownload, cut)
		}, 1},
		{"too large for the answer", false, func(s *far) { s.Script(uploadertest.OpStatus, uploadertest.Action{Status: 413}) }, 1},
		{"the history is full for a while", false, func(s *far) { s.history.fail = 2 }, 1},
		{"half an answer", false, func(s *far) {
			s.Script(uploadertest.OpStatus, uploadertest.Action{Status: 200, Body: `{"status":"succeeded","data":[{"id":"`})
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFar(t)
				c.setup(s)
				if c.bulk {
					s.change = func(c *dataapi.Config) { c.Batch.Objects = 1 }
				}
				const n = 250
				batch := uploadertest.Files(1, n, "anomaly", "")
				if !c.bulk {
					s.change = func(c *dataapi.Config) { c.Batch.Objects = n }
				}
				d := s.open()
				for range 3 { // as the worker does
					if v := d.Send(t.Context(), batch)[0]; v.Kind == uploader.Stored {
						break
					}
				}
				for _, v := range d.Send(t.Context(), batch) {
					if v.Kind != uploader.AlreadyThere {
						t.Fatalf("a repeat: got %v, %v", v.Kind, v.Err)
					}
				}
				d = s.open() // after a restart
				tidy(t, d)
				if got := s.results(n); got != ones(n) {
					t.Errorf("results: got %s", got)
				}
				if s.Requests() != c.want || len(s.Objects("vibration")) != n {
					t.Errorf("got %d requests with %d objects, want %d with %d", s.Requests(), len(s.Objects("vibration")), c.want, n)
				}
				if len(s.memory.values) != 0 {
					t.Errorf("%d requests are still remembered", len(s.memory.values))
				}
			})
		})
	}
}

// A service that never answers for its requests costs their results, and
// nothing else: what is remembered is bounded.
func TestRequestsWithoutResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t)
		d := s.open()
		s.Hold(true)
		for i := range uint64(40) {
			stored(t, d.Send(t.Context(), uploadertest.Files(1+10*i, 10, "training", "")))
		}
		if n := len(s.memory.values); n != 32 {
			t.Errorf("%d requests are remembered, want 32", n)
		}
		for range 2000 { // days
			again := d.Tidy(t.Context(), false)
			if again == 0 {
				break
			}
			<-time.After(again)
		}
		if n := len(s.memory.values); n != 0 {
			t.Errorf("%d requests are remembered after days", n)
		}
		s.Script(uploadertest.OpStatus, slices.Repeat([]uploadertest.Action{{Status: 200, Body: `{"status":"failed","error_summary":"broken"}`}}, 1)...)
		stored(t, d.Send(t.Context(), uploadertest.Files(1000, 1, "training", "")))
		tidy(t, d)
		if len(s.history.all()) != 0 {
			t.Errorf("got results: %v", s.history.all())
		}
	})
}

// A service without uploads gets arrays; one with the former route is asked
// by that one the next time.
func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t)
		s.Former = true
		s.change = func(c *dataapi.Config) { c.Batch.Objects, c.Results = 2, false }
		d := s.open()
		stored(t, d.Send(t.Context(), uploadertest.Files(1, 5, "training", "")))
		stored(t, d.Send(t.Context(), uploadertest.Files(11, 5, "training", "")))
		want := []string{uploadertest.OpUploadURL, uploadertest.OpImport, uploadertest.OpUpload, uploadertest.OpImport, uploadertest.OpUpload}
		if got := s.Calls(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		s.Script(uploadertest.OpImport, uploadertest.Action{Status: 404})
		for range 2 {
			d.Send(t.Context(), uploadertest.Files(21, 5, "training", ""))
		}
		want = append(want, uploadertest.OpImport, uploadertest.OpUploadURL, uploadertest.OpAdd, uploadertest.OpAdd, uploadertest.OpAdd)
		if got := s.Calls(); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if n := len(s.Objects("vibration")); n != 15 {
			t.Errorf("%d objects, want 15", n)
		}
	})
}
