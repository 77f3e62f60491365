package agent

import (
	"context"
	"net/http"

	"github.com/edgespool/edgespool/agent/api/history"
	"github.com/edgespool/edgespool/spool"
)

// A historyFamily is the detection history on the agent's server. Who may read
// sees detections; who may hand data in has files scored.
type historyFamily struct{ http.Handler }

// Keys are the headers that bring a token beside Authorization.
func (historyFamily) Keys() []string { return []string{"X-Api-Key"} }

// Needs and Refuse make it an api.Family.
func (historyFamily) Needs(r *http.Request) string {
	if r.Method == http.MethodPost {
		return "ingest"
	}
	return "consume"
}

func (historyFamily) Refuse(w http.ResponseWriter, code int, why string) {
	history.Refuse(w, code, why)
}

// mountHistory serves the detections of the spool.
func (a *Agent) mountHistory() {
	h := historyFamily{history.New(history.Parts{
		Store: a.spool, Records: a.spool, Judge: &scorer{agent: a, turn: make(chan struct{}, 1)}, ClockKnown: a.clock.Synchronised,
		Device: history.Device{Name: a.device.Name, Type: a.device.Type},
	})}
	for _, prefix := range history.Prefixes() {
		a.server.Mount(prefix, h)
	}
}

// detections takes what a source's detectors found.
type detections struct{ spool *spool.Spool }

// Detect makes detections a sampler.Detections.
func (d detections) Detect(ctx context.Context, found spool.Detection) error {
	_, err := d.spool.Detect(ctx, found)
	return err
}
