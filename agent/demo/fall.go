package demo

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// fall puts the recording into the watched folder under a name that the agent
// takes, whole, as `mv` and `rsync` do.
func (r recording) fall(folder string) error {
	whole := filepath.Join(folder, r.category, r.name+".part")
	if err := os.WriteFile(whole, r.body, 0o644); err != nil {
		return err
	}
	return os.Rename(whole, filepath.Join(folder, r.path()))
}

// trickle writes the recording in place, with pauses that add up to about d.
// Each is shorter than the time that a file must be left alone.
func (r recording) trickle(ctx context.Context, folder string, d time.Duration) error {
	f, err := os.OpenFile(filepath.Join(folder, r.path()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	const pieces = 20
	tick := time.NewTicker(d / pieces)
	defer tick.Stop()
	for i := range pieces {
		piece := r.body[i*len(r.body)/pieces : (i+1)*len(r.body)/pieces]
		if _, err := f.Write(piece); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
