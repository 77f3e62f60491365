package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

// watchEvery is the time between two looks of status --watch.
const watchEvery = 2 * time.Second

// agentFlags say where the running agent is.
type agentFlags struct{ url, tokenFile string }

func (f *agentFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "url", "http://127.0.0.1:8347", "address of the running agent's API")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the API's token, where one is needed")
}

func (f *agentFlags) client() (*agent.Client, error) {
	var token []byte
	if f.tokenFile != "" {
		var err error
		if token, err = os.ReadFile(f.tokenFile); err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
	}
	return agent.NewClient(f.url, strings.TrimSpace(string(token)))
}

func newStatusCommand() *cobra.Command {
	var flags agentFlags
	var asJSON, watch bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show what the running agent is doing",
		Example: "  edgespool status\n  edgespool status --watch\n  edgespool status --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := flags.client()
			if err != nil {
				return err
			}
			show := printStatus
			if asJSON {
				show = func(w io.Writer, s agent.Status) error { return json.NewEncoder(w).Encode(s) }
			}
			if watch {
				return watchStatus(c, client, show)
			}
			s, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), s)
		},
	}
	flags.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the status as one JSON object a line")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on until interrupted")
	return c
}

// watchStatus shows the status again and again; on a terminal in place.
func watchStatus(c *cobra.Command, client *agent.Client, show func(io.Writer, agent.Status) error) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s, err := client.Status(c.Context())
		if c.Context().Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		if isTerminal(c.OutOrStdout()) {
			fmt.Fprint(c.OutOrStdout(), "\x1b[H\x1b[2J")
		}
		if err := show(c.OutOrStdout(), s); err != nil {
			return err
		}
		if !wait(c.Context(), tick.C) {
			return nil
		}
	}
}

// wait returns false when ctx has ended first.
func wait(ctx context.Context, tick <-chan time.Time) bool {
	select {
	case <-tick:
		return true
	case <-ctx.Done():
		return false
	}
}
