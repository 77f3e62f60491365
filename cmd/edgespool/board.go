package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
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
			r, err := agent.DescribeBoard(root)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(r)
			}
			return printBoard(c.OutOrStdout(), r)
		},
	}
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&root, "root", "/", "folder that holds the machine's proc, sys and dev")
	c.AddCommand(newBoardList(&asJSON), newBoardShow(&asJSON))
	return c
}

func newBoardList(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the boards that are known",
		Example: "  edgespool board list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := agent.Boards()
			if err != nil {
				return err
			}
			if *asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(list)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, b := range list {
				fmt.Fprintf(w, "%s\t%s\n", b.Name, b.Title)
			}
			return w.Flush()
		},
	}
}

func newBoardShow(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show the file of a board",
		Example: "  edgespool board show siemens-iot2050-basic",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			list, err := agent.Boards()
			if err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(b *agent.Board) bool { return b.Name == args[0] })
			switch {
			case i < 0:
				return &exitError{exitUsage, withHint(fmt.Errorf("show board: %q is not known", args[0]), "edgespool board list shows those that are")}
			case *asJSON:
				return json.NewEncoder(c.OutOrStdout()).Encode(list[i])
			}
			_, err = io.WriteString(c.OutOrStdout(), list[i].Text())
			return err
		},
	}
}

// clockWords say what a kind of clock means for samples.
var clockWords = map[string]string{
	"none":    "none on the board: after a power cut the time is wrong until the network sets it, and samples are dated then",
	"soc":     "in the processor, forgets without power: the time is wrong until the network sets it, and samples are dated then",
	"cell":    "keeps the time once a cell is fitted",
	"battery": "keeps the time without power",
}

// printBoard writes the report for people.
func printBoard(w io.Writer, r *agent.BoardReport) error {
	b := r.Board
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "board:\t%s (%s)\nbecause:\t%s\nbuild:\t%s\n", b.Title, b.Name, r.Because, builds(b))
	fmt.Fprintf(t, "memory:\t%s, limits of a %s board\n", size(r.MemoryBytes), r.MemoryClass)
	if b.Storage.Kind != "" {
		fmt.Fprintf(t, "storage:\t%s: %s\n", b.Storage.Kind, b.Storage.Advice)
	}
	clock := clockWords[b.RTC]
	if r.RTC && !r.Known {
		clock = "there is one"
	}
	fmt.Fprintf(t, "clock:\t%s\n", orDash(clock))
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Ports) > 0 {
		fmt.Fprintln(t, "\nPORT\tDEVICE\tMODE\tRS-485\tBAUD UP TO\t")
	}
	for _, p := range r.Ports {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Label, portName(p), p.Mode, orDash(p.Direction), orDash(baud(p.MaxBaud)), portUse(p))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printBoardNotes(w, r)
}

// printBoardNotes writes what does not fit into a table.
func printBoardNotes(w io.Writer, r *agent.BoardReport) error {
	var s strings.Builder
	for _, a := range r.Warnings {
		fmt.Fprintf(&s, "\nwarning: %s\n  %s\n", a.Problem, a.Remedy)
	}
	lines := r.Board.Notes
	for _, p := range r.Ports {
		if p.Note != "" {
			lines = append(lines[:len(lines):len(lines)], p.Label+": "+p.Note)
		}
		if p.Tool != "" {
			lines = append(lines[:len(lines):len(lines)], p.Label+", for RS-485: "+p.Tool)
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(&s, "\n%s\n", strings.Join(lines, "\n"))
	}
	if len(r.Board.Unverified) > 0 {
		fmt.Fprintf(&s, "\nnot verified: %s\n", strings.Join(r.Board.Unverified, ", "))
	}
	if !r.Known {
		fmt.Fprintln(&s, "\nThis board is not known; board-configs/README.md says how to add it.")
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// builds names what scripts/build makes for the board.
func builds(b *agent.Board) string {
	name := b.GOARCH
	if b.GOARM > 0 {
		name = fmt.Sprintf("armv%d", b.GOARM)
	}
	if len(b.Also) > 0 {
		name += " (also " + strings.Join(b.Also, ", ") + ")"
	}
	return name
}

// portName is where a port is: the name that stays, and what it leads to now.
func portName(p agent.BoardPort) string {
	switch {
	case p.Path == "":
		return "not there"
	case p.Path != p.Device:
		return p.Path + " -> " + strings.TrimPrefix(p.Device, "/dev/")
	}
	return p.Path
}

// portUse says who else has the port.
func portUse(p agent.BoardPort) string {
	if p.UsedBy != "" && !p.Console {
		return "in use by " + p.UsedBy
	}
	return onBoard("", p.Console)
}

func baud(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
