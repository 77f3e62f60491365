package agent

import (
	"maps"
	"slices"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/directory"
	"github.com/edgespool/edgespool/sampler/listener"
	"github.com/edgespool/edgespool/sampler/serial"
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataapi"
	"github.com/edgespool/edgespool/uploader/dataset"
	"github.com/edgespool/edgespool/uploader/edgeimpulse"
)

// sourceKind is how a type of source is configured and built.
type sourceKind struct {
	// defaults returns a pointer to the room's Config.
	defaults func() any
	// choice is how the configuration labels; empty where a rule decides.
	choice func(room any) sampler.Choice
	build  func(room any, s sampler.Setup) (sampler.Source, error)
}

// destinationKind is how a type of destination is configured and built.
type destinationKind struct {
	defaults func() any
	// categories are the datasets that go there.
	categories func(room any) []string
	build      func(room any, a *Agent) (uploader.Destination, error)
}

// sourceKinds is the one list of the types of sources.
func sourceKinds() map[string]sourceKind {
	return map[string]sourceKind{
		"directory": newSourceKind(directory.DefaultConfig,
			func(*directory.Config) sampler.Choice { return sampler.Choice{} },
			func(c *directory.Config, s sampler.Setup) (sampler.Source, error) { return directory.New(s, *c) }),
		"ingestion": newSourceKind(listener.DefaultConfig,
			func(*listener.Config) sampler.Choice { return sampler.Choice{} },
			func(c *listener.Config, s sampler.Setup) (sampler.Source, error) {
				return listener.New(s, *c, uploader.NewSecret(c.APIKeyFile, c.APIKeyEnv, c.APIKeyCredential).Reveal), nil
			}),
		"serial": newSourceKind(serial.DefaultConfig,
			func(c *serial.Config) sampler.Choice { return sampler.Choice{Label: c.Label, Category: c.Category} },
			func(c *serial.Config, s sampler.Setup) (sampler.Source, error) { return serial.New(s, *c) }),
	}
}

// destinationKinds is the one list of the types of destinations.
func destinationKinds() map[string]destinationKind {
	return map[string]destinationKind{
		"edge-impulse": newDestinationKind(edgeimpulse.DefaultConfig,
			func(c *edgeimpulse.Config) []string { return c.Categories },
			func(c *edgeimpulse.Config, a *Agent) (uploader.Destination, error) {
				return edgeimpulse.New(*c, edgeimpulse.Deps{Version: a.version, Dated: a.spool.Dated, ClockKnown: a.clock.Synchronised})
			}),
		"dataset": newDestinationKind(dataset.DefaultConfig,
			func(c *dataset.Config) []string { return c.Categories },
			func(c *dataset.Config, a *Agent) (uploader.Destination, error) {
				return dataset.New(*c, dataset.Deps{Dated: a.spool.Dated})
			}),
		"data-api": newDestinationKind(dataapi.DefaultConfig,
			func(c *dataapi.Config) []string { return c.Categories },
			func(c *dataapi.Config, a *Agent) (uploader.Destination, error) {
				return dataapi.New(*c, dataapi.Deps{Version: a.version, Dated: a.spool.Dated, Memory: a.spool,
					Envelope: a.spool.Envelope, Detections: a.spool, Log: a.log})
			}),
	}
}

// newSourceKind gives a room's typed functions the form of the list.
func newSourceKind[C any](defaults func() C, choice func(*C) sampler.Choice, build func(*C, sampler.Setup) (sampler.Source, error)) sourceKind {
	return sourceKind{
		defaults: func() any { c := defaults(); return &c },
		choice:   func(room any) sampler.Choice { return choice(room.(*C)) },
		build:    func(room any, s sampler.Setup) (sampler.Source, error) { return build(room.(*C), s) },
	}
}

// newDestinationKind gives a room's typed functions the form of the list.
func newDestinationKind[C any](defaults func() C, categories func(*C) []string,
	build func(*C, *Agent) (uploader.Destination, error)) destinationKind {
	return destinationKind{
		defaults:   func() any { c := defaults(); return &c },
		categories: func(room any) []string { return categories(room.(*C)) },
		build:      func(room any, a *Agent) (uploader.Destination, error) { return build(room.(*C), a) },
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// buildAll makes every source and destination of the configuration; nothing
// is started.
func (a *Agent) buildAll(c *Config) error {
	for _, sc := range c.Sources {
		s, err := newSource(sc, a)
		if err != nil {
			return err
		}
		a.crew.sources = append(a.crew.sources, s)
	}
	a.mountIngestion()
	for _, dc := range c.Destinations {
		d, err := newDestination(dc, a)
		if err != nil {
			return err
		}
		a.crew.destinations = append(a.crew.destinations, d)
	}
	return a.releaseOthers()
}

// mountIngestion serves the source that takes samples on the agent's own port,
// or none.
func (a *Agent) mountIngestion() {
	for _, s := range a.crew.sourceList() {
		if h, ok := s.room.(*listener.Source); ok && s.config.Room.(*listener.Config).Listen == "" {
			a.server.MountIngestion(h)
			return
		}
	}
	a.server.MountIngestion(nil)
}
