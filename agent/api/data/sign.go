package data

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// addressLife is how long a signed address is good for; the wire says 12
// hours for uploads.
const addressLife = 12 * time.Hour

// keySetting is where the spool keeps the key of signed addresses.
const keySetting = "data/key"

// signingKey is the key of signed addresses, made at its first use.
func (s *Service) signingKey() ([]byte, error) {
	s.keyMu.Lock()
	defer s.keyMu.Unlock()
	if s.key != nil {
		return s.key, nil
	}
	key, ok := s.deps.Spool.Setting(keySetting)
	if !ok || len(key) != sha256.Size {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails, says its documentation
		if err := s.deps.Spool.SetSetting(keySetting, key); err != nil {
			return nil, fmt.Errorf("keep key of signed addresses: %w", err)
		}
	}
	s.key = key
	return key, nil
}

// signature covers all that an address lets its bearer do: one method on one
// path until one instant.
func signature(key []byte, method, path, expires string) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "%s\n%s\n%s", method, path, expires)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// signed makes an address that needs no token.
func (s *Service) signed(r *http.Request, method, path string, until time.Time) (string, error) {
	key, err := s.signingKey()
	if err != nil {
		return "", err
	}
	expires := strconv.FormatInt(until.Unix(), 10)
	return s.base(r) + path + "?expires=" + expires + "&signature=" + url.QueryEscape(signature(key, method, path, expires)), nil
}

// admitted tells whether the request's address was signed here and is good
// still; it answers itself if not.
func (s *Service) admitted(w http.ResponseWriter, r *http.Request) bool {
	key, err := s.signingKey()
	if err != nil {
		refuseFor(w, err)
		return false
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	q := r.URL.Query()
	want := signature(key, method, r.URL.Path, q.Get("expires"))
	if !hmac.Equal([]byte(want), []byte(q.Get("signature"))) {
		refuse(w, http.StatusForbidden, "the signature of this address is not right; ask for a new one")
		return false
	}
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil || time.Now().Unix() >= expires {
		refuse(w, http.StatusForbidden, "this address has expired; ask for a new one")
		return false
	}
	return true
}

// base is the address under which the client, or who gets a link, finds us.
func (s *Service) base(r *http.Request) string {
	switch {
	case s.config.URL != "":
		return strings.TrimRight(s.config.URL, "/")
	case r == nil:
		return s.deps.Address
	}
	return "http://" + r.Host
}

// link is where a person finds a request.
func (s *Service) link(r *http.Request, ns, request string) string {
	return s.base(r) + Prefix + ns + "/requests/" + request
}
