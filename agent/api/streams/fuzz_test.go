package streams

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "4LvtenIBAAA=", "4LvtenIBAAA", "qs8QcHIBAACuYzDeit-pwQdWGYGQImdy", "////////////////////////////////", "AAAA",
		token(position{createdMS: 1591200300000, sequence: 7, known: true}, 3), token(position{sequence: 7, again: true}, 3)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseToken(text, 3, 1<<40)
		if err != nil {
			return
		}
		if p.createdMS < 0 || p.createdMS > farFuture || p.known && (p.again || p.sequence > 1<<40) {
			t.Errorf("%q gives %+v", text, p)
		}
		if again, err := parseToken(token(p, 3), 3, 1<<40); err != nil || again.sequence != p.sequence || again.createdMS != p.createdMS || again.again != p.again {
			t.Errorf("%q gives %+v, and written again %+v, %v", text, p, again, err)
		}
	})
}

// The vendor's samples: the reset to an instant, and two comments of a
// millisecond.
func TestTokensOfTheVendor(t *testing.T) {
	if got := timeToken(time.Date(2020, 6, 3, 16, 5, 0, 0, time.UTC)); got != "4LvtenIBAAA=" {
		t.Errorf("a reset gives %s", got)
	}
	for text, want := range map[string]string{"4LvtenIBAAA=": "2020-06-03T16:05:00.000000Z", "qs8QcHIBAACuYzDeit-pwQdWGYGQImdy": "2020-06-01T13:27:29.450000Z"} {
		if p, err := parseToken(text, 1, 1); err != nil || p.known || stamp(p.at()) != want {
			t.Errorf("%s gives %+v, %v, want %s", text, p, err, want)
		}
	}
	if got := token(position{createdMS: 1, sequence: 2, known: true}, 3); len(got) != 32 {
		t.Errorf("a sequence_id is %q", got)
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`{}`, `{"user_properties":{"string:Country":{"one_of":["uk"]},"number:Spend":{"minimum":1,"maximum":2,"not_one_of":[1.5]}}}`,
		`{"timestamp":{"minimum":"2020-01-01"},"sources":["a"],"reviewed":"only_reviewed"}`, `{"annotations":{"labels":{"one_of":["A > B",["C"]]}}}`,
		`{"user_properties":{"string:a":null}}`, `{"user_properties":{"string:a":{"one_of":[null]}}}`, `null`, `[]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseFilter(json.RawMessage(text))
		if err != nil {
			if parsed, known := err.(*fault); !known || parsed.why == "" {
				t.Errorf("%q gives the error %v", text, err)
			}
			return
		}
		c := &comment{properties: properties{"string:Country": textProperty("uk"), "number:Spend": numberProperty(1.5)}, at: time.Unix(1e9, 0), label: "A > B"}
		yes := parsed.matches(c)
		again, err := parseFilter(json.RawMessage(text))
		if err != nil || again.matches(c) != yes {
			t.Errorf("%q cannot decide: %v", text, err)
		}
	})
}

func FuzzComment(f *testing.F) {
	for _, seed := range []string{`{"id":"a","timestamp":"2020-06-03T16:05:00Z","messages":[{"body":{"text":"x"}}],"user_properties":{"number:n":1,"string:s":""}}`,
		`{"id":"a","ID":"b/c","timestamp":"2020-06-03","messages":[]}`, `{"id":"a","timestamp":"2020-06-03","messages":[],"user_properties":null}`, `null`, `"a"`, `{`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseComment([]byte(text))
		if err != nil {
			return
		}
		again, err := parseComment(c.body)
		if err != nil || again.id != c.id || string(again.body) != string(c.body) {
			t.Errorf("%q is kept as %q, which is read as %q, %v", text, c.body, again.body, err)
		}
	})
}

func FuzzSync(f *testing.F) {
	f.Add(`{"comments":[{"id":"a","timestamp":"2020-06-03","messages":[]}],"more":{}}`)
	f.Add(`{"comments":[[]],"comments":[1]}`)
	f.Add(`{"comments"`)
	f.Fuzz(func(t *testing.T, text string) {
		comments, err := readComments(strings.NewReader(text))
		if err == nil && slices.ContainsFunc(comments, func(c incoming) bool { return !isCommentID(c.id) }) {
			t.Errorf("%q gives %v", text, comments)
		}
	})
}

func FuzzDefinition(f *testing.F) {
	f.Add(`{"version":8,"label_thresholds":[{"name":["A","B"],"threshold":0.5}]}`)
	f.Add(`{"version":0,"label_thresholds":null}`)
	f.Add(`{"version":1e9,"label_thresholds":[null,{"name":"A > B","threshold":1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseModel(json.RawMessage(text))
		if err != nil {
			return
		}
		kept, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseModel(kept); err != nil {
			t.Errorf("%q is kept as %s, which is refused: %v", text, kept, err)
		}
	})
}
