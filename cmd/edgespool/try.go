package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newTryCommand() *cobra.Command {
	var t agent.Trial
	c := &cobra.Command{
		Use:   "try [--port PORT]",
		Short: "Listen to a device and propose its configuration",
		Long: `Listens for some seconds to what a device sends and prints a configuration with
a source for it: speed, format, columns and rate. Without --baud the usual speeds
are tried. --port is a device, usb:VENDOR:PRODUCT, tcp://HOST:PORT, a file with
what a device has sent, or - for standard input; without it, the only USB port
there is. Nothing is sent to the device, but most boards restart when their port
is opened. The agent must not read the port meanwhile.`,
		Example: "  edgespool try\n  edgespool try --port /dev/ttyUSB0 --baud 9600 --for 1m\n  edgespool try --port tcp://10.0.0.7:4001 > /etc/edgespool/conf.d/press.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := choosePort(&t); err != nil {
				return err
			}
			if t.For <= 0 {
				return &exitError{exitUsage, errors.New("--for must be longer than nothing, such as 5s")}
			}
			t.In = c.InOrStdin()
			t.Tell = func(text string) { fmt.Fprintln(c.ErrOrStderr(), text) }
			heard, err := agent.Try(c.Context(), t)
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), heard.Source)
			return err
		},
	}
	fs := c.Flags()
	fs.StringVar(&t.Port, "port", "", "port, file or - (default: the only USB port)")
	fs.IntVar(&t.Baud, "baud", 0, "speed (default: the usual ones are tried)")
	fs.DurationVar(&t.For, "for", 5*time.Second, "how long to listen")
	fs.StringVar(&t.Name, "name", "sensor", "name of the source")
	return c
}

// choosePort takes the only port that something is plugged into, if none is
// given.
func choosePort(t *agent.Trial) error {
	if t.Port != "" {
		return nil
	}
	ports, err := agent.Ports("/")
	if err != nil {
		return err
	}
	found := 0
	for _, p := range ports {
		if p.USB() != "" {
			t.Port = p.Stable()
			found++
		}
	}
	if found != 1 {
		return &exitError{exitUsage, withHint(fmt.Errorf("%d USB ports are there, so one has to be named", found),
			"name the port with --port; edgespool ports lists them")}
	}
	return nil
}
