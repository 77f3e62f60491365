package api

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testFamily asks for the role that its path names, and panics on demand.
type testFamily struct{}

func (testFamily) Needs(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/api/v1/") }

func (testFamily) Refuse(w http.ResponseWriter, code int, why string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, "refused: "+why)
}

func (testFamily) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("panic") {
		panic("no")
	}
	_, _ = io.WriteString(w, "let in")
}

// startFamily runs a server with a family mounted.
func startFamily(t *testing.T, c Config) string {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	s, err := New(c, &testAgent{}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	s.Mount("/api/v1/", testFamily{})
	ctx, stop := context.WithCancel(context.Background())
	if err := s.Bind(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return "http://" + s.Address()
}

// Each role does its own and no other's; admin does all. Tokens come in either
// header, and refusals in the family's form.
func TestRolesOfAFamily(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name+"-0123456789\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := startFamily(t, Config{Tokens: Tokens{Admin: file("admin"), Consume: file("consume"), Ingest: file("ingest")}})
	allowed := map[string]string{"admin": "admin consume ingest other", "consume": "consume", "ingest": "ingest", "wrong": "", "": ""}
	for token, may := range allowed {
		for _, need := range []string{"admin", "consume", "ingest", "other"} {
			want := 200
			switch {
			case token == "" || token == "wrong":
				want = 401
			case !strings.Contains(" "+may+" ", " "+need+" "):
				want = 403
			}
			for _, pairs := range [][]string{{"Authorization", "Bearer " + token + "-0123456789"}, {"Authorization", "bearer " + token + "-0123456789"}, {"X-Auth-Token", token + "-0123456789"}} {
				code, header, answer := ask(t, "POST", base+"/api/v1/"+need, "", append(pairs, "Host", "board.local")...)
				if code != want || (code == 200) != (answer == "let in") || code != 200 && !strings.HasPrefix(answer, "refused: ") {
					t.Errorf("%s asks for %s by %s: got %d %s, want %d", token, need, pairs[0], code, answer, want)
				}
				if code == 401 && header.Get("WWW-Authenticate") == "" {
					t.Error("401 does not say how to come in")
				}
			}
		}
	}
}

// One token in two files stands for both roles.
func TestTokenOfTwoRoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "both")
	if err := os.WriteFile(path, []byte("both-0123456789ab"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := startFamily(t, Config{Tokens: Tokens{Consume: path, Ingest: path}})
	for need, want := range map[string]int{"consume": 200, "ingest": 200, "admin": 403} {
		if code, _, answer := ask(t, "GET", base+"/api/v1/"+need, "", "X-Auth-Token", "both-0123456789ab"); code != want {
			t.Errorf("%s: got %d %s, want %d", need, code, answer, want)
		}
	}
}

func TestFamilyWithoutTokens(t *testing.T) {
	base := startFamily(t, Config{})
	for _, c := range []struct {
		path  string
		pairs []string
		code  int
	}{
		{"/api/v1/admin", nil, 200}, {"/api/v1/admin", []string{"Host", "evil.example"}, 421},
		{"/api/v1/admin", []string{"Sec-Fetch-Site", "cross-site"}, 403}, {"/api/v1/a%2Fb", nil, 200},
		{"/api/v1/x?panic", nil, 500}, {"/api/v2/x", nil, 404},
	} {
		code, _, answer := ask(t, "POST", base+c.path, "", c.pairs...)
		if code != c.code || strings.HasPrefix(c.path, "/api/v1/") && code != 200 && !strings.HasPrefix(answer, "refused: ") {
			t.Errorf("%s: got %d %s, want %d", c.path, code, answer, c.code)
		}
	}
}
