// Package dataset is the destination that keeps records as a folder, the way
// Edge Impulse exports a dataset: <category>/<file name>, and info.labels at
// its root saying what each file shows.
package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// Deps are what a destination is given by the agent. All may be left out.
type Deps struct {
	// Dated tells a record's true time, as Spool.Dated does; without it no
	// window is dated.
	Dated func(*spool.Record) (time.Time, bool)
}

// A Destination is one dataset folder. It takes one Send at a time.
type Destination struct {
	root    string
	hmacKey *uploader.Secret // nil: documents are unsigned
	dated   func(*spool.Record) (time.Time, bool)

	mu       sync.Mutex
	mounted  bool    // the folder has to be on something mounted
	rows     *rowLog // nil until the first use
	manifest pace
	written  int64
}

// tempFolder holds files while they are written.
const tempFolder = ".tmp"

// New makes a destination of a configuration that Validate finds no fault in.
// It touches nothing yet.
func New(c Config, d Deps) (*Destination, error) {
	var faults []string
	c.Validate(func(field, problem, remedy string) { faults = append(faults, field+": "+problem+"; "+remedy) })
	if len(faults) > 0 {
		return nil, fmt.Errorf("set up destination: %s", strings.Join(faults, "; "))
	}
	if d.Dated == nil {
		d.Dated = func(*spool.Record) (time.Time, bool) { return time.Time{}, false }
	}
	return &Destination{root: c.Path, mounted: c.RequireMount, hmacKey: c.hmacKey().Secret(), dated: d.Dated}, nil
}

// Send writes each record into a file that survives a power cut. A record
// whose file is there already is not written again, also after a crash in the
// middle of a former Send.
func (d *Destination) Send(ctx context.Context, batch []spool.Record) []uploader.Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	verdicts := make([]uploader.Verdict, len(batch))
	if err := d.ready(); err != nil {
		return fill(verdicts, 0, unavailable(err))
	}
	press, err := d.press()
	if err != nil {
		return fill(verdicts, 0, uploader.Verdict{Kind: uploader.Stop, Err: err})
	}
	folders := make(map[string]bool)
	rows := make([]row, 0, len(batch))
	for i := range batch {
		if ctx.Err() != nil {
			fill(verdicts, i, uploader.Verdict{Err: fmt.Errorf("not written: %w", context.Cause(ctx))})
			break
		}
		path, there, err := d.keep(&batch[i], press)
		if err != nil {
			verdicts[i] = judge(err)
			if verdicts[i].Everywhere() {
				fill(verdicts, i, verdicts[i])
				break
			}
			continue
		}
		verdicts[i] = uploader.Verdict{Kind: uploader.Stored, RemoteID: path}
		if there {
			verdicts[i].Kind = uploader.AlreadyThere
		}
		folders[filepath.Dir(filepath.Join(d.root, path))] = true
		rows = append(rows, newRow(&batch[i], path, there))
	}
	if err := d.commit(folders, rows); err != nil {
		return fill(verdicts, 0, unavailable(err))
	}
	return verdicts
}

// commit makes the new names and their rows durable.
func (d *Destination) commit(folders map[string]bool, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	for folder := range folders {
		if err := syncFolder(folder); err != nil {
			return err
		}
	}
	if err := d.rows.append(rows); err != nil {
		return err
	}
	d.manifest.changed(time.Now())
	if d.manifest.overdue(time.Now()) {
		_ = d.writeManifest() // the log has it all; it is tried again
	}
	return nil
}

// ready opens the dataset, or says that what it should lie on is away.
func (d *Destination) ready() error {
	if !d.mounted {
		return d.open()
	}
	err := spool.OnMount(d.root)
	if err == nil {
		return d.open()
	}
	if d.rows != nil { // of what was there before
		d.rows.close()
		d.rows = nil
	}
	return err
}

// open makes the folder ready, removes what a crash left half-written, and
// opens the log of rows.
func (d *Destination) open() error {
	if d.rows != nil {
		return nil
	}
	temp := filepath.Join(d.root, tempFolder)
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return fmt.Errorf("make dataset folder: %w", err)
	}
	rows, err := openRows(d.root)
	if err != nil {
		return err
	}
	left, err := os.ReadDir(temp)
	for _, f := range left {
		err = errors.Join(err, os.Remove(filepath.Join(temp, f.Name())))
	}
	if err != nil {
		rows.close()
		return fmt.Errorf("clean up dataset folder: %w", err)
	}
	d.rows = rows
	if rows.count > 0 { // the manifest may be behind
		d.manifest.changed(time.Now())
	}
	return nil
}

// Tidy rewrites info.labels when records were added since.
func (d *Destination) Tidy(_ context.Context, final bool) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil || !d.manifest.dirty {
		return 0
	}
	if again := d.manifest.due(time.Now()); again > 0 && !final {
		return again
	}
	if err := d.writeManifest(); err != nil {
		return rewriteAtLeast // the log has it all; a full disk may have room later
	}
	return 0
}

// CredentialsChanged tells whether the key file is another one than was used.
func (d *Destination) CredentialsChanged() bool { return d.hmacKey.Changed() }

// BytesSent counts the bytes of the files written.
func (d *Destination) BytesSent() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written
}

// Close brings info.labels up to date and lets go of the folder.
func (d *Destination) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil {
		return nil
	}
	var err error
	if d.manifest.dirty {
		err = d.writeManifest()
	}
	err = errors.Join(err, d.rows.close())
	d.rows = nil
	return err
}

func fill(verdicts []uploader.Verdict, from int, v uploader.Verdict) []uploader.Verdict {
	for i := range verdicts[from:] {
		verdicts[from+i] = v
	}
	return verdicts
}

// unavailable is the verdict when the folder itself cannot be written.
func unavailable(err error) uploader.Verdict {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = fmt.Errorf("the disk is full, make room: %w", err)
	}
	return uploader.Verdict{Err: fmt.Errorf("%w: %w", uploader.ErrUnavailable, err)}
}

// judge is the verdict when one record could not be written.
func judge(err error) uploader.Verdict {
	var source *sourceError
	switch {
	case errors.Is(err, spool.ErrDamaged), errors.Is(err, errUnusable):
		return uploader.Verdict{Kind: uploader.Rejected, Err: err}
	case errors.As(err, &source):
		return uploader.Verdict{Err: err}
	}
	return unavailable(err)
}
