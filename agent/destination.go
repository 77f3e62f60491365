package agent

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// destination is one destination, its streams and the worker between them.
type destination struct {
	term
	name, kind string
	config     DestinationConfig
	streams    []*spool.Stream
	worker     *uploader.Worker
	log        spool.Logger
	running    atomic.Bool
}

// newDestination opens a stream for each category, named NAME/CATEGORY, and
// gives them to a worker.
func newDestination(c DestinationConfig, a *Agent) (*destination, error) {
	kind := destinationKinds()[c.Type]
	room, err := kind.build(c.Room, a)
	if err != nil {
		return nil, fmt.Errorf("build destination %s: %w", c.Name, err)
	}
	d := &destination{name: c.Name, kind: c.Type, config: c, log: a.log}
	var feeds []uploader.Feed
	for _, category := range kind.categories(c.Room) {
		stream, err := a.spool.Stream(c.Name+"/"+category, category, spool.StreamOptions{Pin: true})
		if err != nil {
			return nil, fmt.Errorf("build destination %s: open stream: %w", c.Name, err)
		}
		d.streams = append(d.streams, stream)
		feeds = append(feeds, stream)
	}
	d.worker = uploader.NewWorker(uploader.Options{Name: c.Name, Destination: room, Feeds: feeds, Log: a.log})
	return d, nil
}

// releaseOthers lets go of what waits for destinations that are configured no
// longer: nothing would ever take it, and in the end it would fill the spool.
// Their streams stay where they are, for one of the same name that comes again.
func (a *Agent) releaseOthers() error {
	wanted := map[string]bool{}
	for _, d := range a.crew.destinationList() {
		for _, s := range d.streams {
			wanted[s.Name()] = true
		}
	}
	for _, info := range a.spool.Streams() {
		name, category, _ := strings.Cut(info.Name, "/")
		if wanted[info.Name] || !info.Pinned || category != info.Dataset || !names.MatchString(name) {
			continue
		}
		if _, err := a.spool.Stream(info.Name, info.Dataset, spool.StreamOptions{}); err != nil {
			return fmt.Errorf("let go of what waits for destination %s: %w", name, err)
		}
		a.log.Warn("destination is configured no longer; nothing waits for it any more", "destination", name,
			"category", category, "not delivered", info.Backlog)
	}
	return nil
}

// serve sends until ctx ends or Drain is done.
func (d *destination) serve(ctx context.Context) {
	d.running.Store(true)
	defer d.running.Store(false)
	if err := d.worker.Run(ctx); err != nil {
		d.log.Error("destination gave up, its records stay in the spool; a restart tries it again", "destination", d.name, "error", err)
	}
}

// status is the destination's part of the status page: its streams since they
// were made, and its worker since the start.
func (d *destination) status(next map[string]uint64) api.DestinationStatus {
	w := d.worker.Snapshot()
	st := api.DestinationStatus{Name: d.name, Type: d.kind, State: w.State, Error: w.Error, BytesSent: uint64(max(w.BytesSent, 0))}
	if !w.NextTry.IsZero() {
		st.NextTryAt = &w.NextTry
	}
	for _, s := range d.streams {
		records, bytes := s.Backlog()
		totals := s.Totals()
		st.Backlog += records
		st.BacklogBytes += bytes
		st.Stored += totals.Stored
		st.AlreadyThere += totals.AlreadyThere
		st.Rejected += totals.Rejected
		st.Lost += totals.Lost
		st.Streams = append(st.Streams, api.StreamStatus{Name: s.Name(), Next: next[s.Name()], Backlog: records, Lost: totals.Lost})
	}
	return st
}
