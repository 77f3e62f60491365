package uploadertest

import (
	"context"
	"slices"
	"sync"

	"github.com/edgespool/edgespool/spool"
)

// A Feed is an uploader.Feed in memory.
type Feed struct {
	dataset string

	mu       sync.Mutex
	records  []spool.Record
	outcomes []spool.Outcome
	ready    chan struct{}
}

// NewFeed makes an empty feed of one dataset.
func NewFeed(dataset string) *Feed { return &Feed{dataset: dataset, ready: make(chan struct{})} }

// Dataset is the feed's dataset.
func (f *Feed) Dataset() string { return f.dataset }

// Add puts records behind the others. Their sequences must grow.
func (f *Feed) Add(records ...spool.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = append(f.records, records...)
	close(f.ready)
	f.ready = make(chan struct{})
}

// Fetch returns the first unsettled records.
func (f *Feed) Fetch(_ context.Context, limit spool.Limit) ([]spool.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var bytes int64
	n := 0
	for n < len(f.records) && n < limit.Records && (n == 0 || bytes+f.records[n].Size <= limit.Bytes) {
		bytes += f.records[n].Size
		n++
	}
	return slices.Clone(f.records[:n]), nil
}

// Settle removes records and remembers their outcomes.
func (f *Feed) Settle(_ context.Context, outcomes ...spool.Outcome) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range outcomes {
		f.records = slices.DeleteFunc(f.records, func(r spool.Record) bool { return r.Sequence == o.Sequence })
	}
	f.outcomes = append(f.outcomes, outcomes...)
	return nil
}

// Ready is closed when records were added.
func (f *Feed) Ready() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

// Left is the number of unsettled records.
func (f *Feed) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.records)
}

// Outcomes lists what became of records, in the order in which they settled.
func (f *Feed) Outcomes() []spool.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.outcomes)
}
