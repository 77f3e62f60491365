package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newDoctorCommand() *cobra.Command {
	var path string
	var flags agentFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the whole site and say what to do",
		Long: `Looks at everything that a configuration needs on this board: the user's
rights, the ports and folders, the spool's file system and its room, the clock,
whether each destination answers and takes its key, and what the running agent
says. It stores nothing anywhere and changes nothing. Exit code 1 if something
does not work, 3 for a faulty configuration.`,
		Example: "  sudo -u edgespool edgespool doctor\n  edgespool doctor --config edgespool.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			client, err := flags.client()
			if err != nil {
				return err
			}
			found := agent.Examine(c.Context(), cfg, client, thisBuild().Version)
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(found)
			} else {
				err = printFindings(c.OutOrStdout(), found)
			}
			for _, f := range found {
				if f.Grade == agent.FindingBad {
					return errors.Join(err, errors.New("something does not work"))
				}
			}
			return err
		},
	}
	addConfigFlag(c, &path)
	flags.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printFindings(w io.Writer, found []agent.Finding) error {
	var err error
	for _, f := range found {
		_, werr := fmt.Fprintf(w, "%-4s  %s: %s\n", f.Grade, f.Where, f.What)
		err = errors.Join(err, werr)
		if f.Remedy != "" {
			_, werr = fmt.Fprintf(w, "      %s\n", f.Remedy)
			err = errors.Join(err, werr)
		}
	}
	return err
}
