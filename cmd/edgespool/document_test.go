package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

const documentKey = "fed52996f20684c067774ebf9e7bcbdc"

// documentFolder holds one document of each kind, and key files.
func documentFolder(t *testing.T) string {
	t.Helper()
	h := acquisition.PayloadHeader{DeviceName: "b8:27:eb:12:34:56", DeviceType: "RASPBERRY_PI", IntervalMS: 16,
		Sensors: []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "m/s2"}}}
	payload, err := acquisition.AppendPayload(nil, h, []float64{1, -9.81, 2, 0.5, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	e := acquisition.Envelope{IAT: 1564128599, UID: "u1", Key: []byte(documentKey)}
	signed, err := acquisition.AppendEnvelope(nil, payload, e)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := acquisition.AppendJSON(nil, h, nil, acquisition.Envelope{IAT: 4e9})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string][]byte{
		"signed.cbor":   signed,
		"changed.cbor":  bytes.Replace(signed, []byte("accX"), []byte("accZ"), 1),
		"unsigned.json": unsigned,
		"hostile.json":  bytes.Replace(unsigned, []byte("RASPBERRY_PI"), []byte(`\u001b[2J`), 1),
		"cut.cbor":      signed[:100],
		"notes.txt":     []byte("no document"),
		"key":           []byte(documentKey + "\r\n"),
		"other":         []byte("0"),
		"empty":         []byte("\n"),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// runDocument runs the command in folder and returns what it printed.
func runDocument(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := newDocumentCommand()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

func codeOf(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	}
	return exitFailed
}

func TestDocumentForPeople(t *testing.T) {
	t.Chdir(documentFolder(t))
	got, err := runDocument(t, "", "signed.cbor", "--hmac-key-file", "key")
	if err != nil {
		t.Fatal(err)
	}
	want := `signed.cbor: CBOR, 299 bytes
  device     b8:27:eb:12:34:56 (RASPBERRY_PI)
  sensors    accX m/s2, accY m/s2
  interval   16 ms (62.5 Hz)
  rows       3 (0.048 s)
  first row  1, -9.81
  last row   3, 4
  metadata   uid = u1
  taken      2019-07-26T08:09:59Z (iat 1564128599)
  signature  valid (alg HS256)
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got, err = runDocument(t, "", "hostile.json")
	if err != nil || strings.Contains(got, "\x1b") || !strings.Contains(got, `("\x1b[2J")`) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, warning := range []string{"there are no values", "iat is in the future"} {
		if !strings.Contains(got, warning) {
			t.Errorf("%q is not said in\n%s", warning, got)
		}
	}
}

func TestDocumentForPrograms(t *testing.T) {
	t.Chdir(documentFolder(t))
	for _, c := range []struct {
		args      []string
		code      int
		signature []string // of each line; empty where there is an error
	}{
		{[]string{"signed.cbor"}, exitDone, []string{"unchecked"}},
		{[]string{"signed.cbor", "unsigned.json", "--hmac-key-file", "key"}, exitDone, []string{"valid", "unsigned"}},
		{[]string{"signed.cbor", "unsigned.json", "--hmac-key-file", "other"}, exitRejected, []string{"invalid", "unsigned"}},
		{[]string{"changed.cbor", "signed.cbor", "--hmac-key-file", "key"}, exitRejected, []string{"invalid", "valid"}},
		{[]string{"cut.cbor", "notes.txt", "signed.cbor"}, exitRejected, []string{"", "", "unchecked"}},
		{[]string{"missing.cbor", "signed.cbor"}, exitFailed, []string{"", "unchecked"}},
		{[]string{"missing.cbor", "cut.cbor"}, exitRejected, []string{"", ""}},
		{[]string{".", "signed.cbor"}, exitFailed, []string{"", "unchecked"}},
	} {
		out, err := runDocument(t, "", append(c.args, "--json")...)
		if got := codeOf(err); got != c.code {
			t.Errorf("%q: exit code %d, want %d (%v)", c.args, got, c.code, err)
		}
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(lines) != len(c.signature) {
			t.Fatalf("%q: %d lines\n%s", c.args, len(lines), out)
		}
		for i, line := range lines {
			var got struct {
				File      string   `json:"file"`
				Signature string   `json:"signature"`
				Error     string   `json:"error"`
				Warnings  []string `json:"warnings"`
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if got.File != c.args[i] || got.Signature != c.signature[i] || (got.Error == "") != (got.Signature != "") || got.Warnings == nil {
				t.Errorf("%q: line %s", c.args, line)
			}
		}
	}
}

func TestDocumentFromStandardInput(t *testing.T) {
	t.Chdir(documentFolder(t))
	raw, err := os.ReadFile("signed.cbor")
	if err != nil {
		t.Fatal(err)
	}
	got, err := runDocument(t, string(raw), "-", "--json", "--hmac-key-file", "key")
	want := `{"file":"-","signature":"valid","alg":"HS256","encoding":"cbor","device_name":"b8:27:eb:12:34:56","device_type":"RASPBERRY_PI",` +
		`"interval_ms":16,"frequency_hz":62.5,"sensors":[{"name":"accX","units":"m/s2"},{"name":"accY","units":"m/s2"}],"rows":3,"duration_ms":48,` +
		`"iat":1564128599,"metadata":{"uid":"u1"},"size":299,"warnings":[]}` + "\n"
	if err != nil || got != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestDocumentKeyFile(t *testing.T) {
	t.Chdir(documentFolder(t))
	if err := os.WriteFile("large", make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"missing", "empty", "large", "."} {
		if out, err := runDocument(t, "", "signed.cbor", "--hmac-key-file", name); err == nil || out != "" || !strings.Contains(err.Error(), "HMAC key") {
			t.Errorf("%s: got %q, %v", name, out, err)
		}
	}
	if _, err := runDocument(t, ""); err == nil {
		t.Error("no file passes")
	}
}

// Sizes are read as a stream, and what cannot be said in JSON ends nothing.
func TestDocumentOdd(t *testing.T) {
	t.Chdir(documentFolder(t))
	h := acquisition.PayloadHeader{DeviceType: "T", IntervalMS: 1e308}
	for range 20 {
		h.Sensors = append(h.Sensors, acquisition.Sensor{Name: "s"})
	}
	text, err := acquisition.AppendJSON(nil, h, make([]float64, 40), acquisition.Envelope{IAT: 1e15})
	if err != nil {
		t.Fatal(err)
	}
	got, err := runDocument(t, string(text), "-", "--json")
	if err != nil || !json.Valid([]byte(got)) || !strings.Contains(got, `"signature":"unsigned"`) {
		t.Errorf("got %s, %v", got, err)
	}
	got, err = runDocument(t, string(text), "-")
	if err != nil || strings.Count(got, "and 4 more") != 3 || strings.Contains(got, "taken") {
		t.Errorf("got %s, %v", got, err)
	}
}
