package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/edgespool/edgespool/agent"
	"github.com/edgespool/edgespool/spool"
)

func newInspectCommand() *cobra.Command {
	var dir, salvage string
	var asJSON bool
	c := &cobra.Command{
		Use:   "inspect --spool DIR [--salvage DIR]",
		Short: "Look into a spool, damaged or not, and save what can be read",
		Long: `Reads every sample in a spool and shows what is there: records, streams,
exceptions, damage and what can still be read of it. It changes nothing, needs
no place to write, and works on a read-only disk and beside a running agent,
whose figures are then those of a moment. The exit code is 0 if all is well and
4 if something is damaged or an agent holds the spool.

With --salvage every sample that can be read, from the quarantine too, is
written to another folder as export does it: training/, testing/ and so on with
info.labels. --spool may then also name a single segment, a store that was set
aside, or a damaged chunk. A second run adds what is new. The exit code is 0 if
everything that can be read was written, and 5 if some was refused.`,
		Example: `  edgespool inspect --spool /var/lib/edgespool
  edgespool inspect --spool dataset/.edgespool --json
  edgespool inspect --spool /var/lib/edgespool --salvage /media/usb/saved
  edgespool inspect --spool /mnt/card/quarantine/seg-0000000000000001-01795319682909967238 --salvage saved`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if salvage != "" {
				return runSalvage(c, agent.ExportConfig{Spool: dir, To: salvage, Salvage: true}, asJSON)
			}
			r, err := spool.Inspect(c.Context(), dir)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(c.OutOrStdout()).Encode(r)
			} else {
				err = printReport(c.OutOrStdout(), r)
			}
			if err == nil && (r.Held || len(r.Damage) > 0) {
				err = &exitError{code: exitSpool}
			}
			return err
		},
	}
	c.Flags().StringVar(&dir, "spool", "", "spool folder; with --salvage also a store or a file of its quarantine")
	c.Flags().StringVar(&salvage, "salvage", "", "write what can be read to this dataset folder")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	_ = c.MarkFlagRequired("spool") // fails only for a flag that is not there
	return c
}

// runSalvage writes what can be read, and says how much it was.
func runSalvage(c *cobra.Command, conf agent.ExportConfig, asJSON bool) error {
	conf.Refused = func(name, reason string) { fmt.Fprintf(c.ErrOrStderr(), "not written: %s: %s\n", name, reason) }
	r, err := agent.Export(c.Context(), conf)
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(c.OutOrStdout()).Encode(r)
	} else {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%d samples salvaged to %s, %d were there already\n", r.Written, conf.To, r.AlreadyThere)
	}
	if err == nil && r.Rejected > 0 {
		err = &exitError{code: exitRejected}
	}
	return err
}

// printReport writes the report for people; what is empty is left out.
func printReport(out io.Writer, r spool.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if r.Held {
		fmt.Fprintln(w, "An agent holds this spool; these are the figures of a moment.")
	}
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
		fmt.Fprintln(w, "\nSEGMENT\tRECORDS\tREADABLE\tSIZE\tON DISK")
		for _, s := range r.Segments {
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", s.Name, s.Records, s.Readable, size(s.Bytes), size(s.DiskBytes))
		}
	}
	if len(r.Exceptions) > 0 {
		fmt.Fprintln(w, "\nEXCEPTION\tSEQUENCE\tNAME\tREASON")
		for _, e := range r.Exceptions {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", e.Stream, e.Sequence, e.Name, e.Reason)
		}
	}
	if d := r.Detections; d.Detections > 0 {
		fmt.Fprintf(w, "\n%d detections, on disk %s, ids %d to %d\n", d.Detections, size(d.DiskBytes), d.First, d.Last)
	}
	if len(r.Damage)+len(r.Quarantine)+len(r.Leftovers) > 0 {
		fmt.Fprintln(w)
	}
	for _, d := range r.Damage {
		if d.Records == 0 {
			fmt.Fprintf(w, "DAMAGED: %s: %s\n", d.Segment, d.Reason)
			continue
		}
		fmt.Fprintf(w, "DAMAGED: %s, %d records from %d to %d %s: %s\n", d.Segment, d.Records, d.First, d.Last, d.Dataset, d.Reason)
	}
	for _, q := range r.Quarantine {
		fmt.Fprintf(w, "set aside: %s, %s, %d records can be read\n", q.Name, size(q.DiskBytes), q.Readable)
	}
	for _, l := range r.Leftovers {
		fmt.Fprintf(w, "left over: %s\n", l)
	}
	if r.Readable < r.Records || len(r.Quarantine) > 0 {
		fmt.Fprintf(w, "%d of %d records can be read; inspect --spool %s --salvage DIR saves them and those that were set aside\n", r.Readable, r.Records, r.Path)
	}
	return w.Flush()
}
