package agent

import (
	"errors"

	"github.com/edgespool/edgespool/agent/api"
	"github.com/edgespool/edgespool/agent/api/data"
)

// serveData: see the other one.
func (a *Agent) serveData(c data.Config) error {
	if !c.Enabled {
		return nil
	}
	return api.WithHint(errors.New("build data api: programs for 32-bit ARM do without it"),
		"leave api.data out, or run edgespool on a 64-bit system")
}
