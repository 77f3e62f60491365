package agent

import (
	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/spool"
)

// status is everything that GET /api/status says.
func (a *Agent) status() api.Status {
	s := a.spool.Stats()
	st := api.Status{
		Version: a.version, UptimeS: int64(a.uptime().Seconds()),
		Device: api.DeviceStatus{Name: a.device.Name, Type: a.device.Type},
		Clock:  api.ClockStatus{Synchronised: a.clock.Synchronised(), Steps: a.clockSteps.Load()},
		Spool: api.SpoolStatus{Path: a.path, Records: s.Records, Bytes: s.Bytes, DiskBytes: s.DiskBytes, MaxBytes: s.MaxBytes,
			FirstSequence: s.FirstSequence, NextSequence: s.NextSequence, Duplicates: s.Duplicates, Lost: s.Lost,
			Damaged: s.Damaged, Full: s.Full, ReadOnly: s.ReadOnly, Commits: s.Commits, Segments: s.Segments,
			Quarantined: s.Quarantined, Error: s.Refuses, AtRiskS: a.commit.Interval.Seconds(),
			WrittenBytes: s.Wear.Written, WrittenPerDay: s.Wear.PerDay, Card: cardStatus(s.Wear)},
		Sources: []api.SourceStatus{}, Destinations: []api.DestinationStatus{},
	}
	for _, src := range a.crew.sourceList() {
		st.Sources = append(st.Sources, src.status())
	}
	next := map[string]uint64{}
	for _, info := range a.spool.Streams() {
		next[info.Name] = info.Next
	}
	for _, d := range a.crew.destinationList() {
		st.Destinations = append(st.Destinations, d.status(next))
	}
	if d, err := a.spool.DetectionStats(); err == nil {
		st.Detections = &api.DetectionsStatus{Count: d.Count, Bytes: d.Bytes, MaxBytes: d.MaxBytes}
	}
	st.Streams = a.readerStatus()
	if a.data != nil {
		st.Namespaces = a.data.Status()
	}
	return st
}

// readerStatus is what the streams API says of its streams.
func (a *Agent) readerStatus() []api.ReaderStatus {
	all := []api.ReaderStatus{}
	for _, st := range a.streams.Status() {
		all = append(all, api.ReaderStatus{Name: st.Name, Backlog: st.Backlog, Lost: st.Lost, Exceptions: st.Exceptions,
			LastFetchAt: instant(st.Fetched), LastAdvanceAt: instant(st.Advanced)})
	}
	return all
}

// cardStatus is nil where the spool is on no device that is known.
func cardStatus(w spool.Wear) *api.CardStatus {
	if w.Card.Name == "" {
		return nil
	}
	return &api.CardStatus{Name: w.Card.Name, Bytes: w.Card.Bytes, LifeUsedPercent: w.Card.LifeUsed, Spares: w.Card.Spares,
		DaysLeft: w.DaysLeft, Cycles: w.Cycles}
}

// source finds a source by its name.
func (a *Agent) source(name string) (*source, bool) {
	for _, s := range a.crew.sourceList() {
		if s.name == name {
			return s, true
		}
	}
	return nil, false
}
