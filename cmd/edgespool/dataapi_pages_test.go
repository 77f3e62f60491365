package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
)

// clients are the ways in which users call the Data API: each prints the
// status, a line break and the body of one request with method, address,
// token ("" for none) and body.
var clients = map[string]struct {
	program string
	args    func(method, url, token, body string) []string
}{
	"curl": {"curl", func(method, url, token, body string) []string {
		args := []string{"-sS", "-X", method, url, "-H", "Content-Type: application/json", "-o", "-", "-w", "\\n%{http_code}"}
		if token != "" {
			args = append(args, "-H", "Authorization: Bearer "+token)
		}
		if body != "" {
			args = append(args, "--data-binary", body)
		}
		return args
	}},
	"node": {"node", func(method, url, token, body string) []string {
		return []string{"-e", `const [method, url, token, body] = process.argv.slice(1);
const headers = {"Content-Type": "application/json"};
if (token) headers.Authorization = "Bearer " + token;
const r = await fetch(url, {method, headers, body: body || undefined});
console.log(await r.text() + "\n" + r.status);`, "--input-type=module", "--", method, url, token, body}
	}},
	"python": {"python3", func(method, url, token, body string) []string {
		return []string{"-c", `import sys, urllib.request, urllib.error
method, url, token, body = sys.argv[1:]
q = urllib.request.Request(url, data=body.encode() or None, method=method, headers={"Content-Type": "application/json"})
if token: q.add_header("Authorization", "Bearer " + token)
try: r = urllib.request.urlopen(q)
except urllib.error.HTTPError as e: r = e
print(r.read().decode() + "\n" + str(r.status))`, method, url, token, body}
	}},
}

var (
	pageRoute      = regexp.MustCompile(`(POST|GET|PUT|DELETE) ?(/v1/data/[A-Za-z{}/_-]+)`)
	pageModel      = regexp.MustCompile(`^(Data\w+) (?:= )?object`)
	pageMember     = regexp.MustCompile(`^(\w+): `)
	dataPageSample = regexp.MustCompile(`(?s)\{\s*"status".*?\}`)
)

// TestDataAPIPages asks the program everything that the vendor's pages list,
// by the clients that users have, and holds the answers against what the pages
// say is in them.
func TestDataAPIPages(t *testing.T) {
	text, err := os.ReadFile(shared(t, "reference", "data-api.txt"))
	if err != nil {
		t.Fatal(err)
	}
	concepts, err := os.ReadFile(shared(t, "reference", "data-api-concepts.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, m := range pageRoute.FindAllStringSubmatch(string(text)+"\n"+string(concepts), -1) {
		if route := m[1] + " " + m[2]; !slices.Contains(routes, route) {
			routes = append(routes, route)
		}
	}
	want := []string{
		"POST /v1/data/{namespace}", "POST /v1/data/{namespace}/import", "GET /v1/data/{namespace}/requests/{requestId}", "PUT /v1/data/{namespace}/settings",
	}
	if !slices.Equal(routes, want) {
		t.Fatalf("the pages list %q, this test knows %q", routes, want)
	}
	models := pageModels(string(text))
	sample := map[string]string{}
	if err := json.Unmarshal([]byte(dataPageSample.FindString(string(concepts))), &sample); err != nil || sample["status"] != "accepted" {
		t.Fatalf("the page's sample is %v (%v)", sample, err)
	}

	s := newDataSite(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s.run(path)
	s.api = openapitest.Proxy(t, s.api)
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Skipf("%s is missing: install %s to run its samples", name, c.program)
			}
			p := pages{t: t, site: s, ns: "page-" + name, args: func(method, url, token, body string) *exec.Cmd {
				return exec.CommandContext(t.Context(), c.program, c.args(method, url, token, body)...)
			}}
			p.walk(models, sample)
		})
	}
}

// pageModels reads which members each answer has.
func pageModels(text string) map[string][]string {
	models := map[string][]string{}
	current := ""
	for line := range strings.Lines(text) {
		if m := pageModel.FindStringSubmatch(line); m != nil {
			current = m[1]
		} else if m := pageMember.FindStringSubmatch(line); m != nil && current != "" {
			models[current] = append(models[current], m[1])
		}
	}
	return models
}

// pages asks one after the other of what the pages list, by one client.
type pages struct {
	t    *testing.T
	site *dataSite
	ns   string
	args func(method, url, token, body string) *exec.Cmd
}

// ask returns the answer's code and body.
func (p *pages) ask(method, url, token, body string) (code int, text string) {
	p.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = p.site.api + strings.ReplaceAll(url, "{namespace}", p.ns)
	}
	out, err := p.args(method, url, token, body).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", method, filepath.Base(url), err, out)
	}
	at := strings.LastIndex(strings.TrimSpace(string(out)), "\n")
	if _, err := fmt.Sscan(string(out[at+1:]), &code); err != nil {
		p.t.Fatalf("%s %s: no status in %q", method, filepath.Base(url), out)
	}
	return code, strings.TrimSpace(string(out[:max(at, 0)]))
}

// get returns an answer of success, with at least these members.
func (p *pages) get(method, url, body string, members []string) map[string]any {
	p.t.Helper()
	code, text := p.ask(method, url, p.site.token, body)
	got := map[string]any{}
	if err := json.Unmarshal([]byte(text), &got); err != nil || code != http.StatusOK || len(members) == 0 {
		p.t.Fatalf("%s %s: got %d %s (%v), want %q", method, url, code, text, err, members)
	}
	for _, m := range members {
		if _, there := got[m]; !there {
			p.t.Errorf("%s %s: %s is missing in %s", method, url, m, text)
		}
	}
	return got
}

func (p *pages) walk(models map[string][]string, sample map[string]string) {
	t := p.t
	set := p.get("PUT", "/v1/data/{namespace}/settings", `{"schema":{"title":{"display_hint":{"type":"title"}}}}`, models["DataUpdateSettingsResponse"])
	if set["status"] != "updated" || set["namespace"] != p.ns {
		t.Errorf("settings: got %v", set)
	}
	added := p.get("POST", "/v1/data/{namespace}", `{"data":{"id":"a","metadata":{"k":1}}}`, models["DataAddResponse"])
	for member := range sample {
		if _, there := added[member]; !there {
			t.Errorf("add: %s of the page's sample is missing", member)
		}
	}
	inline := []string{"data", "namespace", "request_id", "status"} // the first of the page's two forms
	address := []string{"data_count", "data_expires_at", "data_url", "namespace", "request_id", "status"}
	nested := []string{"id", "output", "url", "metadata"}
	for _, m := range slices.Concat(inline, nested) {
		if !slices.Contains(models["DataGetRequestAddOutput"], m) {
			t.Errorf("the page has no %s, this test thinks that it has", m)
		}
	}
	if got := models["DataGetRequestImportOutput"]; !slices.Equal(got, address) {
		t.Errorf("the page has %q, this test thinks that it has %q", got, address)
	}
	state := p.ended(added["requestId"], inline)
	object := state["data"].([]any)[0].(map[string]any)
	for _, m := range nested {
		if _, there := object[m]; !there {
			t.Errorf("result: %s is missing in %v", m, object)
		}
	}
	upload := p.get("POST", "/v1/data/{namespace}/import", `{}`, models["DataImportResponse"])
	if code, text := p.ask("PUT", upload["upload_url"].(string), "", `{"id":"b"}`+"\n"+`{"id":"c"}`); code != http.StatusOK || text != "" {
		t.Fatalf("upload: got %d %s", code, text)
	}
	state = p.ended(upload["requestId"], address)
	if state["data_count"] != 2.0 {
		t.Errorf("upload: got %v", state)
	}
	if code, text := p.ask("GET", state["data_url"].(string), "", ""); code != http.StatusOK || strings.Count(text, `"output"`) != 2 {
		t.Errorf("download: got %d %s", code, text)
	}
}

// ended asks for a request's state once it has succeeded.
func (p *pages) ended(id any, members []string) map[string]any {
	path := "/v1/data/{namespace}/requests/" + id.(string)
	p.site.until("the request succeeds", func() error {
		_, text, err := p.site.ask("GET", strings.ReplaceAll(path, "{namespace}", p.ns), p.site.token, "")
		if err == nil && !strings.Contains(string(text), `"succeeded"`) {
			err = fmt.Errorf("it is %s", text)
		}
		return err
	})
	return p.get("GET", path, "", members)
}

// TestDataAPITokens tries each token on what it is for, and on the rest.
func TestDataAPITokens(t *testing.T) {
	s := newDataSite(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s.run(path)
	read, ingest := "sk_"+strings.Repeat("6", 32), "sk_"+strings.Repeat("7", 32)
	for _, c := range []struct {
		method, path, token string
		code                int
	}{
		{"POST", "/v1/data/{namespace}", "not-a-token", 401}, {"POST", "/v1/data/{namespace}", "sk_wrong-and-long-enough", 401},
		{"POST", "/v1/data/{namespace}", read, 403}, {"POST", "/v1/data/{namespace}", ingest, 200},
		{"POST", "/v1/data/{namespace}/import", read, 403}, {"PUT", "/v1/data/{namespace}/settings", ingest, 403},
		{"GET", "/v1/data/{namespace}/settings", read, 200}, {"GET", "/v1/data/{namespace}/requests/x", ingest, 403},
		{"GET", "/v1/data/{namespace}/requests/x", read, 404},
	} {
		body := ""
		if c.method != "GET" {
			body = `{"data":{"id":"x"}}`
		}
		code, text, err := s.ask(c.method, strings.ReplaceAll(c.path, "{namespace}", "tokens"), c.token, body)
		if err != nil || code != c.code || code > 299 && (!strings.Contains(string(text), `"error":`) || !strings.Contains(string(text), `"message":`)) {
			t.Errorf("%s %s: got %d %s (%v), want %d", c.method, c.path, code, text, err, c.code)
		}
	}
}
