package streams

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/spool"
)

func TestStreamIsMadeChangedAndDeleted(t *testing.T) {
	h := newHouse(t)
	filter := object{"user_properties": object{"number:Spend": object{"minimum": 1}}}
	made := h.ask("PUT", project, object{"stream": object{"name": "dispute", "title": "A", "description": "B", "comment_filter": filter,
		"model": object{"version": 8}}}, 200)["stream"].(object)
	for member, want := range map[string]any{"name": "dispute", "title": "A", "description": "B", "context": "0", "created_at": made["updated_at"]} {
		if made[member] != want {
			t.Errorf("%s is %v, want %v", member, made[member], want)
		}
	}
	if got := fmt.Sprint(made["model"], made["comment_filter"]); got != "map[label_thresholds:[] version:8] map[user_properties:map[number:Spend:map[minimum:1]]]" {
		t.Errorf("model and filter are %s", got)
	}
	for _, id := range []string{made["id"].(string), made["dataset_id"].(string)} {
		if len(id) != 16 || strings.Trim(id, "0123456789abcdef") != "" {
			t.Errorf("id %q is not 16 hexadecimal digits", id)
		}
	}
	h.ask("PUT", project, object{"trigger": object{"name": "second"}}, 200)
	changed := h.ask("POST", project+"/dispute", object{"stream": object{"title": "C"}}, 200)["stream"].(object)
	if changed["title"] != "C" || changed["description"] != "B" || changed["comment_filter"] == nil || changed["id"] != made["id"] || changed["created_at"] != made["created_at"] {
		t.Errorf("a partial update gives %v", changed)
	}
	if o := h.ask("POST", project+"/dispute", object{"stream": object{"comment_filter": nil, "model": nil}}, 200)["stream"].(object); o["comment_filter"] != nil || o["model"] != nil {
		t.Errorf("null leaves %v", o)
	}
	for _, path := range []string{project, "/api/v1/datasets/project1%2Fcollateral/streams", project + "/"} {
		list := h.ask("GET", path, nil, 200)["streams"].([]any)
		if len(list) != 2 || list[0].(object)["name"] != "dispute" || list[1].(object)["name"] != "second" {
			t.Errorf("%s lists %v", path, list)
		}
	}
	former := strings.Replace(project, "/streams", "/triggers", 1)
	if list := h.ask("GET", former, nil, 200)["triggers"].([]any); len(list) != 2 {
		t.Errorf("the former name lists %v", list)
	}
	if o := h.ask("GET", former+"/second", nil, 200)["trigger"].(object); o["name"] != "second" {
		t.Errorf("the former name gets %v", o)
	}
	h.ask("DELETE", project+"/dispute", nil, 200)
	h.ask("DELETE", project+"/dispute", nil, 404)
	h.ask("GET", project+"/dispute", nil, 404)
	if n := len(h.spool.Streams()); n != 1 {
		t.Errorf("the spool has %d streams, want that of the second", n)
	}
	h.close()
	h.open()
	if list := h.ask("GET", project, nil, 200)["streams"].([]any); len(list) != 1 {
		t.Errorf("after a start there are %v", list)
	}
}

// Same batch until advance, for as many consumers as there are; forwards one by
// one or all at once, and backwards.
func TestFetchAndAdvance(t *testing.T) {
	h := newHouse(t)
	h.sample("training", 0, nil) // before the stream was made
	h.define(device+"training/streams", "all", nil)
	all := device + "training/streams/all"
	empty := h.fetch(all, 8, 0)
	if len(empty.names) != 0 || !empty.end {
		t.Errorf("a new stream gives %v", empty.whole)
	}
	h.advance(all, empty.next)
	for i := range 5 {
		h.sample("training", i+1, nil)
		h.sample("testing", i+1, nil)
	}
	first := h.fetch(all, 3, 0)
	if want := []string{"1.csv", "2.csv", "3.csv"}; !slices.Equal(first.names, want) || first.end || first.passed != 0 || first.next != first.tokens[2] {
		t.Errorf("got %v, want %v", first.whole, want)
	}
	if again := h.fetch(all, 3, 0); !slices.Equal(again.names, first.names) || again.next != first.next {
		t.Errorf("a second consumer sees %v", again.whole)
	}
	h.advance(all, first.tokens[0])
	if got := h.fetch(all, 8, 0); !slices.Equal(got.names, []string{"2.csv", "3.csv", "4.csv", "5.csv"}) || !got.end {
		t.Errorf("behind the first: %v", got.names)
	}
	h.advance(all, first.next)
	h.close() // and a start
	h.open()
	rest := h.fetch(all, 2, 0)
	if !slices.Equal(rest.names, []string{"4.csv", "5.csv"}) || !rest.end {
		t.Errorf("after a start: %v, end %v", rest.names, rest.end)
	}
	h.advance(all, rest.next)
	if got := h.fetch(all, 2, 0); len(got.names) != 0 || !got.end || got.next[12:] != rest.next[12:] {
		t.Errorf("at the end: %v", got.whole)
	}
	h.advance(all, first.tokens[1])
	if got := h.fetch(all, 1, 0); !slices.Equal(got.names, []string{"3.csv"}) {
		t.Errorf("backwards: %v", got.names)
	}
	if got := h.ask("GET", all+"/results?max_results=2", nil, 200); len(got["results"].([]any)) != 2 || got["more_results"] != true || got["num_filtered"] != 0.0 {
		t.Errorf("results: %v", got)
	} else {
		h.advance(all, got["continuation"].(string))
	}
	if got := h.fetch(all, 9, 0); !slices.Equal(got.names, []string{"5.csv"}) {
		t.Errorf("behind the results: %v", got.names)
	}
}

func TestResetByTime(t *testing.T) {
	h := newHouse(t)
	for i := range 4 {
		h.sample("training", i+1, nil)
	}
	h.define(device+"training/streams", "all", nil)
	all := device + "training/streams/all"
	h.ask("POST", all+"/reset", object{"to_comment_created_at": "2020-06-03T16:05:00"}, 200)
	got := h.fetch(all, 8, 0)
	if len(got.names) != 4 {
		t.Fatalf("reset to before all: %v", got.names)
	}
	third := got.whole["results"].([]any)[2].(object)["comment"].(object)["created_at"].(string)
	o := h.ask("POST", all+"/reset", object{"to_comment_created_at": third}, 200)
	at, err := time.Parse(time.RFC3339, third)
	if err != nil {
		t.Fatal(err)
	}
	short, err := base64.URLEncoding.DecodeString(o["sequence_id"].(string))
	if err != nil || len(short) != 8 || int64(binary.LittleEndian.Uint64(short)) != at.UnixMilli() || o["stream"].(object)["name"] != "all" {
		t.Errorf("reset answers %v", o)
	}
	if got := h.fetch(all, 8, 0); !slices.Equal(got.names, []string{"3.csv", "4.csv"}) {
		t.Errorf("reset to the third: %v", got.names)
	}
	h.advance(all, got.tokens[3])
	h.advance(all, o["sequence_id"].(string)) // the answer of a reset may be advanced to
	if got := h.fetch(all, 8, 0); !slices.Equal(got.names, []string{"3.csv", "4.csv"}) {
		t.Errorf("advanced to the time of the third: %v", got.names)
	}
	h.ask("POST", all+"/reset", object{"to_comment_created_at": "2031-01-01"}, 200)
	if got := h.fetch(all, 8, 0); len(got.names) != 0 {
		t.Errorf("reset to the future: %v", got.names)
	}
	// A sequence_id that another log gave counts by its time.
	foreign := binary.LittleEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	foreign = append(foreign, make([]byte, 16)...)
	h.advance(all, base64.URLEncoding.EncodeToString(foreign))
	if got := h.fetch(all, 8, 0); !slices.Equal(got.names, []string{"3.csv", "4.csv"}) {
		t.Errorf("a foreign sequence_id: %v", got.names)
	}
}

// What is filtered out counts towards the size from max_filtered on, and the
// batch's position covers it.
func TestFilteredCounts(t *testing.T) {
	h := newHouse(t)
	h.define(device+"training/streams", "odd", object{"user_properties": object{"string:odd": object{"one_of": []string{"yes"}}}})
	odd := device + "training/streams/odd"
	for i := range 10 { // 1 3 5 7 9 match
		h.sample("training", i, map[string]string{"odd": []string{"no", "yes"}[i%2]})
	}
	for _, c := range []struct {
		size, maxFiltered int
		names             string
		filtered          int
		end               bool
	}{
		{1, 0, "", 1, false}, {4, 0, "1.csv 3.csv", 2, false}, {4, 2, "1.csv 3.csv 5.csv", 3, false},
		{10, 0, "1.csv 3.csv 5.csv 7.csv 9.csv", 5, true}, {5, 5, "1.csv 3.csv 5.csv 7.csv 9.csv", 5, true}, {1, 1024, "1.csv", 1, false},
	} {
		got := h.fetch(odd, c.size, c.maxFiltered)
		if strings.Join(got.names, " ") != c.names || got.passed != c.filtered || got.end != c.end {
			t.Errorf("size %d, max_filtered %d: got %v, %d filtered, end %v; want %v", c.size, c.maxFiltered, got.names, got.passed, got.end, c)
		}
	}
	empty := h.fetch(odd, 1, 0)
	h.advance(odd, empty.next)
	if got := h.fetch(odd, 1, 0); !slices.Equal(got.names, []string{"1.csv"}) {
		t.Errorf("behind a batch of nothing: %v", got.names)
	}
}

func TestLabelThresholds(t *testing.T) {
	h := newHouse(t)
	streams := device + "training/streams"
	for name, model := range map[string]object{
		"none":   nil,
		"every":  {"version": 0},
		"pinned": {"version": 3, "label_thresholds": []object{{"name": []string{"Anomaly"}, "threshold": 0.5}, {"name": []string{"Bearing", "Worn"}, "threshold": 0.5}}},
		"other":  {"version": 4},
	} {
		def := object{"name": name}
		if model != nil {
			def["model"] = model
		}
		h.ask("PUT", streams, object{"stream": def}, 200)
	}
	h.sample("training", 1, map[string]string{"anomaly_score": "0.93", "prediction": "Bearing > Worn", "prediction_score": "0.5", "model": "statistics", "model_version": "3"})
	h.sample("training", 2, map[string]string{"anomaly_score": "1.5", "prediction": "Bearing"})
	const both = `[{"name":["Anomaly"],"probability":0.93},{"name":["Bearing","Worn"],"probability":0.5}]`
	for name, want := range map[string]string{"none": "[]", "every": both, "pinned": `[{"name":["Anomaly"],"probability":0.93}]`, "other": "[]"} {
		got := h.fetch(streams+"/"+name, 8, 0)
		if len(got.labels) != 2 || got.labels[0] != want || got.labels[1] != "[]" {
			t.Errorf("stream %s shows %v, want %s and none", name, got.labels, want)
		}
	}
	o := h.ask("GET", streams+"/pinned/results", nil, 200)
	labels := fmt.Sprint(o["results"].([]any)[0].(object)["prediction"].(object)["labels"])
	if want := "[map[fields:[] name:Anomaly occurrence_confidence:map[thresholds:[stream] value:0.93]] map[fields:[] name:Bearing > Worn occurrence_confidence:map[thresholds:[] value:0.5]]]"; labels != want {
		t.Errorf("the newer form shows %s, want %s", labels, want)
	}
}

func TestExceptionsAreTagged(t *testing.T) {
	h := newHouse(t)
	h.define(project, "dispute", nil)
	path := project + "/dispute/exceptions"
	tag := func(uid, kind string) object { return object{"uid": uid, "metadata": object{"type": kind}} }
	h.ask("PUT", path, object{"exceptions": []object{tag("18ba5ce699f8da1f.a", "No Prediction"), tag("18ba5ce699f8da1f.b", "No Prediction")}}, 200)
	h.ask("PUT", path, object{"exceptions": []object{tag("18ba5ce699f8da1f.b", "Wrong Prediction")}}, 200)
	h.close()
	h.open()
	h.ask("DELETE", path+"?uid=18ba5ce699f8da1f.a&uid=18ba5ce699f8da1f.unknown", nil, 200)
	list := h.ask("GET", path, nil, 200)["exceptions"].([]any)
	if len(list) != 1 || list[0].(object)["uid"] != "18ba5ce699f8da1f.b" || fmt.Sprint(list[0].(object)["metadata"]) != "map[type:Wrong Prediction]" {
		t.Errorf("got %v, want b with a wrong prediction", list)
	}
	h.ask("DELETE", project+"/dispute", nil, 200)
	h.define(project, "dispute", nil)
	if list := h.ask("GET", path, nil, 200)["exceptions"].([]any); len(list) != 0 {
		t.Errorf("a new stream of the name has %v", list)
	}
}

func TestAnswersOfErrors(t *testing.T) {
	h := newHouse(t)
	h.define(project, "dispute", nil)
	one := project + "/dispute"
	def := func(more string) string { return `{"stream":{"name":"x",` + more + `}}` }
	filter := func(text string) string { return def(`"comment_filter":` + text) }
	properties := func(text string) string { return filter(`{"user_properties":` + text + `}`) }
	sync := "/api/v1/sources/project1/mail/sync"
	comment := func(text string) string { return `{"comments":[` + text + `]}` }
	for _, c := range []struct {
		method, path, body string
		code               int
		holds              string
	}{
		{"GET", "/api/v1/nothing", "", 404, "404 Not Found"},
		{"GET", "/api/v1/", "", 404, "404 Not Found"},
		{"GET", "/api/v1/datasets/nobody/nothing/streams", "", 404, "404 Not Found"},
		{"GET", "/api/v1/datasets/nobody/nothing", "", 404, "404 Not Found"},
		{"GET", "/api/v1/sources/nobody/nothing", "", 404, "404 Not Found"},
		{"GET", "/api/v1/sources/nobody/nothing/comments/a", "", 404, "404 Not Found"},
		{"POST", project + "/nobody/fetch", `{"size":1}`, 404, "404 Not Found"},
		{"PATCH", project, "{}", 405, "GET, HEAD, PUT"},
		{"GET", one + "/fetch", "", 405, "POST"},
		{"PUT", project, "", 400, "empty"},
		{"PUT", project, "{", 400, "body"},
		{"PUT", project, "{}", 400, `no object "stream"`},
		{"PUT", project, `{"stream":{}}`, 400, "stream.name"},
		{"PUT", project, `{"stream":{"name":"a b"}}`, 400, "stream.name"},
		{"PUT", project, `{"stream":{"name":"` + strings.Repeat("a", 257) + `"}}`, 400, "stream.name"},
		{"PUT", project, `{"stream":{"name":3}}`, 400, "stream.name is a JSON number and should be a string"},
		{"PUT", "/api/v1/datasets/../x/streams", def(`"title":""`), 400, "../x"},
		{"PUT", "/api/v1/datasets/a%20b/x/streams", def(`"title":""`), 400, "a b/x"},
		{"PUT", "/api/v1/datasets/%2E%2E%2E/x/streams", def(`"title":""`), 400, "no name of a dataset"},
		{"PUT", project, def(`"title":"` + strings.Repeat("a", 129) + `"`), 400, "128"},
		{"PUT", project, def(`"description":"` + strings.Repeat("a", 16385) + `"`), 400, "16384"},
		{"PUT", project, def(`"model":{}`), 400, "model.version"},
		{"PUT", project, def(`"model":{"version":-1}`), 400, "model.version"},
		{"PUT", project, def(`"model":{"version":1,"label_thresholds":[{"name":["A"],"threshold":1.1}]}`), 400, "label_thresholds[0].threshold"},
		{"PUT", project, def(`"model":{"version":1,"label_thresholds":[{"name":[],"threshold":1}]}`), 400, "label_thresholds[0].name"},
		{"PUT", project, filter(`{"user_propertees":{}}`), 400, "user_propertees"},
		{"PUT", project, filter(`[]`), 400, "comment_filter"},
		{"PUT", project, properties(`{"Spend":{"minimum":1}}`), 400, "Spend"},
		{"PUT", project, properties(`{"string:Spend":{"minimum":1}}`), 400, "minimum"},
		{"PUT", project, properties(`{"number:Spend":{"one_of":["a"]}}`), 400, "one_of"},
		{"PUT", project, properties(`{"number:Spend":{"one_of":[]}}`), 400, "one_of"},
		{"PUT", project, properties(`{"number:Spend":{"minimum":2,"maximum":1}}`), 400, "above"},
		{"PUT", project, properties(`{"number:Spend":{"most":2}}`), 400, "most"},
		{"PUT", project, filter(`{"timestamp":{"minimum":"yesterday"}}`), 400, "timestamp.minimum"},
		{"PUT", project, `{"stream":"` + strings.Repeat("a", maxBody) + `"}`, 413, "larger"},
		{"PUT", project, def(`"comment_filter":{"user_properties":{"string:a":{"one_of":["` + strings.Repeat("a", maxDocument) + `"]}}}`), 413, "definition"},
		{"POST", one, `{"stream":{"name":"other"}}`, 400, "keeps its name"},
		{"POST", one + "/fetch", `{}`, 400, "size"},
		{"POST", one + "/fetch", `{"size":0}`, 400, "size"},
		{"POST", one + "/fetch", `{"size":1025}`, 400, "1024"},
		{"POST", one + "/fetch", `{"size":1.5}`, 400, "1.5"},
		{"POST", one + "/fetch", `{"size":"many"}`, 400, "body"},
		{"POST", one + "/fetch", `{"size":1,"max_filtered":1025}`, 400, "max_filtered"},
		{"GET", one + "/results?max_results=0", "", 400, "max_results"},
		{"GET", one + "/results?max_results=x", "", 400, "max_results"},
		{"POST", one + "/advance", `{}`, 400, "sequence_id"},
		{"POST", one + "/advance", `{"sequence_id":"AAAA"}`, 400, "sequence_id"},
		{"POST", one + "/advance", `{"sequence_id":"!"}`, 400, "sequence_id"},
		{"POST", one + "/reset", `{}`, 400, "to_comment_created_at"},
		{"POST", one + "/reset", `{"to_comment_created_at":"soon"}`, 400, "ISO-8601"},
		{"PUT", one + "/exceptions", `{}`, 400, "exceptions"},
		{"PUT", one + "/exceptions", `{"exceptions":[{"uid":"nodot","metadata":{"type":"a"}}]}`, 400, "exceptions[0].uid"},
		{"PUT", one + "/exceptions", `{"exceptions":[{"uid":"a.b"}]}`, 400, "exceptions[0].metadata.type"},
		{"DELETE", one + "/exceptions", "", 400, "uid"},
		{"POST", sync, ``, 400, "too early"},
		{"POST", sync, `[]`, 400, "comments"},
		{"POST", sync, `{}`, 400, "comments"},
		{"POST", sync, `{"comments":{}}`, 400, "body"},
		{"POST", sync, `{"comments":[]}{}`, 400, "more than one"},
		{"POST", sync, comment(`{}`), 400, "comments[0]: id"},
		{"POST", sync, comment(`{"id":"a/b"}`), 400, "comments[0]: id"},
		{"POST", sync, comment(`{"id":"a","timestamp":"x","messages":[]}`), 400, "comments[0]: timestamp"},
		{"POST", sync, comment(`{"id":"a","timestamp":"2020-01-01T00:00:00Z"}`), 400, "comments[0]: messages"},
		{"POST", sync, comment(`{"id":"a","timestamp":"2020-01-01T00:00:00Z","messages":[{}]}`), 400, "messages[0].body.text"},
		{"POST", sync, comment(`{"id":"a","timestamp":"2020-01-01T00:00:00Z","messages":[],"user_properties":{"Spend":1}}`), 400, "Spend"},
		{"POST", sync, comment(`{"id":"a","timestamp":"2020-01-01T00:00:00Z","messages":[],"user_properties":{"string:Spend":1}}`), 400, "kind"},
		{"POST", sync, comment(`{"id":"` + strings.Repeat("a", 9<<20) + `"}`), 413, "larger"},
	} {
		o := h.ask(c.method, c.path, c.body, c.code)
		if message := o["message"].(string); !strings.Contains(message, c.holds) {
			t.Errorf("%s %s %.80s: got %q, want it to name %q", c.method, c.path, c.body, message, c.holds)
		}
	}
	if n := h.spool.Stats().Records; n != 0 {
		t.Errorf("%d records came of requests that were refused", n)
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", h.url+one+"/fetch", strings.NewReader(`{"size":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 415 || !strings.HasPrefix(resp.Header.Get("Server-Timing"), "total;dur=") {
		t.Errorf("text gets %d and %v, want 415", resp.StatusCode, resp.Header)
	}
}

// What a crash left of a stream under way goes at the next start; a definition
// that cannot be read keeps its position.
func TestStartAfterCrashes(t *testing.T) {
	h := newHouse(t)
	h.define(project, "all", nil)
	h.define(project, "odd", nil)
	if _, err := h.spool.Stream("api/project1/collateral/half/comments/project1", "comments/project1", spool.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.spool.Stream("api/training", "training", spool.StreamOptions{}); err != nil { // of a destination called api
		t.Fatal(err)
	}
	h.close()
	h.open()
	var names []string
	for _, info := range h.spool.Streams() {
		names = append(names, info.Name)
	}
	want := []string{"api/project1/collateral/all/comments/project1", "api/project1/collateral/odd/comments/project1", "api/training"}
	if !slices.Equal(names, want) {
		t.Errorf("after a start there are %v, want %v", names, want)
	}
	odd := h.api.streams["project1/collateral/odd"].streamDocument
	for _, filter := range []string{`{"later": {}}`, `3`} {
		text := fmt.Sprintf(`{"id":%q,"owner":"project1","dataset":"collateral","name":"odd","comment_filter":%s}`, odd.ID, filter)
		if err := h.spool.SetSetting(streamSetting+odd.ID, []byte(text)); err != nil {
			t.Fatal(err)
		}
		h.close()
		h.open()
		h.ask("GET", project+"/odd", nil, 404)
		h.ask("GET", project+"/all", nil, 200)
		if n := len(h.spool.Streams()); n != 3 {
			t.Errorf("with the filter %s the spool has %d streams, want 3", filter, n)
		}
	}
}
