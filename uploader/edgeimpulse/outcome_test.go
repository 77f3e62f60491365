package edgeimpulse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
	"github.com/edgespool/edgespool/uploader/uploadertest"
)

const known = "An item with this hash already exists (ids: 12345)"

// TestOutcomes goes through everything that the protocol says can come back,
// and through what must not be believed.
func TestOutcomes(t *testing.T) {
	const one, three = 1, 3
	page := "<!DOCTYPE html><html><body>Welcome to Hotel WiFi</body></html>"
	tests := []struct {
		name   string
		n      int
		action uploadertest.Action
		want   []uploader.Kind
		batch  bool
		again  time.Duration
		says   string
	}{
		{name: "stored", n: three, want: kinds(uploader.Stored, 3)},
		{name: "partial", n: three, action: answer(200, `{"success":true,"files":[{"success":true,"sampleId":7},{"success":false,"error":"bad wav"},{"success":false,"error":"`+known+`"}]}`),
			want: []uploader.Kind{uploader.Stored, uploader.Rejected, uploader.AlreadyThere}, says: "bad wav"},
		{name: "entry without success", n: one, action: answer(200, `{"success":true,"files":[{"sampleId":7}]}`), want: kinds(uploader.TryLater, 1)},
		{name: "count mismatch, fewer", n: three, action: answer(200, `{"success":true,"files":[{"success":true}]}`), want: kinds(uploader.TryLater, 3), says: "1 files"},
		{name: "count mismatch, more", n: one, action: answer(200, `{"success":true,"files":[{"success":true},{"success":true}]}`), want: kinds(uploader.TryLater, 1)},
		{name: "no files", n: three, action: answer(200, `{"success":true}`), want: kinds(uploader.TryLater, 3)},
		{name: "200 but no success", n: three, action: answer(200, `{"success":false,"error":"Project is busy"}`), want: kinds(uploader.TryLater, 3), says: "Project is busy"},
		{name: "portal", n: three, action: answer(200, page), want: kinds(uploader.TryLater, 3), says: "login page"},
		{name: "portal for one", n: one, action: answer(200, page), want: kinds(uploader.TryLater, 1)},
		{name: "cut JSON", n: three, action: answer(200, `{"success":true,"files":[{"success":tr`), want: kinds(uploader.TryLater, 3)},
		{name: "empty 200", n: one, action: answer(204, ""), want: kinds(uploader.TryLater, 1)},
		{name: "huge answer", n: one, action: answer(200, strings.Repeat("x", 2<<20)), want: kinds(uploader.TryLater, 1)},
		{name: "bad one", n: one, action: answer(400, `{"success":false,"error":"Invalid JSON"}`), want: kinds(uploader.Rejected, 1), says: "Invalid JSON"},
		{name: "bad batch", n: three, action: answer(400, "nope"), want: kinds(uploader.Rejected, 3), batch: true},
		{name: "bad by a page", n: one, action: answer(400, page), want: kinds(uploader.TryLater, 1)},
		{name: "known by 400", n: one, action: answer(400, known), want: kinds(uploader.AlreadyThere, 1)},
		{name: "known by 400, batch", n: three, action: answer(400, known), want: kinds(uploader.Rejected, 3), batch: true},
		{name: "key", n: three, action: answer(401, `{"error":"bad key `+testKey+`"}`), want: kinds(uploader.Stop, 3), says: "[key]"},
		{name: "forbidden", n: one, action: answer(403, ""), want: kinds(uploader.Stop, 1)},
		{name: "not here", n: one, action: answer(404, page), want: kinds(uploader.TryLater, 1), says: "check url"},
		{name: "moved", n: one, action: uploadertest.Action{Status: 302, Header: map[string]string{"Location": "http://elsewhere.invalid/x?key=1"}},
			want: kinds(uploader.TryLater, 1), says: "moved to http://elsewhere.invalid;"},
		{name: "too large batch", n: three, action: answer(413, page), want: kinds(uploader.Rejected, 3), batch: true},
		{name: "too large one", n: one, action: answer(413, page), want: kinds(uploader.Rejected, 1)},
		{name: "misdirected", n: three, action: answer(421, "x-file-name missing"), want: kinds(uploader.Rejected, 3), batch: true},
		{name: "unprocessable", n: one, action: answer(422, "no"), want: kinds(uploader.Rejected, 1)},
		{name: "unknown refusal", n: one, action: answer(402, "pay"), want: kinds(uploader.TryLater, 1)},
		{name: "timeout there", n: one, action: answer(408, ""), want: kinds(uploader.TryLater, 1)},
		{name: "too many, seconds", n: three, action: retry(429, "7"), want: kinds(uploader.TryLater, 3), again: 7 * time.Second},
		{name: "too many, date", n: one, action: uploadertest.Action{Status: 429, Header: map[string]string{
			"Retry-After": "Sun, 22 Nov 2026 10:02:00 GMT", "Date": "Sun, 22 Nov 2026 10:00:30 GMT"}}, want: kinds(uploader.TryLater, 1), again: 90 * time.Second},
		{name: "too many, for days", n: one, action: retry(503, "999999999999"), want: kinds(uploader.TryLater, 1), again: time.Hour},
		{name: "broken", n: three, action: answer(500, "oops"), want: kinds(uploader.TryLater, 3)},
		{name: "gateway", n: one, action: answer(502, page), want: kinds(uploader.TryLater, 1)},
		{name: "unavailable", n: one, action: answer(503, ""), want: kinds(uploader.TryLater, 1)},
		{name: "gateway timeout", n: one, action: answer(504, ""), want: kinds(uploader.TryLater, 1)},
		{name: "cut before", n: three, action: uploadertest.Action{Cut: true}, want: kinds(uploader.TryLater, 3)},
		{name: "cut unread", n: three, action: uploadertest.Action{Cut: true, Unread: true}, want: kinds(uploader.TryLater, 3)},
		{name: "cut after commit", n: three, action: uploadertest.Action{Cut: true, Commit: true}, want: kinds(uploader.TryLater, 3)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dest, server := open(t, nil)
			server.Script(test.action)
			batch := uploadertest.Files(1, test.n, "training", "idle")
			verdicts := dest.Send(t.Context(), batch)
			var said strings.Builder
			for i, v := range verdicts {
				if v.Kind != test.want[i] {
					t.Errorf("record %d: got %v (%v), want %v", i, v.Kind, v.Err, test.want[i])
				}
				if v.Batch != test.batch || v.RetryAfter != test.again {
					t.Errorf("record %d: got batch %v and retry after %v, want %v and %v", i, v.Batch, v.RetryAfter, test.batch, test.again)
				}
				if v.Err != nil {
					said.WriteString(v.Err.Error())
				} else if v.Kind != uploader.Stored && v.Kind != uploader.AlreadyThere {
					t.Errorf("record %d: %v without a reason", i, v.Kind)
				}
			}
			if !strings.Contains(said.String(), test.says) {
				t.Errorf("said %q, want something of %q", said.String(), test.says)
			}
			if strings.Contains(said.String(), testKey) {
				t.Error("the key is in the reason")
			}
			if got := len(server.Requests()); got != 1 {
				t.Errorf("got %d requests, want 1: only the worker tries again", got)
			}
			if test.want[0] != uploader.TryLater {
				return
			}
			// Whatever that was, a repeat makes it good, and nothing twice.
			for _, v := range dest.Send(t.Context(), batch) {
				if v.Kind != uploader.Stored && v.Kind != uploader.AlreadyThere {
					t.Errorf("repeat: got %v, %v", v.Kind, v.Err)
				}
			}
			if got := len(server.Samples()); got != test.n {
				t.Errorf("got %d samples after the repeat, want %d", got, test.n)
			}
		})
	}
}

func kinds(k uploader.Kind, n int) []uploader.Kind {
	list := make([]uploader.Kind, n)
	for i := range list {
		list[i] = k
	}
	return list
}

func answer(status int, body string) uploadertest.Action {
	return uploadertest.Action{Status: status, Body: body}
}

func retry(status int, after string) uploadertest.Action {
	return uploadertest.Action{Status: status, Header: map[string]string{"Retry-After": after}}
}

func TestDataOutcomes(t *testing.T) {
	tests := []struct {
		name   string
		action uploadertest.Action
		want   uploader.Kind
	}{
		{"stored by name", answer(200, "idle.1.cbor.7b1c.cbor"), uploader.Stored},
		{"stored by JSON", answer(200, `{"success":true}`), uploader.Stored},
		{"known", answer(400, known), uploader.AlreadyThere},
		{"known in JSON", answer(400, `{"success":false,"error":"`+known+`"}`), uploader.AlreadyThere},
		{"portal", answer(200, "\n <html>"), uploader.TryLater},
		{"empty", answer(200, ""), uploader.TryLater},
		{"other JSON", answer(200, `{"hello":1}`), uploader.TryLater},
		{"many lines", answer(200, "a\nb"), uploader.TryLater},
		{"no name", answer(422, "x-file-name"), uploader.Rejected},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dest, server := open(t, func(c *edgeimpulse.Config, _ *edgeimpulse.Deps) { c.Endpoint = edgeimpulse.EndpointData })
			server.Script(test.action)
			got := dest.Send(t.Context(), uploadertest.Files(1, 1, "training", "idle"))[0]
			if got.Kind != test.want || got.Batch {
				t.Errorf("got %v (%v), want %v", got.Kind, got.Err, test.want)
			}
		})
	}
}
