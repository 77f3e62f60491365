// Package data serves the Data API: it takes JSON objects by namespace, one by
// one or as an upload of lines, judges each and gives the results by request,
// as a file and by webhook. All of it lies in the spool: objects are records
// of the dataset data-NAMESPACE, results records of results-NAMESPACE, and
// the work between them is a stream's. The wire is that of SafetyKit.
package data

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// A Judge gives an opinion of an object. An error is about this object and
// final: it becomes the object's result. When ctx ends nothing is concluded.
type Judge interface {
	Judge(ctx context.Context, namespace string, object json.RawMessage) (Output, error)
}

// Detections takes what was found; the spool's history is one.
type Detections interface {
	Detect(ctx context.Context, found ...spool.Detection) (ids []uint64, err error)
}

// Logger is the part of log/slog's Logger that the service uses.
type Logger interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// Deps are what the service is given by the agent.
type Deps struct {
	Spool  *spool.Spool
	Log    Logger
	Device sampler.Device
	// Address is the API's own, such as http://127.0.0.1:8347, for links
	// that nobody asked for.
	Address string
	// Now dates objects as they come.
	Now func() spool.Instant
	// Judge replaces the rules of the namespaces' settings; may be nil.
	Judge Judge
	// Detections takes every result; may be nil.
	Detections Detections
	// Transport replaces the network for webhooks, in tests.
	Transport http.RoundTripper
}

// A Service is the Data API of one agent: an http.Handler for /v1/data/, and
// Run, which judges and posts.
type Service struct {
	config   Config
	deps     Deps
	settings *settingsStore
	imports  *importStore
	places   chan struct{} // of adds that are held in memory
	posted   *poster       // nil without a webhook
	work     chan struct{} // there may be objects to judge
	opened   uint64        // what came before is committed

	keyMu sync.Mutex
	key   []byte // of signed addresses

	mu         sync.Mutex
	namespaces map[string]*namespace
}

// addsAtOnce is how many adds may be held in memory at a time.
const addsAtOnce = 4

// New makes the service on an open spool; it starts nothing.
func New(c Config, d Deps) (*Service, error) {
	s := &Service{
		config: c, deps: d, settings: newSettingsStore(d.Spool), imports: newImportStore(d.Spool),
		places: make(chan struct{}, addsAtOnce), work: make(chan struct{}, 1),
		namespaces: map[string]*namespace{}, opened: d.Spool.Stats().NextSequence,
	}
	if s.deps.Judge == nil {
		s.deps.Judge = rulesJudge{s.settings}
	}
	if c.Webhook.URL != "" {
		s.posted = newPoster(s)
	}
	for _, info := range d.Spool.Streams() {
		name, ours := strings.CutPrefix(info.Name, judgeStream)
		if !ours {
			continue
		}
		if _, err := s.openNamespace(name); err != nil {
			return nil, fmt.Errorf("open namespace %s: %w", name, err)
		}
	}
	if s.posted == nil {
		return s, s.forgetPosting()
	}
	return s, nil
}

// Run judges objects and posts results until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { s.judgeAll(ctx) })
	if s.posted != nil {
		both.Go(func() { s.posted.run(ctx) })
	}
	both.Wait()
}

// wake makes the judging look for objects.
func (s *Service) wake() { kick(s.work) }

func kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
