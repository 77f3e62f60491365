package samplertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A Sink remembers what it is given. It knows duplicates as the spool does,
// and refuses while it is told to. Methods may be called concurrently.
type Sink struct {
	mu      sync.Mutex
	records []spool.Record
	known   map[[32]byte]uint64
	refusal error
	refused int
	grew    chan struct{}
}

// NewSink makes an empty sink.
func NewSink() *Sink {
	return &Sink{known: map[[32]byte]uint64{}, grew: make(chan struct{})}
}

// Append takes records, or refuses all of them.
func (s *Sink) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return spool.Receipt{}, err
	}
	defer func() {
		close(s.grew)
		s.grew = make(chan struct{})
	}()
	if s.refusal != nil {
		s.refused += len(recs)
		return spool.Receipt{}, s.refusal
	}
	var receipt spool.Receipt
	for _, r := range recs {
		sequence, known := s.known[r.Identity]
		if !known {
			sequence = uint64(len(s.records) + 1)
			r.Sequence = sequence
			s.known[r.Identity] = sequence
			s.records = append(s.records, r)
		}
		receipt.Results = append(receipt.Results, spool.Result{Sequence: sequence, Duplicate: known})
	}
	return receipt, nil
}

// Stage reads a body into memory.
func (s *Sink) Stage(ctx context.Context, r io.Reader, limit int64) (spool.Body, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("stage body: %w", spool.ErrTooLarge)
	}
	return spool.Bytes(b), nil
}

// Seen tells whether a record of this identity was taken.
func (s *Sink) Seen(identity [32]byte) (sequence uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sequence, ok = s.known[identity]
	return sequence, ok
}

// Refuse makes Append fail with err from now on; nil ends that.
func (s *Sink) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
}

// Refused is how many records were refused so far.
func (s *Sink) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// Records are the records taken so far, in order.
func (s *Sink) Records() []spool.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]spool.Record(nil), s.records...)
}

// patience is how long a test waits for what must come. It says nothing of
// how long that may take: it ends a test that would hang.
const patience = time.Minute

// Await waits until n records are there, and returns all.
func (s *Sink) Await(t testing.TB, n int) []spool.Record {
	t.Helper()
	Until(t, fmt.Sprintf("%d records", n), func() bool { return len(s.Records()) >= n }, s.wait)
	return s.Records()
}

// AwaitRefused waits until n more records were refused.
func (s *Sink) AwaitRefused(t testing.TB, n int) {
	t.Helper()
	n += s.Refused()
	Until(t, fmt.Sprintf("%d refused records", n), func() bool { return s.Refused() >= n }, s.wait)
}

func (s *Sink) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grew
}

// AwaitProgress waits until a source's figures are as they should be.
func AwaitProgress(t testing.TB, what string, p *sampler.Progress, good func(sampler.Snapshot) bool) sampler.Snapshot {
	t.Helper()
	Until(t, what, func() bool { return good(p.Snapshot()) }, nil)
	return p.Snapshot()
}

// Until asks until the answer is yes: whenever wake's channel is closed, if
// there is one, and several times a second. It fails a test that would hang.
func Until(t testing.TB, what string, yes func() bool, wake func() <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		var woken <-chan struct{}
		if wake != nil {
			woken = wake()
		}
		if yes() {
			return
		}
		select {
		case <-woken:
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// Body reads a record's bytes.
func Body(t testing.TB, r spool.Record) []byte {
	t.Helper()
	f, err := r.Body.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
