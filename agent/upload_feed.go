package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// An uploadFeed hands the files of one upload to the worker and keeps what
// became of them in the ledger. The worker alone calls it.
type uploadFeed struct {
	files   *gathering
	ledger  *uploader.Ledger
	tally   *tally
	waiting []spool.Record    // handed out or about to be, not settled, in order
	begun   map[[16]byte]bool // contents that were handed out and not delivered
	last    uint64
}

func newUploadFeed(files *gathering, ledger *uploader.Ledger, t *tally) *uploadFeed {
	return &uploadFeed{files: files, ledger: ledger, tally: t, begun: make(map[[16]byte]bool)}
}

// Fetch returns the next files. It waits until there are as many as asked
// for or no more, since more files in a request cost less.
func (f *uploadFeed) Fetch(ctx context.Context, limit spool.Limit) ([]spool.Record, error) {
	for len(f.waiting) < limit.Records && fits(f.waiting, limit) == len(f.waiting) {
		next, ok := f.files.next(ctx)
		if !ok {
			break
		}
		if f.seen(next.record.Identity) {
			f.tally.add(func(r *UploadResult) { r.Skipped++ })
			continue
		}
		f.last++
		next.record.Sequence, next.record.Body = f.last, next.body
		f.waiting = append(f.waiting, next.record)
	}
	n := fits(f.waiting, limit)
	return f.waiting[:n:n], ctx.Err()
}

// fits is how many of the first records a batch may have, at least one.
func fits(recs []spool.Record, limit spool.Limit) int {
	var size int64
	for n := range recs {
		if size += recs[n].Size; n > 0 && (n == limit.Records || size > limit.Bytes) {
			return n
		}
	}
	return len(recs)
}

// seen tells whether this content was sent before or is about to be.
func (f *uploadFeed) seen(identity [32]byte) bool {
	key := [16]byte(identity[:16])
	if f.begun[key] || f.ledger.Known(identity) {
		return true
	}
	f.begun[key] = true
	return false
}

// Settle remembers delivered files for good and counts them all.
func (f *uploadFeed) Settle(_ context.Context, outcomes ...spool.Outcome) error {
	ends := make(map[uint64]spool.Outcome, len(outcomes))
	for _, o := range outcomes {
		ends[o.Sequence] = o
	}
	var rows []uploader.LedgerOutcome
	for _, rec := range f.waiting {
		if o, ok := ends[rec.Sequence]; ok && o.Fate != spool.FateRejected {
			rows = append(rows, uploader.LedgerOutcome{SHA256: rec.Identity, Fate: o.Fate, Status: o.Status})
		}
	}
	if err := f.ledger.Add(rows...); err != nil {
		return fmt.Errorf("remember what was sent: %w", err)
	}
	for _, row := range rows {
		delete(f.begun, [16]byte(row.SHA256[:16]))
	}
	f.waiting = slices.DeleteFunc(slices.Clone(f.waiting), func(rec spool.Record) bool {
		o, ok := ends[rec.Sequence]
		if ok {
			f.count(rec, o)
		}
		return ok
	})
	return nil
}

func (f *uploadFeed) count(rec spool.Record, o spool.Outcome) {
	switch o.Fate {
	case spool.FateRejected:
		f.tally.refuse(rec.Body.(*fileBody).path, o.Reason)
	case spool.FateAlreadyThere:
		f.tally.add(func(r *UploadResult) { r.AlreadyThere++ })
	default:
		f.tally.add(func(r *UploadResult) { r.Stored++ })
	}
}

// Ready is closed from the start: Fetch itself waits.
func (f *uploadFeed) Ready() <-chan struct{} { return alwaysReady }

var alwaysReady = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// errChanged: a file is not what it was when it was read first.
var errChanged = errors.New("it changed while it was being sent; upload it again when it is at rest")

// A fileFault is what is wrong with a file itself, as damage is with a
// record: the far side is not to blame, and trying again would not help.
type fileFault struct{ error }

// Is tells the destination that the bytes cannot be had.
func (fileFault) Is(target error) bool { return target == spool.ErrDamaged }

func (f fileFault) Unwrap() error { return f.error }

// A fileBody is a file that is read from disk as often as it is sent, so that
// no body is ever whole in memory.
type fileBody struct {
	path    string
	size    int64
	sum     [32]byte
	changed time.Time
}

// Size is the file's length when it was first read.
func (b *fileBody) Size() int64 { return b.size }

// SHA256 is the hash of its bytes at that time.
func (b *fileBody) SHA256() [32]byte { return b.sum }

// Open opens the file, which must be as it was.
func (b *fileBody) Open() (io.ReadCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fileFault{err}
	}
	info, err := f.Stat()
	if err == nil && (info.Size() != b.size || !info.ModTime().Equal(b.changed)) {
		err = errChanged
	}
	if err != nil {
		f.Close()
		return nil, fileFault{err}
	}
	return &bodyReader{file: f, left: b.size}, nil
}

// A bodyReader gives exactly as many bytes as the file had, and tells faults
// of the file from those of the network.
type bodyReader struct {
	file *os.File
	left int64
}

// Read reads on.
func (r *bodyReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case err == io.EOF && r.left > 0:
		err = fileFault{errChanged}
	case err != nil && err != io.EOF:
		err = fileFault{fmt.Errorf("read file: %w", err)}
	}
	return n, err
}

// Close closes the file.
func (r *bodyReader) Close() error { return r.file.Close() }
