package demo

import (
	"context"
	"errors"
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

// A fallen is a recording that was put into the watched folder.
type fallen struct {
	recording
	malformed bool
}

// drop lets one recording of each kind fall.
func (p *play) drop(n int, category, label string) error {
	for _, kind := range kinds {
		if err := p.dropOne(kind, category, label, n); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) dropOne(kind, category, label string, n int) error {
	r, err := makeRecording(kind, category, label, n, p.hmacKey)
	if err != nil {
		return err
	}
	p.made = append(p.made, fallen{recording: r})
	return r.fall(p.watched())
}

// again lets a recording fall that has arrived already, under another name.
func (p *play) again() error {
	for _, first := range p.made {
		if first.kind == "WAV" {
			r := first.recording
			r.name = "again." + r.name
			p.made = append(p.made, fallen{recording: r})
			return r.fall(p.watched())
		}
	}
	return errors.New("no WAV has fallen yet")
}

// spoil lets a document fall that breaks off in the middle.
func (p *play) spoil() error {
	r, err := makeRecording("JSON", "training", "broken", 6, p.hmacKey)
	if err != nil {
		return err
	}
	r.body = r.body[:len(r.body)/2]
	p.made = append(p.made, fallen{recording: r, malformed: true})
	return r.fall(p.watched())
}

// taken tells whether the agent has dealt with every file in the folder.
func (p *play) taken() bool {
	for _, f := range p.made {
		if _, err := os.Stat(p.watched() + "/" + f.path()); err == nil {
			return false
		}
	}
	return true
}
