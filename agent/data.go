package agent

import (
	"fmt"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/agent/api/data"
)

// serveData mounts the Data API, if it is to be served.
func (a *Agent) serveData(c data.Config) error {
	if !c.Enabled {
		return nil
	}
	deps := data.Deps{Spool: a.spool, Log: a.log, Device: a.device, Now: a.clock.Now, Address: "http://" + a.Address(), Detections: a.spool}
	service, err := data.New(c, deps)
	if err != nil {
		return fmt.Errorf("build data api: %w", err)
	}
	a.data = servedData{service}
	a.server.Mount(data.Prefix, service)
	return nil
}

// A servedData is the service with what the status page says of it.
type servedData struct{ *data.Service }

// Status makes it a dataService.
func (s servedData) Status() (all []api.NamespaceStatus) {
	for _, n := range s.Namespaces() {
		all = append(all, api.NamespaceStatus(n))
	}
	return all
}
