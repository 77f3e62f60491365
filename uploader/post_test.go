package uploader_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/edgespool/edgespool/uploader"
)

func posting(url string, content []byte) uploader.Posting {
	return uploader.Posting{URL: url, Header: http.Header{}, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPostIsNeverStuck(t *testing.T) {
	never := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	tests := []struct {
		name string
		trip roundTrip
		want time.Duration
		says string
	}{
		{"nothing moves", never, 60 * time.Second, "not a byte"},
		{"no answer", func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			return never(r)
		}, 120 * time.Second, "no answer"},
		{"slow but moving", func(r *http.Request) (*http.Response, error) {
			for one := make([]byte, 1); ; {
				if _, err := r.Body.Read(one); err == io.EOF {
					break
				}
				<-time.After(50 * time.Second)
			}
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("ok"))}, nil
		}, 0, ""},
		{"answer stops", func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			return &http.Response{StatusCode: 200, Body: io.NopCloser(stuckReader{r})}, nil
		}, 60 * time.Second, "not a byte"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := uploader.NewClient(uploader.ClientOptions{Transport: test.trip})
				start := time.Now()
				a, err := c.Post(t.Context(), posting("http://x/", make([]byte, 20)))
				if test.says == "" {
					if err != nil || string(a.Body) != "ok" {
						t.Errorf("got %q, %v after %v", a.Body, err, time.Since(start))
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), test.says) || time.Since(start) != test.want {
					t.Errorf("got %v after %v, want %q after %v", err, time.Since(start), test.says, test.want)
				}
			})
		})
	}
}

type stuckReader struct{ r *http.Request }

func (s stuckReader) Read([]byte) (int, error) {
	<-s.r.Context().Done()
	return 0, s.r.Context().Err()
}

func TestRateAndCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := uploader.NewClient(uploader.ClientOptions{
			Rate: rate.NewLimiter(1000, 1000),
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				_, err := io.Copy(io.Discard, r.Body)
				return &http.Response{StatusCode: 200, Body: http.NoBody}, err
			}),
		})
		start := time.Now()
		for range 2 {
			if _, err := c.Post(t.Context(), posting("http://x/", make([]byte, 100_000))); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 198*time.Second || took > 201*time.Second {
			t.Errorf("200 kB at 1 kB/s took %v", took)
		}
		if c.BytesSent() != 200_000 {
			t.Errorf("got %d bytes counted", c.BytesSent())
		}
	})
}

// TestErrorsAreSafe checks what errors say, and what they never say.
func TestErrorsAreSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			cause     error
			elsewhere bool
			says      string
		}{
			{x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}}, true, "clock"},
			{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}}}, true, "2000-01-01"},
			{x509.UnknownAuthorityError{}, true, "unknown authority"},
			{errors.New("reset by peer"), false, "reset by peer"},
		}
		for _, test := range tests {
			c := uploader.NewClient(uploader.ClientOptions{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, test.cause })})
			_, err := c.Post(t.Context(), posting("https://host.invalid/api/secretpath?key=secret", nil))
			if err == nil || errors.Is(err, uploader.ErrUnavailable) != test.elsewhere || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v: got %v", test.cause, err)
			}
			if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "https://host.invalid") {
				t.Errorf("%v: the address is shown as %q", test.cause, err)
			}
		}
	})
}

func TestUnreachableIsUnavailable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := uploader.NewClient(uploader.ClientOptions{}).Post(t.Context(), posting(server.URL, nil))
	if !errors.Is(err, uploader.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		text, date string
		want       time.Duration
	}{
		{"", "", 0}, {"7", "", 7 * time.Second}, {" 120 ", "", 2 * time.Minute}, {"0", "", 0}, {"-5", "", 0}, {"soon", "", 0}, {"1.5", "", 0},
		{"3600", "", time.Hour}, {"3601", "", time.Hour}, {"99999999999999999999", "", time.Hour},
		{"Sun, 22 Nov 2026 10:05:00 GMT", "", 5 * time.Minute},
		{"Sun, 22 Nov 2026 09:05:00 GMT", "", 0},
		{"Sunday, 22-Nov-26 10:05:00 GMT", "", 5 * time.Minute},
		{"Sun, 22 Nov 2026 10:05:00 GMT", "Sun, 22 Nov 2026 10:04:00 GMT", time.Minute}, // their clock counts
		{"Tue, 22 Nov 2033 10:05:00 GMT", "", time.Hour},
	}
	for _, test := range tests {
		h := http.Header{}
		h.Set("Retry-After", test.text)
		if test.date != "" {
			h.Set("Date", test.date)
		}
		if got := uploader.RetryAfter(h, now); got != test.want {
			t.Errorf("%q with date %q: got %v, want %v", test.text, test.date, got, test.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "")
	f.Add("Sun, 22 Nov 2026 10:05:00 GMT", "Sun, 22 Nov 2026 10:04:00 GMT")
	f.Fuzz(func(t *testing.T, text, date string) {
		h := http.Header{"Retry-After": {text}, "Date": {date}}
		if got := uploader.RetryAfter(h, time.Now()); got < 0 || got > time.Hour {
			t.Errorf("got %v", got)
		}
	})
}
