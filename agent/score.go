package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/edgespool/edgespool/agent/api/history"
	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/detect"
	"github.com/edgespool/edgespool/spool"
)

// A scorer has the sources' detectors judge files that clients send, one at a
// time: a board has one processor to spare at best.
type scorer struct {
	agent *Agent
	turn  chan struct{}
	held  atomic.Int64 // bytes of files that are in memory
}

const (
	// heldFiles bounds the files in memory, which have come in part or wait
	// for their turn.
	heldFiles = 3 * sampler.MaxCaseFile
	// heldStep is how much of one is read before that is looked at again.
	heldStep = 32 << 10
)

// caseTypes are what sampler.CaseFromFile reads.
var caseTypes = []string{"application/cbor", "application/json", "text/csv", "audio/wav"}

// model is a detector that files can be sent to.
type model struct {
	history.Model
	source *source
	place  int
}

// models are the detectors of all sources, each by its name; one whose name
// another source has as well is SOURCE/NAME.
func (s *scorer) models() (all []model) {
	count := map[string]int{}
	for _, src := range s.agent.crew.sourceList() {
		for place, name := range src.config.Detect.Names() {
			count[name]++
			all = append(all, model{source: src, place: place, Model: history.Model{Name: name,
				Description: "judges as source " + src.name + " does", FileTypes: caseTypes}})
		}
	}
	for i := range all {
		if m := &all[i]; count[m.Name] > 1 {
			m.Name = m.source.name + "/" + m.Name
		}
	}
	return all
}

// Models and Score make it a history.Judge.
func (s *scorer) Models() (all []history.Model) {
	for _, m := range s.models() {
		all = append(all, m.Model)
	}
	return all
}

func (s *scorer) Score(ctx context.Context, name string, f history.File) (spool.Detection, error) {
	for _, m := range s.models() {
		if m.Name == name {
			return s.score(ctx, m, f)
		}
	}
	return spool.Detection{}, fmt.Errorf("%w: %.80q", history.ErrUnknownModel, name)
}

func (s *scorer) score(ctx context.Context, m model, f history.File) (found spool.Detection, err error) {
	raw, err := s.read(f.Bytes)
	defer s.held.Add(-int64(len(raw)))
	if err != nil {
		return found, err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return found, fmt.Errorf("score file: %w", ctx.Err())
	}
	setup, frequency := m.source.setup, 0.0
	var sensors []sampler.Sensor // as the file has them, for a source of files
	if readings := m.source.readings; readings != nil {
		sensors, frequency = sampler.NewLayout(*readings).Sensors(), float64(readings.Frequency)
	}
	c, err := sampler.CaseFromFile(f.Name, raw, sensors)
	if err != nil {
		return found, fmt.Errorf("%w: %w", history.ErrUnsupported, err)
	}
	if c.Hz == 0 {
		c.Hz = frequency
	}
	c.Source, c.Device, c.At = m.source.name, setup.Device, setup.Clock.Now()
	v, err := detect.Score(ctx, m.source.config.Detect, m.place, setup, s.agent.spool, c)
	switch {
	case errors.Is(err, detect.ErrUnfit):
		return found, fmt.Errorf("%w: %w", history.ErrUnsupported, err)
	case err != nil:
		return found, fmt.Errorf("%w: %w", history.ErrNotReady, err)
	}
	return sampler.DetectionOf(spool.Record{Source: m.source.name, DeviceName: setup.Device.Name}, 0, v), nil
}

// read takes a file into memory, before its turn: its sender may be slow. What
// is returned counts as held, with an error too.
func (s *scorer) read(from io.Reader) ([]byte, error) {
	var b bytes.Buffer
	for b.Len() <= sampler.MaxCaseFile {
		n, err := io.CopyN(&b, from, heldStep)
		if held := s.held.Add(n); err == nil && held > heldFiles {
			return b.Bytes(), fmt.Errorf("%w: files of %d bytes have come already and wait for their turn or for the rest of them", history.ErrNotReady, held)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return b.Bytes(), fmt.Errorf("score file: %w", err)
		}
	}
	return b.Bytes(), nil
}
