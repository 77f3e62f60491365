package serial

import (
	"context"
	"sync"
	"testing"

	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// slow is a sink whose first Append hangs until it is released.
type slow struct {
	*samplertest.Sink
	once             sync.Once
	hanging, release chan struct{}
}

func (s *slow) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	s.once.Do(func() {
		close(s.hanging)
		<-s.release
	})
	return s.Sink.Append(ctx, recs...)
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}
