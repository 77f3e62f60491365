package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newPortsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ports",
		Short: "List the serial ports with names that stay the same",
		Long: `Lists the serial ports of this machine with the names that stay the same when
devices are plugged in another order, and with what the board calls them. Write such a name, or usb:VENDOR:PRODUCT,
as port: in the configuration. No port is opened.`,
		Example: "  edgespool ports\n  edgespool ports --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ports, err := agent.Ports("/")
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(ports)
			}
			if len(ports) == 0 {
				fmt.Fprintln(c.ErrOrStderr(), "no serial ports; is the device plugged in?")
				return nil
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "PORT\tUSB\tSERIAL NUMBER\tDEVICE\tON THE BOARD")
			for _, p := range ports {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Stable(), p.USB(), p.SerialNumber, p.Describe(), onBoard(p.Label, p.Console))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON array")
	return c
}

// onBoard is what a port is on the board, empty for an adapter.
func onBoard(label string, console bool) string {
	if console {
		return strings.TrimPrefix(label+", the console", ", ")
	}
	return label
}
