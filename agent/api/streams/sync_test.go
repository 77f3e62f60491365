package streams

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCommentsComeInAndChange(t *testing.T) {
	h := newHouse(t)
	h.define(project, "all", nil)
	a, b := said("a", object{"number:Spend": 1, "string:Blank": ""}), said("b@c~!", nil)
	a["thread_id"], a["more"] = "t1", []int{1}
	if got := h.sync("project1/mail", a, b); got != "2 0 0" {
		t.Errorf("new ones: %s", got)
	}
	if got := h.sync("project1%2Fmail", a, b); got != "0 0 2" {
		t.Errorf("the same again: %s", got)
	}
	changed := said("a", object{"number:Spend": 2})
	if got := h.sync("project1/mail", changed, b); got != "0 1 1" {
		t.Errorf("one changed: %s", got)
	}
	if got := h.sync("project1/mail", a); got != "0 1 0" {
		t.Errorf("changed back: %s", got)
	}
	if got := h.sync("project1/mail", changed, a, changed, changed, said("z", nil)); got != "1 3 1" {
		t.Errorf("several times in one request: %s", got)
	}
	if got := h.sync("project1/other", a); got != "1 0 0" {
		t.Errorf("the id in another source: %s", got)
	}
	for range 2 {
		c := h.ask("GET", "/api/v1/sources/project1/mail/comments/a", nil, 200)["comment"].(object)
		if c["uid"] != sourceID("project1", "mail")+".a" || c["source_id"] != sourceID("project1", "mail") || fmt.Sprint(c["user_properties"]) != "map[number:Spend:2]" {
			t.Errorf("read back %v", c)
		}
		h.ask("GET", "/api/v1/sources/project1/mail/comments/"+escape("b@c~!"), nil, 200)
		if got := h.sync("project1/mail", changed, b); got != "0 0 2" {
			t.Errorf("the same: %s", got)
		}
		h.close()
		h.open()
	}
	c := h.ask("GET", "/api/v1/sources/project1/other/comments/a", nil, 200)["comment"].(object)
	if c["thread_id"] != "t1" || fmt.Sprintf("%v %v %v", c["more"], c["user_properties"], c["text_format"]) != "[1] map[number:Spend:1] plain" {
		t.Errorf("read back %v", c)
	}
	got := h.fetch(project+"/all", 100, 0)
	if want := "a b@c~! a a a a a z a"; strings.Join(got.names, " ") != want {
		t.Errorf("streamed %v, want %s", got.names, want)
	}
	if list := h.ask("GET", "/api/v1/sources", nil, 200)["sources"].([]any); len(list) != 4 {
		t.Errorf("there are %d sources, want two of the device and two of the project: %v", len(list), list)
	}
}

// One bad comment keeps all of a request out.
func TestSyncIsAllOrNothing(t *testing.T) {
	h := newHouse(t)
	bad := said("c", nil)
	delete(bad, "timestamp")
	h.ask("POST", "/api/v1/sources/project1/mail/sync", object{"comments": []object{said("a", nil), said("b", nil), bad}}, 400)
	h.ask("GET", "/api/v1/sources/project1/mail/comments/a", nil, 404)
	if got := h.sync("project1/mail", said("a", nil), said("b", nil)); got != "2 0 0" {
		t.Errorf("then: %s", got)
	}
}

// Without its index of ids nothing is lost: comments are found by reading.
func TestMoreCommentsThanAreKnown(t *testing.T) {
	h := newHouse(t)
	h.sync("project1/mail", said("a", nil), said("b", object{"number:n": 1}))
	h.sync("project1/mail", said("b", object{"number:n": 2}))
	h.api.ids.mu.Lock()
	clear(h.api.ids.known)
	h.api.ids.full = true
	h.api.ids.mu.Unlock()
	c := h.ask("GET", "/api/v1/sources/project1/mail/comments/b", nil, 200)["comment"].(object)
	if fmt.Sprint(c["user_properties"]) != "map[number:n:2]" {
		t.Errorf("read back %v", c)
	}
	h.ask("GET", "/api/v1/sources/project1/mail/comments/c", nil, 404)
	records := h.spool.Stats().Records
	h.sync("project1/mail", said("a", nil)) // the first version of a is known to the spool
	if got := h.spool.Stats().Records; got != records {
		t.Errorf("a repeat made %d records", got-records)
	}
}

// A dataset has the sources that it was given, in the order of the spool,
// whatever datasets of the spool they are in.
func TestDatasetOfSources(t *testing.T) {
	h := newHouse(t)
	h.sync("project1/mail", said("before", nil))
	h.define(project, "all", nil)
	ids := []string{sourceID("project1", "mail"), sourceID("project2", "mail"), sourceID("b8-27-eb-12-34-56", "vibration")}
	h.ask("PUT", "/api/v1/sources/project2/mail", object{"source": object{"title": "Mail"}}, 200)
	d := h.ask("PUT", "/api/v1/datasets/project1/collateral", object{"dataset": object{"source_ids": ids, "title": "All"}}, 200)["dataset"].(object)
	if d["title"] != "All" || len(d["source_ids"].([]any)) != 3 || d["has_sentiment"] != false || len(d["label_defs"].([]any)) != 0 {
		t.Errorf("the dataset is %v", d)
	}
	var want []string
	for i := range 3 {
		h.sync("project1/mail", said(fmt.Sprint("p", i), nil))
		h.sync("project1/other", said(fmt.Sprint("o", i), nil))
		h.sync("project2/mail", said(fmt.Sprint("q", i), nil))
		h.sample([]string{"training", "testing", "anomaly"}[i], i, nil)
		want = append(want, fmt.Sprint("p", i), fmt.Sprint("q", i), fmt.Sprintf("%d.csv", i))
	}
	got := h.fetch(project+"/all", 100, 0)
	if !slices.Equal(got.names, want) || got.passed != 0 || !got.end {
		t.Errorf("streamed %v, want %v", got.names, want)
	}
	h.advance(project+"/all", got.tokens[3])
	h.close()
	h.open()
	if rest := h.fetch(project+"/all", 3, 0); !slices.Equal(rest.names, want[4:7]) || rest.end {
		t.Errorf("behind the fourth, after a start: %v, want %v", rest.names, want[4:7])
	}
	h.ask("PUT", "/api/v1/datasets/project1/collateral", object{"dataset": object{"source_ids": ids[:1]}}, 200)
	if rest := h.fetch(project+"/all", 100, 0); !slices.Equal(rest.names, []string{"p2"}) {
		t.Errorf("with one source left: %v", rest.names)
	}
	if n := len(h.spool.Streams()); n != 1 {
		t.Errorf("the spool has %d streams, want 1", n)
	}
}

func TestSampleAsComment(t *testing.T) {
	h := newHouse(t)
	h.define(device+"training/streams", "all", nil)
	h.sample("training", 7, map[string]string{"site": "4", "shift": "night", "a:b": "x", "anomaly_score": "0.25", "session": "s1"})
	c := h.fetch(device+"training/streams/all", 1, 0).whole["results"].([]any)[0].(object)["comment"].(object)
	want := map[string]any{
		"number:site": 4.0, "string:site": "4", "string:shift": "night", "string:a_b": "x", "number:Anomaly Score": 0.25,
		"string:Device": "b8:27:eb:12:34:56", "string:Device Type": "RASPBERRY_PI", "string:Source": "vibration", "string:Category": "training",
		"string:Label": "idle", "string:Name": "7.csv", "string:Content Type": "text/csv", "number:Size": 17.0,
	}
	for name, value := range want {
		if got := c["user_properties"].(object)[name]; got != value {
			t.Errorf("%s is %v, want %v", name, got, value)
		}
	}
	if c["thread_id"] != "s1" || c["timestamp"] != c["created_at"] || c["uid"] != c["source_id"].(string)+"."+c["id"].(string) {
		t.Errorf("the comment is %v", c)
	}
	back := h.ask("GET", "/api/v1/sources/b8-27-eb-12-34-56/vibration/comments/"+c["id"].(string), nil, 200)["comment"].(object)
	if fmt.Sprint(back) != fmt.Sprint(c) {
		t.Errorf("read back %v, want %v", back, c)
	}
	h.ask("GET", "/api/v1/sources/b8-27-eb-12-34-56/lan/comments/"+c["id"].(string), nil, 404)
}

// Comments as large as they may be come back as they were, though no batch has
// many of them.
func TestLargeComments(t *testing.T) {
	h := newHouse(t)
	h.define(project, "all", nil)
	text := strings.Repeat("long text ", 6500)
	var want []string
	for i := range 12 {
		c := said(fmt.Sprint("c", i), nil)
		var texts []object
		for range 12 {
			texts = append(texts, object{"body": object{"text": text}})
		}
		c["messages"] = texts
		if got := h.sync("project1/mail", c); got != "1 0 0" {
			t.Fatalf("comment %d: %s", i, got)
		}
		want = append(want, fmt.Sprint("c", i))
	}
	var got []string
	for batches := 0; len(got) < len(want); batches++ {
		b := h.fetch(project+"/all", 1024, 0)
		if len(b.names) == 0 || len(b.names) == len(want) || b.end != (len(got)+len(b.names) == len(want)) {
			t.Fatalf("batch %d has %d comments, end %v", batches, len(b.names), b.end)
		}
		last := b.whole["results"].([]any)[0].(object)["comment"].(object)["messages"].([]any)
		if len(last) != 12 || last[11].(object)["body"].(object)["text"] != text {
			t.Error("a text is not as it was")
		}
		got = append(got, b.names...)
		h.advance(project+"/all", b.next)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	h.ask("GET", "/api/v1/sources/project1/mail/comments/c3", nil, 200)
}
