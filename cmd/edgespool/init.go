package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newInitCommand() *cobra.Command {
	var path string
	var listen bool
	f := agent.NewFirst()
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a first configuration for this board",
		Long: `Writes a configuration for the board that this is and for what is plugged into
it, into a file that must not exist yet. With --try it first listens to the
device on --port, or on the only USB port, as edgespool try does. The keys stay
in their files.`,
		Example: "  edgespool init --api-key-file /etc/edgespool/api-key\n  edgespool init --config press.yaml --try --port /dev/ttyUSB0",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := os.Lstat(path); err == nil {
				return fileExists(path)
			}
			if listen {
				t := agent.Trial{Port: f.Port, For: 5 * time.Second, Name: "sensor", In: c.InOrStdin(),
					Tell: func(text string) { fmt.Fprintln(c.ErrOrStderr(), text) }}
				if err := choosePort(&t); err != nil {
					return err
				}
				heard, err := agent.Try(c.Context(), t)
				if err != nil {
					return err
				}
				f.Source = heard.Source
			}
			text, err := f.Write()
			if err != nil {
				return err
			}
			if err := writeNew(path, text); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is written; see what it says, then: edgespool check --config %s\n", path, path)
			return err
		},
	}
	addConfigFlag(c, &path)
	fl := c.Flags()
	fl.BoolVar(&listen, "try", false, "listen to the device first")
	fl.StringVar(&f.Port, "port", "", "port of the device (default: every USB port)")
	fl.StringVar(&f.KeyFile, "api-key-file", "", "file with the project's API key (default: nothing is sent)")
	fl.StringVar(&f.HMACKeyFile, "hmac-key-file", "", "file with the project's HMAC key (default: nothing is signed)")
	fl.StringVar(&f.URL, "url", "", "ingestion service (default: Edge Impulse)")
	fl.StringVar(&f.Spool, "spool", f.Spool, "spool folder")
	fl.StringVar(&f.Root, "root", "/", "folder that holds the machine's proc, sys and dev")
	return c
}

// writeNew makes a file that must not be there.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fileExists(path)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func fileExists(path string) error {
	return withHint(fmt.Errorf("write configuration: %s is there already", path), "name another file with --config, or move that one away")
}
