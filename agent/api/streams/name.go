package streams

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// The lengths of names, by the vendor's definitions.
const (
	maxOwner       = 1024
	maxName        = 256
	maxTitle       = 128
	maxDescription = 16384
	maxCommentID   = 1024
)

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// isName tells whether a source, dataset or stream may be called so.
func isName(text string) bool {
	if len(text) == 0 || len(text) > maxName {
		return false
	}
	for i := range len(text) {
		if !isNameByte(text[i]) {
			return false
		}
	}
	return true
}

// isOwner tells whether an owner may be called so: dots are allowed, but not
// nothing else.
func isOwner(text string) bool {
	if len(text) == 0 || len(text) > maxOwner || strings.Trim(text, ".") == "" {
		return false
	}
	for i := range len(text) {
		if !isNameByte(text[i]) && text[i] != '.' {
			return false
		}
	}
	return true
}

// isCommentID tells whether a comment may be called so: printable ASCII without
// blank and slash.
func isCommentID(text string) bool {
	if len(text) == 0 || len(text) > maxCommentID {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c > '~' || c == '/' {
			return false
		}
	}
	return true
}

// ownerName is a device's name as an owner.
func ownerName(device string) string {
	name := strings.Map(func(c rune) rune {
		if c < 0x80 && (isNameByte(byte(c)) || c == '.') {
			return c
		}
		return '-'
	}, device)
	name = name[:min(len(name), maxOwner)]
	if !isOwner(name) {
		return "device"
	}
	return name
}

// idOf makes the id of something out of its kind and full name: 16 digits of
// hexadecimal.
func idOf(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	return hex.EncodeToString(sum[:8])
}

func sourceID(owner, name string) string { return idOf("source", owner+"/"+name) }

// stamp writes a time as the vendor does, to the microsecond.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00") }

// parseTime reads an ISO-8601 time; one without a zone is UTC.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
		"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, bad("%.40q is not an ISO-8601 time such as 2020-06-03T16:05:00Z", text)
}
