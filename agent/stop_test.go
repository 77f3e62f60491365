package agent

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// deaf is a source and a destination that does not hear its context end, as
// one that hangs in a driver or on a network folder.
type deaf struct{ until chan struct{} }

func (d deaf) Run(context.Context, sampler.Sink) error {
	<-d.until
	return nil
}

func (d deaf) Send(_ context.Context, batch []spool.Record) []uploader.Verdict {
	<-d.until
	return make([]uploader.Verdict, len(batch))
}

// prompt is a source that ends as it should.
type prompt struct{}

func (prompt) Run(ctx context.Context, _ sampler.Sink) error {
	<-ctx.Done()
	return nil
}

// pile is a feed that always has a record.
type pile struct{}

func (pile) Fetch(context.Context, spool.Limit) ([]spool.Record, error) {
	return []spool.Record{{Sequence: 1, Size: 1}}, nil
}
func (pile) Settle(context.Context, ...spool.Outcome) error { return nil }
func (pile) Ready() <-chan struct{}                         { return nil }

// TestStopGoesOnWithoutWhoHangs checks that neither a source nor a destination
// holds the stop for ever, and that the log names who did not stop.
func TestStopGoesOnWithoutWhoHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		hung := deaf{make(chan struct{})}
		defer close(hung.until)
		a := &Agent{log: slog.New(slog.NewTextHandler(&text, nil))}
		for name, room := range map[string]sampler.Source{"stuck": hung, "good": prompt{}} {
			a.crew.sources = append(a.crew.sources, &source{name: name, room: room})
		}
		d := &destination{name: "nfs", log: a.log, worker: uploader.NewWorker(uploader.Options{Name: "nfs", Destination: hung, Feeds: []uploader.Feed{pile{}}})}
		a.crew.destinations = append(a.crew.destinations, d)

		sampling, stopSampling := context.WithCancel(t.Context())
		sending, stopSending := context.WithCancel(t.Context())
		a.crew.begin(sampling, sending)
		synctest.Wait()

		start := time.Now()
		stopSampling()
		a.awaitSources()
		if took := time.Since(start); took != sourceTime {
			t.Errorf("sources: waited %v, want %v", took, sourceTime)
		}
		start = time.Now()
		a.drain(stopSending)
		if took := time.Since(start); took != drainTime+workerTime {
			t.Errorf("destinations: waited %v, want %v", took, drainTime+workerTime)
		}
		if got := text.String(); !strings.Contains(got, "source=stuck") || strings.Contains(got, "source=good") ||
			!strings.Contains(got, "destination=nfs") || strings.Count(got, "does not stop") != 2 {
			t.Errorf("got %s", got)
		}
	})
}
