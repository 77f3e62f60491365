//go:build !arm

package agent

import (
	"github.com/edgespool/edgespool/uploader"
	"github.com/edgespool/edgespool/uploader/dataapi"
)

// dataAPIKind makes destinations of the type data-api. The programs for 32-bit
// ARM do without: they must not be larger than 13 MB.
func dataAPIKind() (kind destinationKind, built bool) {
	return newDestinationKind(dataapi.DefaultConfig,
		func(c *dataapi.Config) []string { return c.Categories },
		func(c *dataapi.Config, a *Agent) (uploader.Destination, error) {
			return dataapi.New(*c, dataapi.Deps{Version: a.version, Dated: a.spool.Dated, Memory: a.spool,
				Envelope: a.spool.Envelope, Detections: a.spool, Log: a.log})
		}), true
}
