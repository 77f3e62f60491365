package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
	"github.com/edgespool/edgespool/spool"
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

// printStatus writes the status as tables for people.
func printStatus(w io.Writer, s agent.Status) error {
	clock := "clock synchronised"
	if !s.Clock.Synchronised {
		clock = "clock not synchronised"
	}
	fmt.Fprintf(w, "edgespool %s, up %v, device %s (%s), %s\n", s.Version, time.Duration(s.UptimeS)*time.Second, s.Device.Name, s.Device.Type, clock)
	fmt.Fprintf(w, "spool: %s, %s on disk of %s, next sequence %d, %s skipped, %d lost, %d damaged%s\n\n",
		counted(int(s.Spool.Records), "record"), size(s.Spool.DiskBytes), spool.Size(s.Spool.MaxBytes), s.Spool.NextSequence,
		counted(int(s.Spool.Duplicates), "duplicate"), s.Spool.Lost, s.Spool.Damaged, spoolTrouble(s))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SOURCE\tTYPE\tSTATE\tSAMPLES\tREADINGS\tREJECTED\tLABEL\tCATEGORY")
	for _, src := range s.Sources {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", src.Name, src.Type, src.State, src.Samples, src.Readings, src.Rejected,
			orDash(src.Label), orDash(src.Category))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "\nDESTINATION\tTYPE\tSTATE\tBACKLOG\tSTORED\tALREADY THERE\tREJECTED\tLOST")
	for _, d := range s.Destinations {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", d.Name, d.Type, d.State, d.Backlog, d.Stored, d.AlreadyThere, d.Rejected, d.Lost)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printTroubles(w, s)
}

// printTroubles says below the tables why something waits or has failed.
func printTroubles(w io.Writer, s agent.Status) error {
	var lines []string
	for _, src := range s.Sources {
		if src.Error != "" {
			lines = append(lines, src.Name+": "+src.Error)
		}
		if src.LastBad != "" {
			lines = append(lines, src.Name+", last bad: "+src.LastBad)
		}
	}
	for _, d := range s.Destinations {
		if d.Error != "" {
			lines = append(lines, d.Name+": "+d.Error+nextTry(d))
		}
	}
	for i, line := range lines {
		lines[i] = plain(line) + "\n"
	}
	if len(lines) > 0 {
		lines[0] = "\n" + lines[0]
	}
	_, err := io.WriteString(w, strings.Join(lines, ""))
	return err
}

func spoolTrouble(s agent.Status) string {
	switch {
	case s.Spool.ReadOnly:
		return ", READ-ONLY"
	case s.Spool.Full:
		return ", FULL"
	}
	return ""
}

func nextTry(d agent.DestinationStatus) string {
	if d.NextTryAt == nil {
		return ""
	}
	return fmt.Sprintf(" (next try in %v)", max(0, time.Until(*d.NextTryAt)).Round(time.Second))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return plain(s)
}

// plain keeps control characters of a label or an error off the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
