package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

// standardConfig is where the package and the README put the configuration.
const standardConfig = "/etc/edgespool/edgespool.yaml"

func newRunCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the agent until it is told to stop",
		Long: `Runs the agent until SIGTERM or SIGINT: it then stops its sources, sends what it
can within ten seconds, and closes the spool. A second signal ends it at once;
nothing that was acknowledged is lost by that. SIGHUP, or a change of the
configuration file, has it read again: sources and destinations whose section
changed begin anew, the others go on, and a faulty file changes nothing. Exit code
6 means that the spool's disk did not answer for a minute: the service manager
is to start the agent again.`,
		Example: "  edgespool run --config /etc/edgespool/edgespool.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			log := newLogger(c.ErrOrStderr(), cfg.Log.Threshold(), cfg.Log.Format)
			b := thisBuild()
			a, err := agent.Build(c.Context(), cfg, agent.Options{Version: b.Version, Built: b.Built, Log: log})
			if err != nil {
				return err
			}
			defer reloadOf(path, a, log)()
			return a.Run(c.Context())
		},
	}
	addConfigFlag(c, &path)
	return c
}

func newCheckCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file on this board",
		Long: `Reads a configuration file and reports every fault at once, each with line,
column and remedy; exit code 3 if there is one. Devices, folders and key files
that are not there are warnings only, since they may come. Nothing is opened
for writing.`,
		Example: "  edgespool check --config /etc/edgespool/edgespool.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if w := cfg.Warnings(); w != nil {
				fmt.Fprintln(c.ErrOrStderr(), w)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: OK (%s, %s)\n", path,
				counted(len(cfg.Sources), "source"), counted(len(cfg.Destinations), "destination"))
			return err
		},
	}
	addConfigFlag(c, &path)
	return c
}

func addConfigFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", standardConfig, "configuration file")
	_ = c.MarkFlagFilename("config", "yaml", "yml") // only completion uses it
}

// loadConfig reads the configuration; a file that cannot be read is a matter
// of configuration as well.
func loadConfig(path string) (*agent.Config, error) {
	cfg, err := agent.LoadConfig(path)
	if err != nil && exitCode(err) != exitConfig {
		return nil, &exitError{exitConfig, withHint(err, "name the file with --config; the README has a first one to start from")}
	}
	return cfg, err
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
