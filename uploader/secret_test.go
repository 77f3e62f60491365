package uploader_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgespool/edgespool/uploader"
)

func TestSecretCannotPrintItself(t *testing.T) {
	t.Setenv("TEST_KEY", "ei_hush")
	s := uploader.NewSecret("", "TEST_KEY", "")
	if v, err := s.Reveal(); err != nil || v != "ei_hush" {
		t.Fatalf("got %q, %v", v, err)
	}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb, s)
		fmt.Fprintf(&b, verb, struct{ Key *uploader.Secret }{s})
	}
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&b, nil)), slog.New(slog.NewJSONHandler(&b, nil))} {
		log.Info("x", "key", s, "in", struct{ Key *uploader.Secret }{s})
	}
	text, err := json.Marshal(map[string]any{"key": s})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(text)
	if strings.Contains(b.String(), "hush") || strings.Contains(b.String(), fmt.Sprintf("%x", "hush")) {
		t.Errorf("the secret is out: %s", b.String())
	}
	if f, err := s.Fingerprint(); err != nil || len(f) != 16 {
		t.Errorf("fingerprint: got %q, %v", f, err)
	}
}

func TestSecretPlaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	s := uploader.NewSecret(path, "", "")
	if _, err := s.Reveal(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: got %v", err)
	}
	write(" first\n")
	if !s.Changed() {
		t.Error("a file that has come is no change")
	}
	if v, err := s.Reveal(); err != nil || v != "first" || s.Changed() {
		t.Errorf("got %q, %v, changed %v", v, err, s.Changed())
	}
	write("other")
	if v, err := s.Reveal(); err != nil || v != "other" {
		t.Errorf("after a change: got %q, %v", v, err)
	}
	for _, bad := range []string{"", " \n", "two\nlines", strings.Repeat("x", 5000)} {
		write(bad)
		if v, err := s.Reveal(); err == nil {
			t.Errorf("%.10q: got %q", bad, v)
		}
	}
	write("third")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if v, err := uploader.NewSecret("", "", "key").Reveal(); err != nil || v != "third" {
		t.Errorf("credential: got %q, %v", v, err)
	}
	if _, err := uploader.NewSecret("", "", "../"+filepath.Base(dir)+"/nokey").Reveal(); err == nil {
		t.Error("a credential leads out of its folder")
	}
	if uploader.NewSecret("", "", "") != nil {
		t.Error("no place makes a secret")
	}
	if _, err := uploader.NewSecret("", "", "").Reveal(); err == nil {
		t.Error("no secret was revealed without an error")
	}
	if uploader.NewSecret("", "", "").Changed() {
		t.Error("no secret has changed")
	}
}

func TestSafeURL(t *testing.T) {
	for raw, want := range map[string]string{
		"https://me:pw@h.example:444/api?key=1#x": "https://h.example:444", "http://[::1]:80/": "http://[::1]:80", "": "[not an address]", "::": "[not an address]",
	} {
		if got := uploader.SafeURL(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

// TestCredentialOutsideOfTheService: whoever checks a configuration in a shell
// has no credentials, and is told so; that is no fault.
func TestCredentialOutsideOfTheService(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	c := uploader.SecretConfig{Credential: "key_studio"}
	c.Validate("api_key", true, func(field, problem, _ string) { t.Errorf("fault in %s: %s", field, problem) })
	warned := ""
	c.Warnings("api_key", func(field, problem, _ string) { warned += field + ": " + problem })
	if want := "api_key_credential: the service manager gives credentials to its service only (CREDENTIALS_DIRECTORY is not set)"; warned != want {
		t.Errorf("got %q, want %q", warned, want)
	}
	if v, err := c.Secret().Reveal(); err == nil {
		t.Errorf("got %q", v)
	}
}
