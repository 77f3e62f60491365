package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
)

// An UploadConfig is one run of `edgespool upload`.
type UploadConfig struct {
	// Paths are files, folders and info.labels files.
	Paths []string
	// Destination says where to; Patience is how long to go on while it
	// takes nothing.
	Destination edgeimpulse.Config
	Patience    time.Duration
	// Label and Category, if not empty, win over file names and label files;
	// NoLabel sends files without a label. Metadata go with every file.
	Label, Category string
	NoLabel         bool
	Metadata        map[string]string
	// State is the folder that remembers over runs what was sent.
	State string
	// Spool, if not empty, is a spool folder that takes the files instead
	// of the destination.
	Spool string
	// Version of the program goes into requests.
	Version string
	Log     spool.Logger // may be nil
	// Progress, if set, is called after every batch; Refused for every file
	// that is not taken, with the reason. Neither is called concurrently.
	Progress func(UploadResult)
	Refused  func(path, reason string)
}

// NewUploadConfig is an upload to the public service with what is usual.
func NewUploadConfig() UploadConfig {
	c := UploadConfig{Destination: edgeimpulse.DefaultConfig(), Patience: 2 * time.Minute}
	c.Destination.Categories = sampler.Categories
	return c
}

// Validate finds what is wrong with the configuration.
func (c *UploadConfig) Validate() (err error) {
	if c.Category != "" && c.Category != sampler.CategorySplit && !sampler.IsCategory(c.Category) {
		err = fmt.Errorf("category %q is none of %s or %s", c.Category, strings.Join(sampler.Categories, ", "), sampler.CategorySplit)
	}
	if c.Spool != "" {
		return err
	}
	c.Destination.Validate(func(field, problem, remedy string) {
		err = errors.Join(err, fmt.Errorf("%s: %s; %s", strings.ReplaceAll(field, "_", "-"), problem, remedy))
	})
	return err
}

// IsUnfinished tells whether Upload gave up before everything was taken.
func IsUnfinished(err error) bool {
	return errors.Is(err, uploader.ErrUnfinished) || errors.Is(err, context.Canceled)
}

// IsRefusedKey tells whether the far side did not accept the API key.
func IsRefusedKey(err error) bool { return errors.Is(err, uploader.ErrCredentials) }

// An UploadResult counts files by what became of them.
type UploadResult struct {
	// Files were found, with Bytes in all; what is missing in the other
	// counts was not finished.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// Stored were taken now; AlreadyThere were there, says the far side.
	Stored       int64 `json:"stored"`
	AlreadyThere int64 `json:"already_there"`
	// Skipped were sent in an earlier run, or are the same as another file
	// of this one, and were not sent again.
	Skipped int64 `json:"skipped"`
	// Rejected will never be taken as they are.
	Rejected int64 `json:"rejected"`
}

// Done is how many files came to an end.
func (r UploadResult) Done() int64 { return r.Stored + r.AlreadyThere + r.Skipped + r.Rejected }

// Upload sends files once and returns when every one has come to an end. It
// fails with uploader.ErrUnfinished or uploader.ErrCredentials when the far
// side did not take them all; what was taken is remembered, so that another
// run goes on where this one stopped. Rejected files are no error.
func Upload(ctx context.Context, c UploadConfig) (UploadResult, error) {
	if err := checkManifests(c.Paths); err != nil {
		return UploadResult{}, err
	}
	if c.Spool != "" {
		return uploadToSpool(ctx, c)
	}
	destination, err := edgeimpulse.New(c.Destination, edgeimpulse.Deps{Version: c.Version})
	if err != nil {
		return UploadResult{}, err
	}
	defer destination.Close()
	ledger, err := openLedger(c)
	if err != nil {
		return UploadResult{}, err
	}
	defer ledger.Close()
	tally := &tally{config: &c}
	batch := destination.BatchLimit()
	ctx, cancel := context.WithCancel(ctx)
	files := gather(ctx, c, batch.Records, tally)
	defer files.wait()
	defer cancel()
	worker := uploader.NewWorker(uploader.Options{
		Name: "upload", Destination: destination, Log: c.Log, Batch: batch,
		Feeds:         []uploader.Feed{newUploadFeed(files, ledger, tally)},
		StopWhenEmpty: true, Patience: c.Patience,
	})
	err = worker.Run(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = files.err()
	}
	return tally.result(), err
}

// openLedger finds the ledger of this far side and key.
func openLedger(c UploadConfig) (*uploader.Ledger, error) {
	key := uploader.NewSecret(c.Destination.APIKeyFile, c.Destination.APIKeyEnv, c.Destination.APIKeyCredential)
	fingerprint, err := key.Fingerprint()
	if err != nil {
		return nil, err
	}
	url := strings.TrimRight(c.Destination.URL, "/")
	return uploader.OpenLedger(filepath.Join(c.State, "uploaded"), url, fingerprint)
}

// A tally counts what becomes of files. Methods may be called concurrently.
type tally struct {
	config *UploadConfig
	mu     sync.Mutex
	r      UploadResult
}

func (t *tally) add(count func(r *UploadResult)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count(&t.r)
	if t.config.Progress != nil {
		t.config.Progress(t.r)
	}
}

func (t *tally) refuse(path, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.Rejected++
	if t.config.Refused != nil {
		t.config.Refused(path, reason)
	}
}

func (t *tally) result() UploadResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.r
}

// uploadToSpool puts the files into a spool that no agent holds.
func uploadToSpool(ctx context.Context, c UploadConfig) (UploadResult, error) {
	sc := spool.DefaultConfig()
	sc.Path, sc.Log = c.Spool, c.Log
	sc.WhenFull = "refuse" // what is handed over now must not push out what is there
	s, err := spool.Open(sc)
	if errors.Is(err, spool.ErrVolatile) {
		if c.Log != nil {
			c.Log.Warn("spool is on a file system that forgets: what is put there does not survive a reboot or the end of the container", "spool", c.Spool)
		}
		sc.AllowVolatile = true
		s, err = spool.Open(sc)
	}
	if err != nil {
		return UploadResult{}, fmt.Errorf("open spool %s: %w", c.Spool, err)
	}
	tally := &tally{config: &c}
	gathering, cancel := context.WithCancel(ctx)
	files := gather(gathering, c, 100, tally)
	err = spoolFiles(ctx, s, files, tally)
	cancel()
	files.wait()
	if err == nil {
		err = files.err()
	}
	if errors.Is(err, spool.ErrFull) {
		err = api.WithHint(err, "make room on the disk, or let an agent deliver what the spool holds; then run it again, nothing is taken twice")
	}
	return tally.result(), errors.Join(err, s.Close())
}

func spoolFiles(ctx context.Context, s *spool.Spool, files *gathering, tally *tally) error {
	for {
		f, ok := files.next(ctx)
		if !ok {
			return ctx.Err()
		}
		result, err := spoolFile(ctx, s, f)
		switch {
		case errors.Is(err, errChanged):
			tally.refuse(f.body.path, err.Error())
		case err != nil:
			return fmt.Errorf("put %s into spool: %w", f.body.path, err)
		case result.Duplicate:
			tally.add(func(r *UploadResult) { r.AlreadyThere++ })
		default:
			tally.add(func(r *UploadResult) { r.Stored++ })
		}
	}
}

// spoolFile returns when the file survives a power cut.
func spoolFile(ctx context.Context, s *spool.Spool, f found) (spool.Result, error) {
	r, err := f.body.Open()
	if err != nil {
		return spool.Result{}, err
	}
	defer r.Close()
	rec := f.record
	if rec.Body, err = s.Stage(ctx, r, f.body.size); err != nil {
		return spool.Result{}, err
	}
	if rec.Body.SHA256() != f.body.sum {
		return spool.Result{}, errChanged
	}
	receipt, err := s.Append(ctx, rec)
	if err != nil {
		return spool.Result{}, err
	}
	return receipt.Results[0], receipt.Wait(ctx)
}
