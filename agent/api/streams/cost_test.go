package streams

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/spool"
)

// What a fetch costs goes by its batch, wherever in the spool the stream is and
// however much is there: measured in bytes allocated.
func TestFetchCostsTheSameEverywhere(t *testing.T) {
	records := 60_000
	if testing.Short() {
		records = 36_000
	}
	h := newHouse(t)
	h.define(device+"training/streams", "all", object{"user_properties": object{"number:n": object{"minimum": 0}}})
	const at = 1000
	for n := 0; n < records; n += at {
		batch := make([]spool.Record, at)
		for i := range batch {
			batch[i] = spool.Record{Kind: spool.KindFile, Name: fmt.Sprint(n + i), Dataset: "training", ContentType: "text/csv", Source: "vibration",
				Metadata: map[string]string{"n": fmt.Sprint(n + i)}, Time: h.now(), Body: spool.Bytes(fmt.Appendf(make([]byte, 1000), "%d", n+i))}
		}
		r, err := h.spool.Append(t.Context(), batch...)
		if err == nil {
			err = r.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if segments := h.spool.Stats().Segments; segments < 2 {
		t.Fatalf("there are %d segments, want some", segments)
	}
	all := h.api.streams["b8-27-eb-12-34-56/training/all"]
	var first, most uint64
	for _, n := range []int{1, records / 4, records / 2, records - 100} {
		if err := h.spool.Move(t.Context(), uint64(n), all.cursors...); err != nil {
			t.Fatal(err)
		}
		fetch := func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, device+"training/streams/all/fetch", strings.NewReader(`{"size":32}`))
			w := httptest.NewRecorder()
			h.api.ServeHTTP(w, r)
			if got := strings.Count(w.Body.String(), `"sequence_id"`); w.Code != 200 || got != 33 {
				t.Fatalf("at %d: got %d with %d places", n, w.Code, got)
			}
		}
		fetch() // which may open the segment
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fetch()
		runtime.ReadMemStats(&after)
		bytes := after.TotalAlloc - before.TotalAlloc
		t.Logf("at %6d of %d: %d KB", n, records, bytes>>10)
		if first == 0 {
			first = bytes
		}
		most = max(most, bytes)
	}
	if most > 3*first+1<<20 {
		t.Errorf("a fetch takes %d bytes somewhere and %d at the beginning", most, first)
	}
}

// A crash between fetch and advance repeats the batch, and one after advance
// does not: the spool's folder is copied as a kill leaves it.
func TestCrashBetweenFetchAndAdvance(t *testing.T) {
	h := newHouse(t)
	h.define(project, "all", nil)
	h.sync("project1/mail", said("a", nil), said("b", nil), said("c", nil))
	before := h.fetch(project+"/all", 2, 0)
	crashed := h.crash()
	if got := crashed.fetch(project+"/all", 2, 0); strings.Join(got.names, " ") != "a b" || got.next != before.next {
		t.Errorf("a crash before the advance gives %v", got.names)
	}
	h.advance(project+"/all", before.next)
	crashed = h.crash()
	if got := crashed.fetch(project+"/all", 2, 0); strings.Join(got.names, " ") != "c" {
		t.Errorf("a crash behind the advance gives %v", got.names)
	}
}

// crash copies the house as it is on the disk now, and opens the copy.
func (h *house) crash() *house {
	h.t.Helper()
	c := &house{t: h.t, dir: h.t.TempDir(), wall: h.wall}
	if err := os.CopyFS(filepath.Join(c.dir, "spool"), os.DirFS(h.dir)); err != nil {
		h.t.Fatal(err)
	}
	c.dir = filepath.Join(c.dir, "spool")
	c.open()
	return c
}
