package sampler

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/edgespool/edgespool/spool"
)

// A FileJudge is the sink of a source of whole files. It hands them on as they
// are, and nobody waits for a verdict: recordings among them are judged
// afterwards, and an anomaly is kept a second time, in category anomaly with its
// scores.
type FileJudge struct {
	Sink
	setup *Setup
	plan  Judging
	by    assessor
	files chan judgedFile
	held  atomic.Int64 // bytes of files that wait
}

// judgedFile is a file in the spool that waits for its verdict.
type judgedFile struct {
	rec spool.Record
	raw []byte
}

// NewFileJudge makes the sink over another one. The source must have Judging.
func NewFileJudge(s *Setup, sink Sink) *FileJudge {
	return &FileJudge{Sink: sink, setup: s, plan: *s.Judging, by: assessor{setup: s, plan: *s.Judging}, files: make(chan judgedFile, maxPending)}
}

// Append hands files on, and has those judged that are new. None is while an
// operator labels for a time.
func (f *FileJudge) Append(ctx context.Context, recs ...spool.Record) (spool.Receipt, error) {
	receipt, err := f.Sink.Append(ctx, recs...)
	if _, left, _ := f.setup.Labelling.Now(); err != nil || left > 0 || len(receipt.Results) != len(recs) {
		return receipt, err
	}
	for i, rec := range recs {
		rec.Sequence = receipt.Results[i].Sequence
		if !receipt.Results[i].Duplicate && slices.Contains(caseFiles, strings.ToLower(path.Ext(rec.Name))) {
			f.offer(rec)
		}
	}
	return receipt, nil
}

// caseFiles are the endings of what CaseFromFile reads.
var caseFiles = []string{".cbor", ".json", ".csv", ".wav"}

// offer takes a file to be judged, as far as there is room.
func (f *FileJudge) offer(rec spool.Record) {
	if rec.Size > MaxCaseFile {
		f.by.count("unjudged", 1)
		return
	}
	if f.held.Add(rec.Size) <= 2*MaxCaseFile {
		raw, err := readBody(rec.Body)
		if err == nil {
			select {
			case f.files <- judgedFile{rec, raw}:
				return
			default:
			}
		}
	}
	f.held.Add(-rec.Size)
	f.by.overrun()
}

func readBody(b spool.Body) ([]byte, error) {
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, MaxCaseFile))
}

// Run judges files until ctx ends. What waits then stays unjudged.
func (f *FileJudge) Run(ctx context.Context) {
	defer f.plan.Judge.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case file := <-f.files:
			f.assess(ctx, file)
			f.held.Add(-file.rec.Size)
		}
	}
}

// assess judges one file and does what follows from it.
func (f *FileJudge) assess(ctx context.Context, file judgedFile) {
	rec := file.rec
	c, err := CaseFromFile(rec.Name, file.raw, nil)
	var v Verdict
	if err == nil {
		c.Source, c.Device, c.Label, c.At = rec.Source, f.setup.Device, rec.Label.Text, rec.Time
		v, err = f.by.judge(ctx, c)
	}
	if err != nil {
		if !errors.Is(err, ErrLearning) { // the judge counts those
			f.by.count("unjudged", 1)
		}
		return
	}
	f.by.count("judged", 1)
	if v.Score < f.plan.ReportAt {
		return
	}
	f.by.count("anomalies", 1)
	sequence := rec.Sequence
	if rec.Dataset != categoryAnomaly { // else it is where it belongs
		rec.Identity = sha256.Sum256(append(slices.Clone(rec.Identity[:]), categoryAnomaly...))
		rec.Dataset, rec.Sequence, rec.Metadata, rec.Body = categoryAnomaly, 0, withScores(rec.Metadata, v), spool.Bytes(file.raw)
		receipt, err := f.Sink.Append(ctx, rec)
		if err == nil {
			err = receipt.Wait(ctx)
		}
		if err != nil || len(receipt.Results) == 0 {
			f.setup.Log.Error("anomaly was not kept a second time, its file was", "source", f.setup.Name, "name", rec.Name, "error", err)
		} else if sequence = receipt.Results[0].Sequence; receipt.Results[0].Duplicate {
			return
		}
	}
	f.by.tell(ctx, DetectionOf(rec, sequence, v))
}
