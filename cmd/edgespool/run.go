package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

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
nothing that was acknowledged is lost by that. SIGHUP changes nothing. Exit code
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
			a, err := agent.Build(c.Context(), cfg, agent.Options{Version: thisBuild().Version, Log: log})
			if err != nil {
				return err
			}
			defer notReloading(log)()
			return a.Run(c.Context())
		},
	}
	addConfigFlag(c, &path)
	return c
}

// notReloading keeps SIGHUP from ending the agent: service managers and
// terminals that close send it, and samples must go on. The returned function
// ends that.
func notReloading(log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var done sync.WaitGroup
	done.Go(func() {
		for range hangups {
			log.Warn("SIGHUP changes nothing; a changed configuration counts after a restart")
		}
	})
	return func() {
		signal.Stop(hangups)
		close(hangups)
		done.Wait()
	}
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
