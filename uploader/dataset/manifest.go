package dataset

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

const (
	// rewriteAtLeast is how often info.labels is rewritten at least while
	// records keep coming.
	rewriteAtLeast = 30 * time.Second
	// quiet is how long nothing may have come for the folder to count as idle.
	quiet = time.Second
	// pacePerByte keeps a large info.labels, which is rewritten as a whole,
	// from wearing out the disk: 30 s of patience for each MiB.
	pacePerByte = float64(rewriteAtLeast) / (1 << 20)
)

// A pace says when info.labels is to be rewritten. The zero value is clean.
type pace struct {
	dirty     bool
	changedAt time.Time
	writtenAt time.Time
	patience  time.Duration // between two rewrites, by size
}

func (p *pace) changed(now time.Time) { p.dirty, p.changedAt = true, now }

// due is how long until an idle folder is to be rewritten.
func (p *pace) due(now time.Time) time.Duration {
	return max(p.changedAt.Add(quiet).Sub(now), p.writtenAt.Add(p.patience).Sub(now), 0)
}

// overdue tells whether a busy folder has waited long enough.
func (p *pace) overdue(now time.Time) bool {
	if p.writtenAt.IsZero() {
		p.writtenAt = now // the first rewrite waits its turn as well
	}
	return now.Sub(p.writtenAt) >= max(p.patience, rewriteAtLeast)
}

// writeManifest writes info.labels anew from the log: beside it, synced,
// renamed.
func (d *Destination) writeManifest() error {
	temp := filepath.Join(d.root, tempFolder, acquisition.ManifestName)
	size, err := d.writeManifestTo(temp)
	if err == nil {
		err = os.Rename(temp, filepath.Join(d.root, acquisition.ManifestName))
	}
	if err == nil {
		err = syncFolder(d.root)
	}
	d.manifest.writtenAt = time.Now()
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("write %s: %w", acquisition.ManifestName, err)
	}
	d.manifest.dirty = false
	d.manifest.patience = time.Duration(float64(size) * pacePerByte)
	return nil
}

func (d *Destination) writeManifestTo(temp string) (int64, error) {
	// A row that came again may stand in the log twice. Only their paths are
	// remembered, and there are few: they come from crashes.
	again := make(map[string]bool)
	if d.rows.again {
		err := d.rows.each(func(r row) error {
			if r.Again {
				again[r.Path] = false
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b := bufio.NewWriterSize(f, 64<<10)
	m := acquisition.NewManifestWriter(b)
	err = d.rows.each(func(r row) error {
		if done, listed := again[r.Path]; listed {
			if done {
				return nil
			}
			again[r.Path] = true
		}
		return m.Add(r.ManifestFile)
	})
	if err != nil {
		return 0, err
	}
	if err := m.Close(); err != nil {
		return 0, err
	}
	if err := b.Flush(); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
