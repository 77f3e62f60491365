package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
)

func newBoardCommand() *cobra.Command {
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "board",
		Short: "Say which board this is, and what to mind on it",
		Long: `Says which board this is and by what it was recognised, where its serial ports
are, which of them is the console or in use, what the spool's disk and memory
allow, and what to do about it. No port is opened. What nobody could verify of a
board is said as well.

--root looks at a copy of another machine's /proc, /sys and /dev instead.`,
		Example: "  edgespool board\n  edgespool board --json\n  edgespool board list\n  edgespool board show raspberry-pi-4",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r := agent.DescribeBoard(root)
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(r)
			}
			return printBoard(c.OutOrStdout(), r)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	c.Flags().StringVar(&root, "root", "/", "folder that holds the machine's proc, sys and dev")
	c.AddCommand(
		&cobra.Command{Use: "list", Short: "List the boards that are known", Example: "  edgespool board list", Args: cobra.NoArgs, RunE: listBoards},
		&cobra.Command{Use: "show NAME", Short: "Show the file of a board", Example: "  edgespool board show siemens-iot2050-basic",
			Args: cobra.ExactArgs(1), RunE: showBoard},
	)
	return c
}

func listBoards(c *cobra.Command, _ []string) error {
	for _, b := range agent.Boards() {
		if _, err := fmt.Fprintf(c.OutOrStdout(), "%-25s %s\n", b.Name, b.Title); err != nil {
			return err
		}
	}
	return nil
}

func showBoard(c *cobra.Command, args []string) error {
	for _, b := range agent.Boards() {
		if b.Name == args[0] {
			_, err := io.WriteString(c.OutOrStdout(), b.Text)
			return err
		}
	}
	return &exitError{exitUsage, withHint(fmt.Errorf("show board: %q is not known", args[0]), "edgespool board list shows those that are")}
}

// printBoard writes the report for people.
func printBoard(w io.Writer, r *agent.BoardReport) error {
	b := r.Board
	build := b.GOARCH
	if b.GOARM > 0 {
		build = fmt.Sprintf("armv%d", b.GOARM)
	}
	clock := b.RTC
	if clock != "battery" {
		clock += ": without power the time is lost until the network sets it, and samples are dated then"
	}
	fmt.Fprintf(w, "board:    %s (%s)\nbecause:  %s\nbuild:    %s\nmemory:   %s, limits of a %s board\nstorage:  %s: %s\nclock:    %s\n\n",
		b.Title, b.Name, r.Because, strings.Join(append([]string{build}, b.Also...), ", also "), size(r.MemoryBytes), r.MemoryClass,
		b.Storage, b.Advice, clock)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var notes strings.Builder
	for i, p := range r.Ports {
		if i == 0 {
			fmt.Fprintln(t, "PORT\tNAME\tDEVICE\tMODE\tRS-485\tBAUD UP TO\tIN USE BY")
		}
		use := p.UsedBy
		if p.Console {
			use = "the console"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", p.Label, orDash(p.Path), orDash(p.Device), p.Mode, orDash(p.Direction), p.MaxBaud, use)
		note(&notes, p.Label+": ", p.Note)
		note(&notes, p.Label+", for RS-485: ", p.Tool)
	}
	for _, text := range b.Notes {
		note(&notes, "", text)
	}
	for _, a := range r.Warnings {
		note(&notes, "\nwarning: ", a.Problem)
		note(&notes, "  ", a.Remedy)
	}
	note(&notes, "\nnot verified: ", strings.Join(b.Unverified, ", "))
	if !r.Known {
		note(&notes, "", "\nThis board is not known; board-configs/README.md says how to add it.")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, notes.String())
	return err
}

// note adds a line, if there is anything to say.
func note(to *strings.Builder, what, text string) {
	if text != "" {
		to.WriteString(what + text + "\n")
	}
}
