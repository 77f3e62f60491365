package edgeimpulse

import (
	"context"
	"net/http"

	"github.com/edgespool/edgespool/uploader"
)

// Probe makes a Destination an uploader.Prober: it posts nothing, without the
// name that each sample needs, so that a service whose key is right refuses it
// for that.
func (d *Destination) Probe(ctx context.Context) error {
	key, err := d.keys()
	if err != nil {
		return err
	}
	header := http.Header{}
	header.Set("x-api-key", key.api)
	return d.client.Probe(ctx, uploader.Posting{URL: d.base + "/api/training/data", Header: header}, true)
}
