package data

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// sign adds the three headers of Standard Webhooks.
func sign(h http.Header, secret []byte, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, secret)
	fmt.Fprintf(m, "%s.%s.", id, stamp)
	m.Write(body)
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
}

// readSecret reads a secret of the form whsec_BASE64. It is read for every
// post, so that a new one counts at once.
func readSecret(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read webhook secret: %w", err)
	}
	code := strings.TrimPrefix(strings.TrimSpace(string(text)), "whsec_")
	secret, err := base64.StdEncoding.DecodeString(code)
	if err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, fmt.Errorf("read webhook secret: %s does not hold whsec_ and base64 of 24 to 64 bytes", path)
	}
	return secret, nil
}
