package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/spool"
)

func newInspectCommand() *cobra.Command {
	var dir string
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect --spool DIR",
		Short: "Look into a spool that no agent holds",
		Long: `Reads every sample in a spool that no agent holds and shows what is there:
records, streams, exceptions and damage. It changes nothing. The exit code is 4
if the spool is held or something is damaged.`,
		Example: "  edgespool inspect --spool /var/lib/edgespool\n  edgespool inspect --spool dataset/.edgespool --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := spool.Inspect(c.Context(), dir)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(r)
			} else {
				err = printReport(c.OutOrStdout(), r)
			}
			if err == nil && len(r.Damage) > 0 {
				err = &exitError{code: exitSpool}
			}
			return err
		},
	}
	c.Flags().StringVar(&dir, "spool", "", "spool folder")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	_ = c.MarkFlagRequired("spool") // fails only for a flag that is not there
	return c
}

// printReport writes the report for people; what is empty is left out.
func printReport(out io.Writer, r spool.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s: %d records, %s, on disk %s, sequences %d to before %d\n", r.Path, r.Records, size(r.Bytes), size(r.DiskBytes), r.FirstSequence, r.NextSequence)
	if len(r.Datasets) > 0 {
		fmt.Fprintln(w, "\nDATASET\tRECORDS\tSIZE\tSEQUENCES")
		for _, d := range r.Datasets {
			fmt.Fprintf(w, "%s\t%d\t%s\t%d to %d\n", d.Name, d.Records, size(d.Bytes), d.First, d.Last)
		}
	}
	if len(r.Streams) > 0 {
		fmt.Fprintln(w, "\nSTREAM\tNEXT\tBACKLOG\tSTORED\tALREADY THERE\tREJECTED\tLOST")
		for _, s := range r.Streams {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", s.Name, s.Next, s.Backlog, s.Stored, s.AlreadyThere, s.Rejected, s.Lost)
		}
	}
	if len(r.Segments) > 0 {
		fmt.Fprintln(w, "\nSEGMENT\tRECORDS\tSIZE\tON DISK")
		for _, s := range r.Segments {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", s.Name, s.Records, size(s.Bytes), size(s.DiskBytes))
		}
	}
	if len(r.Exceptions) > 0 {
		fmt.Fprintln(w, "\nEXCEPTION\tSEQUENCE\tNAME\tREASON")
		for _, e := range r.Exceptions {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", e.Stream, e.Sequence, e.Name, e.Reason)
		}
	}
	for _, d := range r.Damage {
		fmt.Fprintf(w, "DAMAGED: %s, records %d to %d: %s\n", d.Segment, d.First, d.Last, d.Reason)
	}
	for _, name := range r.Quarantine {
		fmt.Fprintf(w, "set aside: %s\n", name)
	}
	return w.Flush()
}
