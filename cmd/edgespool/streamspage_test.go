package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
)

// A pageSample is one call of the vendor's reference page: the same request in
// three languages, and the answer.
type pageSample struct {
	name               string
	curl, node, python string
	answer             map[string]any
}

// pageSamples takes the reference page apart. Its text has lost all indentation,
// so that Python's is made anew.
func pageSamples(t *testing.T) (samples []pageSample) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(shared(t, "reference"), "streams.txt"))
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?m)^(.*)\n- Bash\n- Node\n- Python\n- Response\n`).FindAllStringSubmatchIndex(string(text), -1)
	for i, p := range parts {
		end := len(text)
		if i+1 < len(parts) {
			end = parts[i+1][0]
		}
		name, body := string(text[p[2]:p[3]]), string(text[p[1]:end])
		node, python := strings.Index(body, "const request"), strings.Index(body, "import json\n")
		last := "print(json.dumps(response.json(), indent=2, sort_keys=True))\n"
		answer := strings.Index(body, last) + len(last)
		if node < 0 || python < node || answer < python {
			t.Fatalf("%q is not as the page's other parts", name)
		}
		s := pageSample{name: name, curl: body[:node], node: body[node:python], python: body[python:answer]}
		if err := json.NewDecoder(strings.NewReader(body[answer:])).Decode(&s.answer); err != nil {
			t.Fatalf("read the answer of %q: %v", name, err)
		}
		samples = append(samples, s)
	}
	return samples
}

// TestEverySampleOfTheStreamsPage runs the vendor's documentation against the
// real program, with the host replaced: each call with curl, node and python3,
// the page's answer as the measure.
func TestEverySampleOfTheStreamsPage(t *testing.T) {
	samples := pageSamples(t)
	if len(samples) != 10 {
		t.Fatalf("the page has %d samples, want 10", len(samples))
	}
	s := newSite(t, "  - {name: lan, type: ingestion, api_key_file: $DIR/key}\n")
	s.run()
	s.api = openapitest.Proxy(t, s.api)
	for _, language := range []string{"curl", "node", "python"} {
		t.Run(language, func(t *testing.T) {
			run := languages(t)[language]
			for _, sample := range samples {
				here := func(text string) string {
					return strings.ReplaceAll(text, "https://<my_api_endpoint>", s.api)
				}
				command := run(pageSample{curl: here(sample.curl), node: here(sample.node), python: here(sample.python)})
				command.Env = append(os.Environ(), "REINFER_TOKEN=none", "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
				var out, complaint bytes.Buffer
				command.Stdout, command.Stderr = &out, &complaint
				if err := command.Run(); err != nil {
					t.Fatalf("%s: %v\n%s", sample.name, err, complaint.String())
				}
				var printed string // node prints a text where the sample does not ask for JSON
				if json.Unmarshal(out.Bytes(), &printed) != nil {
					printed = out.String()
				}
				var answer map[string]any
				if err := json.Unmarshal([]byte(printed), &answer); err != nil {
					t.Fatalf("%s: got %q, which is no JSON: %v", sample.name, out.String(), err)
				}
				if sample.name == "Get all streams" { // the page shows one stream where clients read a list
					answer["stream"] = answer["streams"].([]any)[0]
					delete(answer, "streams")
				}
				for _, fault := range unlike(sample.name, sample.answer, answer) {
					t.Error(fault)
				}
				if sample.name == "Delete a stream" { // which the next samples go on with
					again := run(pageSample{curl: here(samples[0].curl), node: here(samples[0].node), python: here(samples[0].python)})
					again.Env = command.Env
					if err := again.Run(); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// unlike lists what an answer lacks of the page's, or has in another form.
// Instants and ids are its own; what a name or title says is the page's.
func unlike(place string, want, got any) (faults []string) {
	object, isObject := want.(map[string]any)
	if !isObject {
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			faults = append(faults, fmt.Sprintf("%s is %v, the page has %v", place, got, want))
		}
		return faults
	}
	have, ok := got.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s is %v, the page has an object", place, got)}
	}
	for key, value := range object {
		at := place + "." + key
		there, known := have[key]
		switch {
		case !known:
			faults = append(faults, at+" is missing")
		case slices.Contains([]string{"name", "title", "description", "status", "version"}, key) && fmt.Sprint(there) != fmt.Sprint(value):
			faults = append(faults, fmt.Sprintf("%s is %v, the page has %v", at, there, value))
		case key == "sequence_id" && strings.HasPrefix(place, "Reset") && there != value:
			faults = append(faults, fmt.Sprintf("%s is %v, the page has %v", at, there, value))
		default:
			faults = append(faults, unlike(at, value, there)...)
		}
	}
	return faults
}

// languages gives the commands that run a sample; what is missing skips.
func languages(t *testing.T) map[string]func(s pageSample) *exec.Cmd {
	_, language, _ := strings.Cut(t.Name(), "/")
	need := func(program, how string) string {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Skipf("%s is not here: %s", program, how)
		}
		return path
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	all := map[string]func(s pageSample) *exec.Cmd{}
	switch language {
	case "curl":
		need("curl", "apt-get install curl")
		all[language] = func(s pageSample) *exec.Cmd { return exec.Command("bash", "-c", s.curl) }
	case "node":
		node := need("node", "apt-get install nodejs")
		folder := nodeRequest(t, node, dir)
		all[language] = func(s pageSample) *exec.Cmd {
			c := exec.Command(node, file("sample.js", s.node))
			c.Dir = folder
			return c
		}
	case "python":
		python := need("python3", "apt-get install python3-requests")
		if out, err := exec.Command(python, "-c", "import requests").CombinedOutput(); err != nil {
			t.Skipf("python3 has no requests (apt-get install python3-requests): %s", out)
		}
		all[language] = func(s pageSample) *exec.Cmd { return exec.Command(python, file("sample.py", s.python)) }
	}
	return all
}

// nodeRequest sees to a module "request", which the samples use and which is
// not made any more: where node has none, one that does what they need of it.
func nodeRequest(t *testing.T, node, dir string) string {
	t.Helper()
	if exec.Command(node, "-e", "require('request')").Run() == nil {
		return dir
	}
	module := filepath.Join(dir, "node_modules", "request")
	if err := os.MkdirAll(module, 0o755); err != nil {
		t.Fatal(err)
	}
	const code = `const http = require("http");
for (const method of ["get", "put", "post", "delete"]) {
  exports[method] = (options, done) => {
    const headers = { ...options.headers };
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    if (options.json) headers.accept = "application/json";
    if (body !== undefined) headers["content-type"] = "application/json";
    const call = http.request(options.url, { method: method.toUpperCase(), headers }, (response) => {
      let text = "";
      response.on("data", (piece) => (text += piece));
      response.on("end", () => done(null, response, options.json ? JSON.parse(text) : text));
    });
    call.on("error", (error) => done(error));
    call.end(body);
  };
}
`
	if err := os.WriteFile(filepath.Join(module, "index.js"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
