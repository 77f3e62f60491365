package dataapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/edgespool/edgespool/uploader"
)

// maxShown bounds what is shown of an answer.
const maxShown = 300

// The routes for uploads, the present one and the former.
const (
	routeUpload = "/requests/upload-url"
	routeImport = "/import"
)

// A ticket is the answer to an add or to the wish to upload.
type ticket struct {
	RequestID string `json:"requestId"`
	UploadURL string `json:"upload_url"`
}

// add posts objects as an array.
func (d *Destination) add(ctx context.Context, p parcel, apiKey string) uploader.Verdict {
	body := append([]byte(`{"data":[`), bytes.Join(p.lines, []byte{','})...)
	answer, err := d.call(ctx, http.MethodPost, d.base, append(body, "]}"...), apiKey)
	if err != nil {
		return uploader.Verdict{Err: err}
	}
	if v, refused := verdictOf(answer, apiKey); refused {
		return v
	}
	t, err := readTicket(answer)
	if err != nil {
		return uploader.Verdict{Status: answer.Status, Err: err}
	}
	return uploader.Verdict{Kind: uploader.Stored, RemoteID: t.RequestID, Status: answer.Status}
}

// upload sends objects as a file of lines, to an address that the service
// gives for it. A service that has no uploads gets an array after all.
func (d *Destination) upload(ctx context.Context, p parcel, apiKey string) uploader.Verdict {
	answer, err := d.askUpload(ctx, apiKey)
	if err != nil {
		return uploader.Verdict{Err: err}
	}
	if answer.Status == http.StatusNotFound || answer.Status == http.StatusMethodNotAllowed {
		d.noUploads.Store(true)
		return uploader.Verdict{Status: answer.Status, Err: errors.New("the service takes no uploads; smaller requests are sent")}
	}
	if v, refused := verdictOf(answer, apiKey); refused {
		v.Batch = false // nothing of the batch was seen
		if v.Kind == uploader.Rejected {
			v.Kind = uploader.TryLater
		}
		return v
	}
	t, err := readTicket(answer)
	if err == nil {
		err = d.trust(t.UploadURL)
	}
	if err != nil {
		return uploader.Verdict{Status: answer.Status, Err: err}
	}
	file := append(bytes.Join(p.lines, []byte{'\n'}), '\n')
	header := http.Header{"Content-Type": {"application/json"}} // storage takes no key of ours
	stored, err := d.client.Post(ctx, uploader.Posting{
		Method: http.MethodPut, URL: t.UploadURL, Header: header, Size: int64(len(file)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil },
	})
	switch {
	case err != nil:
		return uploader.Verdict{Err: err}
	case stored.Status < 200 || stored.Status > 299: // expired, say: the next try has a new address
		return uploader.Verdict{Status: stored.Status, RetryAfter: stored.RetryAfter,
			Err: fmt.Errorf("the storage does not take the upload (%d: %s)", stored.Status, excerpt(stored.Body, apiKey))}
	}
	return uploader.Verdict{Kind: uploader.Stored, RemoteID: t.RequestID, Status: stored.Status}
}

// askUpload asks for an address, by the route that worked last, else by the
// other.
func (d *Destination) askUpload(ctx context.Context, apiKey string) (uploader.Answer, error) {
	routes := []string{routeUpload, routeImport}
	if d.former.Load() {
		routes[0], routes[1] = routes[1], routes[0]
	}
	var answer uploader.Answer
	for _, route := range routes {
		var err error
		answer, err = d.call(ctx, http.MethodPost, d.base+route, []byte("{}"), apiKey)
		if err != nil {
			return answer, err
		}
		if answer.Status != http.StatusNotFound && answer.Status != http.StatusMethodNotAllowed {
			d.former.Store(route == routeImport)
			return answer, nil
		}
	}
	return answer, nil
}

// trust tells whether an address that the service gave may be used: it must
// not lead from an encrypted connection to a plain one.
func (d *Destination) trust(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the service gave no address that can be used")
	case u.Scheme == "http" && strings.HasPrefix(d.config.URL, "https:"):
		return fmt.Errorf("the service gave an address without encryption (%s)", uploader.SafeURL(address))
	}
	return nil
}

// call makes one request of the API; body may be nil.
func (d *Destination) call(ctx context.Context, method, address string, body []byte, apiKey string) (uploader.Answer, error) {
	p := uploader.Posting{Method: method, URL: address, Header: http.Header{"Authorization": {"Bearer " + apiKey}}, Size: int64(len(body))}
	if body != nil {
		p.Header.Set("Content-Type", "application/json")
		p.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return d.client.Post(ctx, p)
}

// verdictOf says what an answer that is no success means for the objects of
// its request.
func verdictOf(a uploader.Answer, apiKey string) (v uploader.Verdict, refused bool) {
	if a.Status >= 200 && a.Status < 300 {
		return v, false
	}
	said := reason(a.Body, apiKey)
	v = uploader.Verdict{Status: a.Status, RetryAfter: a.RetryAfter}
	switch s := a.Status; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		v.Kind, v.Err = uploader.Stop, fmt.Errorf("the service does not accept the API key (%d: %s)", s, said)
	case (s == 400 || s == 409 || s == 413 || s == 415 || s == 422) && !isPage(a.Body):
		v.Kind, v.Batch, v.Err = uploader.Rejected, true, fmt.Errorf("the service refuses it (%d: %s)", s, said)
	case s == http.StatusNotFound:
		v.Err = fmt.Errorf("the service has no such path or namespace (404: %s); is url right?", said)
	default:
		v.Err = fmt.Errorf("the service cannot take it now (%d: %s)", s, said)
	}
	return v, true
}

func readTicket(a uploader.Answer) (t ticket, err error) {
	if err := json.Unmarshal(a.Body, &t); err != nil || t.RequestID == "" || len(t.RequestID) > maxRequestID {
		return ticket{}, errors.New("the answer names no request; is url that of a Data API?")
	}
	return t, nil
}

func isPage(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) }

// reason is what the service says in words. Its form is not documented: a
// text in error or message, or in an object inside, or the text as it is.
func reason(body []byte, apiKey string) string {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) == nil {
		for _, member := range []string{"message", "error", "detail"} {
			var text string
			if json.Unmarshal(answer[member], &text) == nil && text != "" {
				return excerpt([]byte(text), apiKey)
			}
		}
	}
	return excerpt(body, apiKey)
}

// excerpt makes a short single line of text from outside, without the key.
func excerpt(text []byte, apiKey string) string {
	text = bytes.ReplaceAll(bytes.TrimSpace(text), []byte(apiKey), []byte("[key]"))
	cut := len(text) > maxShown
	if cut {
		text = text[:maxShown]
	}
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), "?"), func(r rune) bool {
		return unicode.IsControl(r) || r == ' '
	}), " ")
	switch {
	case line == "":
		return "no words"
	case cut:
		return line + "…"
	}
	return line
}
