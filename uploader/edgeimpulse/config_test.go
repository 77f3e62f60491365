package edgeimpulse

import (
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/uploader"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Config)
		want   string // field of the only fault; empty for none
	}{
		{"default with a key", func(*Config) {}, ""},
		{"local address", func(c *Config) { c.URL = "http://127.0.0.1:4810/" }, ""},
		{"no address", func(c *Config) { c.URL = "" }, "url"},
		{"only a host", func(c *Config) { c.URL = "ingestion.edgeimpulse.com" }, "url"},
		{"other scheme", func(c *Config) { c.URL = "ftp://x" }, "url"},
		{"password", func(c *Config) { c.URL = "https://me:secret@x" }, "url"},
		{"query", func(c *Config) { c.URL = "https://x/?key=1" }, "url"},
		{"too far in", func(c *Config) { c.URL = "https://x/api/training/files" }, "url"},
		{"no key", func(c *Config) { c.APIKeyEnv = "" }, "api_key_file"},
		{"two keys", func(c *Config) { c.APIKeyFile = "/x" }, "api_key_file"},
		{"two hmac keys", func(c *Config) { c.HMACKeyFile, c.HMACKeyEnv = "/x", "X" }, "hmac_key_file"},
		{"no category", func(c *Config) { c.Categories = nil }, "categories"},
		{"unknown category", func(c *Config) { c.Categories = []string{"training", "trainig"} }, "categories[1]"},
		{"split", func(c *Config) { c.Categories = []string{"split"} }, "categories[0]"},
		{"category twice", func(c *Config) { c.Categories = []string{"testing", "testing"} }, "categories[1]"},
		{"no files", func(c *Config) { c.Batch.Files = 0 }, "batch.files"},
		{"too many files", func(c *Config) { c.Batch.Files = 1001 }, "batch.files"},
		{"no bytes", func(c *Config) { c.Batch.Bytes = 0 }, "batch.bytes"},
		{"too many at once", func(c *Config) { c.Concurrency = 5 }, "concurrency"},
		{"crawling", func(c *Config) { c.Limit.Rate = 10 }, "limit.rate"},
		{"endpoint", func(c *Config) { c.Endpoint = "file" }, "endpoint"},
	}
	for _, test := range tests {
		c := DefaultConfig()
		c.APIKeyEnv = "EI_API_KEY"
		test.change(&c)
		var got []string
		c.Validate(func(field, problem, remedy string) {
			got = append(got, field)
			if problem == "" || remedy == "" {
				t.Errorf("%s: fault in %s without words", test.name, field)
			}
		})
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got faults in %q, want %q", test.name, got, test.want)
		}
	}
}

func TestHours(t *testing.T) {
	day := func(text string) time.Time {
		at, err := time.ParseInLocation("15:04", text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return at.AddDate(2026, 0, 0)
	}
	tests := []struct {
		hours, now string
		want       time.Duration
	}{
		{"22:00-06:00", "21:59", time.Minute}, {"22:00-06:00", "22:00", 0}, {"22:00-06:00", "05:59", 0},
		{"22:00-06:00", "06:00", 16 * time.Hour}, {"08:30-12:00", "12:00", 20*time.Hour + 30*time.Minute},
		{"08:30-12:00", "08:00", 30 * time.Minute}, {"00:00-24:00", "23:59", 0}, {"", "12:00", 0},
	}
	for _, test := range tests {
		var h Hours
		if test.hours != "" {
			if err := h.UnmarshalText([]byte(test.hours)); err != nil {
				t.Fatal(err)
			}
		}
		if got := h.opensIn(day(test.now)); got != test.want {
			t.Errorf("%q at %s: got %v, want %v", test.hours, test.now, got, test.want)
		}
		if h.String() != test.hours {
			t.Errorf("got %q back, want %q", h, test.hours)
		}
	}
	for _, bad := range []string{"", "22:00", "22-06", "25:00-06:00", "06:00-06:00", "a-b"} {
		if err := new(Hours).UnmarshalText([]byte(bad)); err == nil || !strings.Contains(err.Error(), "22:00-06:00") {
			t.Errorf("%q: got %v, want an error with an example", bad, err)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{"200KiB/s": 200 << 10, "1MB/s": 1e6, "512 B/s": 512} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q: got %d, %v, want %d", text, r, err, want)
		}
	}
	for _, bad := range []string{"200KiB", "fast", "/s", "-1B/s"} {
		if err := new(Rate).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

// TestOpensIn checks who has to keep the hours.
func TestOpensIn(t *testing.T) {
	now := time.Now()
	since := time.Duration(now.Hour())*time.Hour + time.Duration(now.Minute())*time.Minute
	later := func(d time.Duration) time.Duration { return (since + d) % (24 * time.Hour) }
	known := false
	c := DefaultConfig()
	c.APIKeyEnv = "EI_API_KEY"
	c.Limit.Hours = Hours{later(6 * time.Hour), later(7 * time.Hour)}
	d, err := New(c, Deps{ClockKnown: func() bool { return known }})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.OpensIn("training"); got != 0 {
		t.Errorf("with an unknown clock: got %v, want 0", got)
	}
	known = true
	if got := d.OpensIn("training"); got <= 5*time.Hour || got > 7*time.Hour {
		t.Errorf("training: got %v, want about 6 hours", got)
	}
	if got := d.OpensIn("anomaly"); got != 0 {
		t.Errorf("anomaly: got %v, want 0", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, 2, 0, []byte(`{"success":true,"files":[{"success":true,"sampleId":1},{"success":false,"error":"An item with this hash already exists (ids: 1, 2)"}]}`))
	f.Add(200, 1, 1, []byte("name.cbor"))
	f.Add(400, 1, 0, []byte("An item with this hash already exists (ids: "))
	f.Add(302, 3, 2, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status, n, attached int, body []byte) {
		n = 1 + n&7
		list := verdicts(uploader.Answer{Status: status, Body: body}, n, attached&7)
		if len(list) != n {
			t.Fatalf("got %d verdicts for %d records", len(list), n)
		}
		for _, v := range list {
			if v.Kind != uploader.Stored && v.Kind != uploader.AlreadyThere && v.Err == nil {
				t.Fatalf("%v without a reason", v.Kind)
			}
			if v.Err != nil && len(v.Err.Error()) > 2000 {
				t.Fatalf("reason of %d bytes", len(v.Err.Error()))
			}
		}
	})
}
