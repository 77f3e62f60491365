package uploader

import (
	"context"
	"fmt"
	"net/http"
)

// A Prober asks whether its destination can be reached and takes its key. It
// asks nothing that stores data there.
type Prober interface {
	Probe(ctx context.Context) error
}

// Probe sends a request that a service of the right kind answers somehow, and
// says what is wrong with the answer: a refused key, a service that fails, or,
// if there must be something at the address, one that knows nothing of it.
func (c *Client) Probe(ctx context.Context, p Posting, known bool) error {
	a, err := c.Post(ctx, p)
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return fmt.Errorf("%s refuses the key (%d): put the right one into the key file", SafeURL(p.URL), a.Status)
	case a.Status >= 300 && a.Status < 400, known && (a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed):
		return fmt.Errorf("%s answers %d, so no such service is there: check the url", SafeURL(p.URL), a.Status)
	case a.Status == http.StatusTooManyRequests || a.Status >= 500:
		return fmt.Errorf("%s answers %d: it is there but does not work now; try again later", SafeURL(p.URL), a.Status)
	}
	return nil
}
