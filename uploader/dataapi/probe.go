package dataapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/edgespool/edgespool/uploader"
)

// Probe makes a Destination an uploader.Prober: it asks for a request that
// nobody has made.
func (d *Destination) Probe(ctx context.Context) error {
	apiKey, err := d.apiKey.Reveal()
	if err != nil {
		return fmt.Errorf("API key: %w", err)
	}
	return d.client.Probe(ctx, uploader.Posting{Method: http.MethodGet, URL: d.base + "/requests/edgespool-doctor",
		Header: http.Header{"Authorization": {"Bearer " + apiKey}}}, false)
}
