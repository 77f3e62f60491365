package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newExportCommand() *cobra.Command {
	var c agent.ExportConfig
	var asJSON bool
	command := &cobra.Command{
		Use:   "export --spool DIR --to DIR",
		Short: "Write the samples of a spool as a dataset folder",
		Long: `Writes the samples in a spool that no agent holds into a folder training/,
testing/ and so on with info.labels, which edgespool upload and the uploader of
Edge Impulse read. The spool is not changed; another run adds what is new.`,
		Example: "  edgespool export --spool /var/lib/edgespool --to /media/usb/dataset",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c.Refused = func(name, reason string) {
				fmt.Fprintf(command.ErrOrStderr(), "not written: %s: %s\n", name, reason)
			}
			r, err := agent.Export(command.Context(), c)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(command.OutOrStdout()).Encode(r)
			} else {
				_, err = fmt.Fprintf(command.OutOrStdout(), "%d samples written to %s, %d were there already\n", r.Written, c.To, r.AlreadyThere)
			}
			if err == nil && r.Rejected > 0 {
				err = &exitError{code: exitRejected}
			}
			return err
		},
	}
	fs := command.Flags()
	fs.StringVar(&c.Spool, "spool", "", "spool folder")
	fs.StringVar(&c.To, "to", "", "dataset folder, made if it is not there")
	fs.StringVar(&c.HMACKeyFile, "hmac-key-file", "", "file with the HMAC key that signs windows (default: unsigned)")
	fs.BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	for _, name := range []string{"spool", "to"} {
		_ = command.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	return command
}
