package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent/api/openapi/openapitest"
)

// TestGeneratedClients generates Go clients from the descriptions that the
// running agent gives out, builds a program with them and lets it call the
// agent.
func TestGeneratedClients(t *testing.T) {
	s := newDataSite(t)
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("go is not in PATH; clients cannot be generated without it; see https://go.dev/doc/install")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "clients"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	inside := func(program string, args ...string) (string, error) {
		c := exec.CommandContext(ctx, program, args...)
		c.Dir, c.Env = dir, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := inside(goTool, "mod", "download"); err != nil {
		t.Skipf("oapi-codegen cannot be had (%v): run `go mod download` in cmd/edgespool/testdata/clients once\n%s", err, out)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s.run(path)
	for _, name := range []string{"streams", "data", "detection"} {
		_, text, err := s.ask("GET", "/openapi/"+name+".yaml", s.token, "")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".yaml"), text, 0o600)
		}
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, name), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, err := inside(goTool, "tool", "oapi-codegen", "-generate", "types,client", "-package", name, "-o", name+"/client.go", name+".yaml"); err != nil {
			t.Fatalf("generate %s: %v\n%s", name, err, out)
		}
	}
	if out, err := inside(goTool, "build", "-o", "clients", "."); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := inside(filepath.Join(dir, "clients"), openapitest.Proxy(t, s.api), s.token)
	if err != nil || !strings.HasSuffix(out, " checks\n") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Log(strings.TrimSpace(out))
}
