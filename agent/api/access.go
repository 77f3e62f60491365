package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// A role is what a token lets its bearer do.
type role int

const (
	roleNone    role = iota
	roleIngest       // hand data in
	roleConsume      // read
	roleAdmin        // everything
)

// minToken is the shortest token taken: 16 characters of base64 are 96 bits.
const minToken = 16

// access knows the tokens by their hashes, so that comparing takes the same
// time whatever a stranger sends.
type access struct{ tokens map[role][sha256.Size]byte }

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
	a := &access{tokens: map[role][sha256.Size]byte{}}
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

// role finds what the request's bearer token allows.
func (a *access) role(r *http.Request) role {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return roleNone
	}
	got, found := sha256.Sum256([]byte(strings.TrimSpace(token))), roleNone
	for role, want := range a.tokens {
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			found = max(found, role)
		}
	}
	return found
}

// need lets a request through if it comes with a role that includes want, or
// if no token is asked for and it truly means this machine.
func (a *access) need(want role, next http.HandlerFunc) http.HandlerFunc {
	sameOrigin := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.open() && !meansThisMachine(r.Host):
			refuse(w, http.StatusMisdirectedRequest, "this address is not one of mine; use 127.0.0.1 or localhost")
		case !a.open() && a.role(r) == roleNone:
			w.Header().Set("WWW-Authenticate", `Bearer realm="edgespool"`)
			refuse(w, http.StatusUnauthorized, "a token is needed: send \"Authorization: Bearer TOKEN\"")
		case !a.open() && a.role(r) < want:
			refuse(w, http.StatusForbidden, "this token does not allow that")
		case sameOrigin.Check(r) != nil:
			refuse(w, http.StatusForbidden, "a page of another site may not change anything here")
		default:
			next(w, r)
		}
	}
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
