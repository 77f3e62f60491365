package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// A role is what a token lets its bearer do; a token that stands for several
// has the bits of all of them.
type role uint8

const (
	roleNone    role = 0
	roleIngest  role = 1 // hand data in
	roleConsume role = 2 // read, and say how far
	roleAdmin   role = 4 | roleConsume | roleIngest
)

// includes tells whether a bearer of r may do what want may.
func (r role) includes(want role) bool { return r&want == want }

// minToken is the shortest token taken: 16 characters of base64 are 96 bits.
const minToken = 16

// access knows the tokens by their hashes, so that comparing takes the same
// time whatever a stranger sends.
type access struct {
	tokens     map[role][sha256.Size]byte
	sameOrigin *http.CrossOriginProtection
}

const tokenRemedy = "put a long random text into that file, readable by this service"

// tokenFile is where the token of a role is.
type tokenFile struct {
	role        role
	field, file string
}

func (c *Config) tokenFiles() []tokenFile {
	return []tokenFile{
		{roleAdmin, "token_file", c.TokenFile}, {roleAdmin, "tokens.admin", c.Tokens.Admin},
		{roleConsume, "tokens.consume", c.Tokens.Consume}, {roleIngest, "tokens.ingest", c.Tokens.Ingest},
	}
}

// newAccess reads the token files.
func newAccess(c Config) (*access, error) {
	a := &access{tokens: map[role][sha256.Size]byte{}, sameOrigin: http.NewCrossOriginProtection()}
	for _, t := range c.tokenFiles() {
		if t.file == "" {
			continue
		}
		token, err := readToken(t.file)
		if err != nil {
			return nil, WithHint(fmt.Errorf("read api token: %w", err), tokenRemedy)
		}
		a.tokens[t.role] = sha256.Sum256(token)
	}
	return a, nil
}

func readToken(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	token := bytes.TrimSpace(text)
	if len(token) < minToken {
		return nil, fmt.Errorf("%s holds fewer than %d characters", path, minToken)
	}
	return token, nil
}

// open tells whether no token is asked for, which Config allows on loopback.
func (a *access) open() bool { return len(a.tokens) == 0 }

// role finds what the request's token allows.
func (a *access) role(r *http.Request, headers ...string) role {
	got, found := sha256.Sum256([]byte(tokenOf(r.Header, headers...))), roleNone
	for role, want := range a.tokens {
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			found |= role
		}
	}
	return found
}

// tokenOf is the token that comes with a request: a bearer token, or else what is
// in the header that older clients of the streams API send, or in one of others.
func tokenOf(h http.Header, headers ...string) string {
	kind, token, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if !strings.EqualFold(kind, "Bearer") {
		token = h.Get("X-Auth-Token")
		for _, name := range headers {
			token = cmp.Or(token, h.Get(name))
		}
	}
	return strings.TrimSpace(token)
}

// need lets a request through if check does.
func (a *access) need(want role, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if code, why := a.check(want, w, r); code != 0 {
			refuse(w, code, why)
			return
		}
		next(w, r)
	}
}

// check says why a request may not come in, with its status; 0 if it may: it
// comes with a role that includes want, or no token is asked for and it truly
// means this machine.
func (a *access) check(want role, w http.ResponseWriter, r *http.Request, headers ...string) (code int, why string) {
	switch {
	case a.open() && !meansThisMachine(r.Host):
		return http.StatusMisdirectedRequest, "this address is not one of mine; use 127.0.0.1 or localhost"
	case !a.open() && a.role(r, headers...) == roleNone:
		w.Header().Set("WWW-Authenticate", `Bearer realm="edgespool"`)
		return http.StatusUnauthorized, "a token is needed: send \"Authorization: Bearer TOKEN\""
	case !a.open() && !a.role(r, headers...).includes(want):
		return http.StatusForbidden, "this token does not allow that"
	case a.sameOrigin.Check(r) != nil:
		return http.StatusForbidden, "a page of another site may not change anything here"
	}
	return 0, ""
}

// meansThisMachine guards a server without tokens against DNS rebinding: a
// page of a stranger whose name suddenly points here still sends that name.
func meansThisMachine(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
