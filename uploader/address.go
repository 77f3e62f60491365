package uploader

import (
	"errors"
	"net/url"
)

// SafeURL is an address fit for logs: scheme and host, without user, path,
// query or whatever else may hold a key.
func SafeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "[not an address]"
	}
	return u.Scheme + "://" + u.Host
}

// withoutURL takes the full address out of an error of net/http.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
