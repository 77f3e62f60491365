package streams

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/spool"
)

// tagged is a stream of ten samples that was read to its end, some of them
// tagged.
func (h *house) tagged(stream string, names ...string) (uids []string) {
	h.t.Helper()
	h.define(device+"training/streams", stream, nil)
	path := device + "training/streams/" + stream
	for i := range 10 {
		h.sample("training", i, nil)
	}
	b := h.fetch(path, 32, 0)
	var tags []object
	for i, r := range b.whole["results"].([]any) {
		if uid := r.(object)["comment"].(object)["uid"].(string); slices.Contains(names, b.names[i]) {
			uids = append(uids, uid)
			tags = append(tags, object{"uid": uid, "metadata": object{"type": "No Prediction"}})
		}
	}
	h.ask("PUT", path+"/exceptions", object{"exceptions": tags}, 200)
	h.advance(path, b.next)
	return uids
}

// retry wants so many to come once more, and so many gone.
func (h *house) retry(stream string, body any, retried, gone int) {
	h.t.Helper()
	if o := h.ask("POST", stream+"/exceptions/retry", body, 200); o["retried"] != float64(retried) || o["gone"] != float64(gone) {
		h.t.Fatalf("got %v, want %d retried and %d gone", o, retried, gone)
	}
}

// gives wants a fetch to show just these.
func (h *house) gives(stream string, size int, names ...string) fetched {
	h.t.Helper()
	b := h.fetch(stream, size, 0)
	if !slices.Equal(b.names, names) {
		h.t.Fatalf("got %v, want %v", b.names, names)
	}
	return b
}

func uidsOf(uids ...string) object {
	list := []object{}
	for _, uid := range uids {
		list = append(list, object{"uid": uid})
	}
	return object{"exceptions": list}
}

const all = device + "training/streams/all"

// Tagged ones come once more, before all that is new and apart from it, also
// over crashes, until they are advanced over one by one; nothing else comes
// again.
func TestTaggedComeOnceMore(t *testing.T) {
	h := newHouse(t)
	uids := h.tagged("all", "3.csv", "7.csv")
	h.define(device+"training/streams", "other", nil)
	h.retry(all, object{"all": true}, 2, 0)
	h.retry(all, object{"all": true}, 0, 0)
	h.ask("POST", all+"/exceptions/retry", uidsOf(uids...), 404) // the tags are off
	if list := h.ask("GET", all+"/exceptions", nil, 200)["exceptions"].([]any); len(list) != 0 {
		t.Errorf("still tagged: %v", list)
	}
	if o := h.ask("GET", all, nil, 200)["stream"].(object); o["_backlog"] != 2.0 {
		t.Errorf("the backlog is %v, want 2", o["_backlog"])
	}
	h.sample("training", 10, nil)
	h.gives(all, 1, "3.csv")
	h = h.crash() // between the retry and the advance
	b := h.gives(all, 32, "3.csv", "7.csv")
	if b.end || b.next != b.tokens[1] {
		t.Errorf("what is new is said to be none: %v", b.whole)
	}
	if o := h.ask("GET", all+"/results", nil, 200); o["continuation"] != b.next || o["more_results"] != true {
		t.Errorf("results: %v", o)
	}
	h.gives(device+"training/streams/other", 32, "10.csv")
	h.define(device+"training/streams", "all", nil) // a PUT keeps them like the position
	h.advance(all, b.tokens[0])
	h = h.crash()
	h.advance(all, b.tokens[0])
	h.gives(all, 32, "7.csv")
	h.advance(all, b.next)
	h = h.crash()
	b = h.gives(all, 32, "10.csv")
	h.advance(all, b.next)
	if b = h.gives(all, 32); !b.end {
		t.Errorf("not at its end: %v", b.whole)
	}
}

// A reader that did not see one has not passed it, whoever advanced: what was
// asked for between a fetch and its advance comes, and so does what the advance
// was about to pass.
func TestRetryBetweenFetchAndAdvance(t *testing.T) {
	h := newHouse(t)
	uids := h.tagged("all", "3.csv", "5.csv", "7.csv")
	h.retry(all, uidsOf(uids[2]), 1, 0)
	one := h.gives(all, 32, "7.csv")
	h.retry(all, uidsOf(uids[0]), 1, 0)
	other := h.gives(all, 32, "7.csv", "3.csv") // in the order of the requests
	h.advance(all, one.next)
	h.gives(all, 32, "3.csv")
	h.ask("PUT", all+"/exceptions", object{"exceptions": []object{{"uid": uids[0], "metadata": object{"type": "again"}}}}, 200)
	h.retry(all, uidsOf(uids[0], uids[0]), 1, 0)
	h.advance(all, other.next) // of the 3.csv before
	b := h.gives(all, 32, "3.csv")
	h.advance(all, other.next)
	h.advance(all, one.next)
	h.advance(all, b.next)
	h.gives(all, 32)

	// One that was fetched and not advanced over comes, though the advance passes it.
	h.sample("training", 10, nil)
	b = h.gives(all, 32, "10.csv")
	uid := b.whole["results"].([]any)[0].(object)["comment"].(object)["uid"]
	h.ask("PUT", all+"/exceptions", object{"exceptions": []object{{"uid": uid, "metadata": object{"type": "again"}}}}, 200)
	h.retry(all, object{"all": true}, 2, 0) // 5.csv is still tagged
	h.advance(all, b.next)
	h.gives(all, 32, "5.csv", "10.csv")
}

// What has left the spool is gone: before the retry it keeps its tag, after it
// it counts as lost. What the filter keeps out by then is passed over.
func TestRetryOfWhatIsNotThere(t *testing.T) {
	h := newHouse(t)
	uids := h.tagged("all", "1.csv", "3.csv")
	tag := object{"exceptions": []object{{"uid": "18ba5ce699f8da1f.d17703eb999aff3267b79f47", "metadata": object{"type": "never was"}}}}
	h.ask("PUT", all+"/exceptions", tag, 200)
	h.retry(all, object{"all": true}, 2, 1)
	if list := h.ask("GET", all+"/exceptions", nil, 200)["exceptions"].([]any); len(list) != 1 {
		t.Errorf("tagged are %v, want the one that is not there", list)
	}
	h.ask("POST", all+"/exceptions/retry", object{"all": false}, 400)
	h.ask("POST", all+"/exceptions/retry", object{"all": true, "exceptions": []object{{"uid": uids[0]}}}, 400)
	h.ask("POST", device+"training/streams/none/exceptions/retry", object{"all": true}, 404)

	h.define(device+"training/streams", "all", object{"user_properties": object{"string:Name": object{"one_of": []string{"3.csv", "12.csv"}}}})
	h.gives(all, 32, "3.csv")
	if err := h.api.changeAgain(h.api.streams["b8-27-eb-12-34-56/training/all"], func(l againList) (againList, error) {
		return l.with([]uint64{1 << 40}), nil // as one that has left the spool
	}); err != nil {
		t.Fatal(err)
	}
	b := h.gives(all, 32, "3.csv")
	if o := h.ask("GET", all, nil, 200)["stream"].(object); o["_lost"] != 1.0 || o["_backlog"] != 1.0 {
		t.Errorf("lost are %v and the backlog is %v, want 1 and 1", o["_lost"], o["_backlog"])
	}
	h.advance(all, b.next)
	for i := range 3 {
		h.sample("training", 11+i, nil)
	}
	h.gives(all, 32, "12.csv")
}

// Of comments that were handed in the newest version comes; another spool's
// sequence_id counts by its time; too many at a time are refused, whole.
func TestRetryOfComments(t *testing.T) {
	h := newHouse(t)
	h.define(project, "all", nil)
	const stream = project + "/all"
	var given []object
	for i := range 1030 {
		given = append(given, said(fmt.Sprint(i), nil))
	}
	h.sync("project1/mail", given...)
	h.sync("project1/mail", said("5", object{"number:x": 1}))
	var tags []object
	var next string
	for b := h.fetch(stream, 1024, 0); len(b.names) > 0; b = h.fetch(stream, 1024, 0) {
		for _, r := range b.whole["results"].([]any) {
			tags = append(tags, object{"uid": r.(object)["comment"].(object)["uid"], "metadata": object{"type": "x"}})
		}
		next = b.next
		h.advance(stream, next)
	}
	h.ask("PUT", stream+"/exceptions", object{"exceptions": tags[:1024]}, 200)
	h.ask("PUT", stream+"/exceptions", object{"exceptions": tags[1024:]}, 200)
	h.ask("POST", stream+"/exceptions/retry", object{"all": true}, 409)
	h.retry(stream, uidsOf(tags[5]["uid"].(string)), 1, 0)
	h.ask("PUT", strings.Replace(stream, "/streams", "/triggers", 1)+"/exceptions", object{"exceptions": tags[5:6]}, 200)
	b := h.gives(stream, 32, "5")
	if c := b.whole["results"].([]any)[0].(object)["comment"].(object); fmt.Sprint(c["user_properties"]) != "map[number:x:1]" {
		t.Errorf("an old version comes: %v", c)
	}
	p, err := parseToken(b.next, h.spool.LogID()+1, 1<<40)
	if err != nil || p.again || p.known || p.createdMS == 0 {
		t.Errorf("the sequence_id of another spool is %+v, %v", p, err)
	}
	var uids []string
	for _, tag := range tags[6:1030] { // 5 is there twice
		uids = append(uids, tag["uid"].(string))
	}
	h.ask("POST", strings.Replace(stream, "/streams", "/triggers", 1)+"/exceptions/retry", uidsOf(uids...), 409)
	h.advance(stream, b.next)
	h.retry(stream, uidsOf(uids...), 1024, 0)
	b = h.fetch(stream, 1024, 0)
	if len(b.names) != 1024 || b.names[0] != "6" || b.names[1023] != "1029" {
		t.Errorf("got %d: %v", len(b.names), b.names)
	}
	h.advance(stream, b.next)
	h.gives(stream, 32)
}

// TestAgainListCounts: numbers stay those of their records.
func TestAgainListCounts(t *testing.T) {
	l := againList{}.with([]uint64{7, 3, 9})
	for number, want := range map[uint64]string{0: "0 [7 3 9]", 1: "1 [3 9]", 3: "3 []", 4: "0 [7 3 9]", 1<<63 - 1: "0 [7 3 9]"} {
		if got := l.behind(number); fmt.Sprint(got.Passed, got.Waiting) != want {
			t.Errorf("behind %d: %v, want %s", number, got, want)
		}
	}
	if got := l.without([]uint64{3}); fmt.Sprint(got.Passed, got.Waiting, got.waiting()) != "0 [7 0 9] 2" {
		t.Errorf("without the second: %v", got)
	}
	if got := l.without([]uint64{3}).without([]uint64{7}); fmt.Sprint(got.Passed, got.Waiting) != "2 [9]" {
		t.Errorf("without the first two: %v", got)
	}
	if got := l.with([]uint64{7}); fmt.Sprint(got.Passed, got.Waiting) != "1 [3 9 7]" || fmt.Sprint(l.Passed, l.Waiting) != "0 [7 3 9]" {
		t.Errorf("with the first once more: %v of %v", got, l)
	}
}

// What the cap took behind its retry is counted as lost, and the stream goes on
// with what is left.
func TestRetryOfWhatTheCapTakes(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a spool; leave out -short to run it")
	}
	h := &house{t: t, dir: t.TempDir(), wall: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		change: func(c *spool.Config) { c.MaxBytes, c.Keep = 48<<20, 0 }}
	h.open()
	uids := h.tagged("all", "3.csv", "7.csv")
	h.retry(all, uidsOf(uids[0]), 1, 0)
	h.gives(all, 32, "3.csv")
	dice, body := rand.NewChaCha8([32]byte{2}), make([]byte, 60<<10)
	for n := 0; h.spool.Stats().FirstSequence <= 10; n++ {
		if n == 1500 {
			t.Fatal("the cap takes nothing")
		}
		_, _ = dice.Read(body)
		r, err := h.spool.Append(t.Context(), spool.Record{Kind: spool.KindFile, Name: fmt.Sprint(n), Dataset: "anomaly",
			ContentType: "text/csv", Source: "vibration", Time: h.now(), Body: spool.Bytes(slices.Clone(body))})
		if err == nil {
			err = r.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b := h.gives(all, 32)
	if o := h.ask("GET", all, nil, 200)["stream"].(object); !b.end || o["_lost"] != 1.0 || o["_backlog"] != 0.0 {
		t.Errorf("at its end: %v, lost %v, backlog %v, want 1 and 0", b.end, o["_lost"], o["_backlog"])
	}
	h.retry(all, object{"all": true}, 0, 1) // and the other one keeps its tag
	if list := h.ask("GET", all+"/exceptions", nil, 200)["exceptions"].([]any); len(list) != 1 {
		t.Errorf("tagged are %v, want one", list)
	}
}
