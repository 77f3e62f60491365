package uploader

import (
	"context"

	"github.com/edgespool/edgespool/spool"
)

// Detections takes what a destination was told of the records that it took;
// the spool's history is one. It gives each detection its number.
type Detections interface {
	Detect(ctx context.Context, found ...spool.Detection) (ids []uint64, err error)
}
