package agent

import (
	"context"
	"reflect"
)

// Reload makes sources and destinations those of a configuration. Those whose
// section says the same go on untouched, the others end and begin anew. After
// an error nothing has changed. What has changed besides them, such as the
// spool's place, counts after a restart; the log says so.
func (a *Agent) Reload(c *Config) error {
	a.crew.changing.Lock()
	defer a.crew.changing.Unlock()
	if a.crew.dismissed {
		return ErrStopping
	}
	sources, err := match(a.crew.sources, c.Sources,
		func(s *source, c SourceConfig) bool { return reflect.DeepEqual(s.config, c) },
		func(c SourceConfig) (*source, error) { return newSource(c, a) })
	if err != nil {
		return err
	}
	destinations, err := match(a.crew.destinations, c.Destinations,
		func(d *destination, c DestinationConfig) bool { return reflect.DeepEqual(d.config, c) },
		func(c DestinationConfig) (*destination, error) { return newDestination(c, a) })
	if err != nil {
		return err
	}
	// Sources that read the same port or folder, and workers on the same
	// streams, must have ended before the next ones begin.
	if a.crew.samplingCtx != nil {
		a.endAll(sources.gone, destinations.gone)
	}
	a.crew.mu.Lock()
	a.crew.sources, a.crew.destinations = sources.all, destinations.all
	a.crew.mu.Unlock()
	a.mountIngestion()
	a.crew.start(sources.fresh, destinations.fresh)
	if err := a.releaseOthers(); err != nil {
		a.log.Warn("a destination that is gone holds its samples until the next start", "error", err)
	}
	a.log.Info("configuration was read again", "sources", len(sources.all), "of them new or changed", len(sources.fresh),
		"destinations", len(destinations.all), "of those new or changed", len(destinations.fresh))
	a.sayWhatWaits(c)
	return nil
}

// changes are what becomes of a list.
type changes[P any] struct{ all, fresh, gone []P }

// match keeps what is in the list already and builds the rest.
func match[P comparable, C any](have []P, want []C, same func(P, C) bool, build func(C) (P, error)) (m changes[P], err error) {
	kept := map[P]bool{}
	for _, c := range want {
		var next P
		found := false
		for _, p := range have {
			if same(p, c) {
				next, found, kept[p] = p, true, true
				break
			}
		}
		if !found {
			if next, err = build(c); err != nil {
				return m, err
			}
			m.fresh = append(m.fresh, next)
		}
		m.all = append(m.all, next)
	}
	for _, p := range have {
		if !kept[p] {
			m.gone = append(m.gone, p)
		}
	}
	return m, nil
}

// endAll stops some of the crew and waits for them, sourceTime or workerTime at
// most: who hangs is named and left behind.
func (a *Agent) endAll(sources []*source, destinations []*destination) {
	for _, s := range sources {
		s.stop()
	}
	for _, d := range destinations {
		d.stop()
	}
	patience, done := context.WithTimeout(context.WithoutCancel(a.crew.samplingCtx), max(sourceTime, workerTime))
	defer done()
	for _, s := range sources {
		select {
		case <-s.over:
		case <-patience.Done():
			a.log.Error("source does not stop: left behind, what it has not handed over is lost or comes again", "source", s.name)
		}
	}
	for _, d := range destinations {
		select {
		case <-d.over:
		case <-patience.Done():
			a.log.Error("destination does not stop: left behind, what it has not noted is sent again", "destination", d.name)
		}
	}
}

// sayWhatWaits names the changed sections that only a restart reads.
func (a *Agent) sayWhatWaits(c *Config) {
	for _, section := range []struct {
		name      string
		have, got any
	}{
		{"device", a.config.Device, c.Device}, {"spool", a.config.Spool, c.Spool}, {"api", a.config.API, c.API}, {"log", a.config.Log, c.Log},
	} {
		if !reflect.DeepEqual(section.have, section.got) {
			a.log.Warn("a changed section counts after a restart", "section", section.name)
		}
	}
}
