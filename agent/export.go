package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataset"
)

// An ExportConfig is one run of `edgespool export`.
type ExportConfig struct {
	// Spool is the folder of a spool that no agent holds; To is the dataset
	// folder to write.
	Spool, To string
	// Salvage takes what can be read of a damaged spool, of one that an agent
	// holds, of what was set aside, or of a single store of them.
	Salvage bool
	// HMACKeyFile signs the documents of windows; empty leaves them unsigned.
	HMACKeyFile string
	// Refused, if set, is called for every record that cannot be written.
	Refused func(name, reason string)
}

// An ExportResult counts records by what became of them.
type ExportResult struct {
	Written      int64 `json:"written"`
	AlreadyThere int64 `json:"already_there"`
	Rejected     int64 `json:"rejected"`
}

// exportBatch is how many records are written between two syncs.
const exportBatch = 100

// Export writes the records of a spool as a dataset folder, which another run
// completes. It changes nothing in the spool.
func Export(ctx context.Context, c ExportConfig) (r ExportResult, err error) {
	to := dataset.DefaultConfig()
	if to.Path, err = filepath.Abs(c.To); err != nil {
		return r, fmt.Errorf("find dataset folder: %w", err)
	}
	to.HMACKeyFile = c.HMACKeyFile
	folder, err := dataset.New(to, dataset.Deps{Dated: datedByItself})
	if err != nil {
		return r, err
	}
	defer folder.Tidy(ctx, true)
	walk := spool.Walk
	if c.Salvage {
		walk = spool.Salvage
	}
	// Bodies can be read only within walk, so the last batch must be known.
	var records, seen int
	if err := walk(ctx, c.Spool, func(spool.Record) error { records++; return nil }); err != nil {
		return r, err
	}
	var batch []spool.Record
	err = walk(ctx, c.Spool, func(rec spool.Record) error {
		seen++
		if batch = append(batch, rec); len(batch) < exportBatch && seen < records {
			return nil
		}
		err := r.count(folder.Send(ctx, batch), batch, c.Refused)
		batch = batch[:0]
		return err
	})
	return r, err
}

func (r *ExportResult) count(verdicts []uploader.Verdict, batch []spool.Record, refused func(name, reason string)) error {
	for i, v := range verdicts {
		switch v.Kind {
		case uploader.Stored:
			r.Written++
		case uploader.AlreadyThere:
			r.AlreadyThere++
		case uploader.Rejected:
			r.Rejected++
			if refused != nil {
				refused(batch[i].Name, v.Err.Error())
			}
		default:
			return fmt.Errorf("write %s: %w", batch[i].Name, v.Err)
		}
	}
	return nil
}

// datedByItself is the time of a record whose own clock was good.
func datedByItself(r *spool.Record) (time.Time, bool) {
	return time.Unix(0, r.Time.Wall), r.Time.State == spool.ClockSynchronised
}
