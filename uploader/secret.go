package uploader

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// maxSecret bounds a key file, so that a wrong path does no harm.
const maxSecret = 4 << 10

// credentials is the variable that names the folder with credentials.
const credentials = "CREDENTIALS_DIRECTORY"

// hidden is what a secret shows of itself.
const hidden = "[secret]"

// A Secret is a key that cannot print itself: whatever formats, logs or
// encodes it gets a placeholder. A key from a file is read again when the
// file changes. Methods may be called concurrently; a nil Secret is none.
type Secret struct {
	path string // empty: from env
	env  string

	mu    sync.Mutex
	value string
	stamp stamp
}

// stamp tells one version of a file from another.
type stamp struct {
	mod  time.Time
	size int64
	info os.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.info != nil && o.info != nil && s.mod.Equal(o.mod) && s.size == o.size && os.SameFile(s.info, o.info)
}

// NewSecret is the secret kept in a file, in an environment variable or in a
// credential of the service manager (the file of that name in
// $CREDENTIALS_DIRECTORY, see systemd.exec(5)), whichever is not empty, in
// that order; nil if all are empty. It reads nothing yet.
func NewSecret(file, env, credential string) *Secret {
	switch {
	case file != "":
		return &Secret{path: file}
	case env != "":
		return &Secret{env: env}
	case credential != "":
		return &Secret{path: filepath.Join("/", os.Getenv(credentials), filepath.Base(credential))} // nothing relative, ever
	}
	return nil
}

// Reveal returns the key without white space around it. The error says what
// to do.
func (s *Secret) Reveal() (string, error) {
	if s == nil {
		return "", errors.New("read key: none is given; set a key file")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		if v := string(bytes.TrimSpace([]byte(os.Getenv(s.env)))); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("read key: environment variable %s is empty; set it to the key", s.env)
	}
	now := look(s.path)
	if s.value != "" && now.same(s.stamp) {
		return s.value, nil
	}
	value, err := readSecret(s.path)
	s.stamp = now
	if err != nil {
		s.value = ""
		return "", err
	}
	s.value = value
	return value, nil
}

// Changed tells whether the file is another one than Reveal has read.
func (s *Secret) Changed() bool {
	if s == nil || s.path == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := look(s.path)
	if now.info == nil && s.stamp.info == nil {
		return false
	}
	return !now.same(s.stamp)
}

// Fingerprint names the key without giving it away: the first 8 bytes of its
// SHA-256 in hex.
func (s *Secret) Fingerprint() (string, error) {
	v, err := s.Reveal()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(v))
	return hex.EncodeToString(sum[:8]), nil
}

func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{mod: info.ModTime(), size: info.Size(), info: info}
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w; put the key into that file, readable by this service", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0:
		return "", fmt.Errorf("read key: %s is empty; put the key into it", path)
	case len(b) > maxSecret:
		return "", fmt.Errorf("read key: %s is larger than %d bytes; it does not look like a key", path, maxSecret)
	case bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("read key: %s holds more than one line; put only the key into it", path)
	}
	return string(b), nil
}

// String, GoString, Format, LogValue, MarshalText and MarshalJSON keep the
// secret out of logs, errors and files.
func (s *Secret) String() string { return hidden }

// GoString hides the secret from %#v.
func (s *Secret) GoString() string { return hidden }

// Format hides the secret from every verb of fmt.
func (s *Secret) Format(f fmt.State, _ rune) { io.WriteString(f, hidden) }

// LogValue hides the secret from slog.
func (s *Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret from encoders of text.
func (s *Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the secret from JSON.
func (s *Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// A SecretConfig says where a key is; at most one place may be given. Rooms
// have it under their own field names.
type SecretConfig struct{ File, Env, Credential string }

// Secret is the secret in that place, nil without one.
func (c SecretConfig) Secret() *Secret { return NewSecret(c.File, c.Env, c.Credential) }

// Validate finds what is wrong with the place, in the way of a Config's
// Validate; prefix is the name of the key's fields, such as "api_key".
func (c SecretConfig) Validate(prefix string, required bool, fault func(field, problem, remedy string)) {
	given := 0
	for _, place := range []string{c.File, c.Env, c.Credential} {
		if place != "" {
			given++
		}
	}
	switch {
	case given > 1:
		fault(prefix+"_file", "the key is given in more than one place",
			fmt.Sprintf("keep one of %[1]s_file, %[1]s_env and %[1]s_credential", prefix))
	case given == 0 && required:
		fault(prefix+"_file", "no key is given",
			fmt.Sprintf("set %[1]s_file: PATH, %[1]s_env: NAME or %[1]s_credential: NAME", prefix))
	}
}

// Warnings says what is wrong with the key itself: not a fault of the
// configuration, since it may come later.
func (c SecretConfig) Warnings(prefix string, warn func(field, problem, remedy string)) {
	s := c.Secret()
	if s == nil {
		return
	}
	if c.place() == "_credential" && os.Getenv(credentials) == "" {
		warn(prefix+"_credential", "the service manager gives credentials to its service only ("+credentials+" is not set)",
			"started as the service the agent has it, if there is LoadCredential= for it; or use "+prefix+"_file")
		return
	}
	if _, err := s.Reveal(); err != nil {
		problem, remedy, _ := strings.Cut(err.Error(), "; ")
		warn(prefix+c.place(), problem, remedy)
	}
}

func (c SecretConfig) place() string {
	switch {
	case c.File != "":
		return "_file"
	case c.Env != "":
		return "_env"
	}
	return "_credential"
}
