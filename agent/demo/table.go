package demo

import (
	"fmt"
	"io"
)

// print writes the table, what was checked beside it, and every fault.
func (v *verdict) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-14s %8s %8s %9s %10s %9s\n", "", "made", "spooled", "uploaded", "duplicates", "rejected")
	var sum row
	for _, r := range v.rows {
		r.print(w)
		sum.made += r.made
		sum.spooled += r.spooled
		sum.uploaded += r.uploaded
		sum.duplicate += r.duplicate
		sum.rejected += r.rejected
	}
	sum.what = "all"
	sum.print(w)
	fmt.Fprintf(w, "\n%d documents arrived with a signature that holds.\n", v.signed)
	fmt.Fprintf(w, "%d of %d readings are in a window; the others fell when the agent was killed, or to a window cut short.\n", v.sampled, v.readings)
	fmt.Fprintln(w, "\nThe machine that shook was")
	for _, p := range v.proofs {
		fmt.Fprintf(w, "  %s\n", p)
	}
	for _, f := range v.faults {
		fmt.Fprintf(w, "FAULT: %s\n", f)
	}
	if len(v.faults) == 0 {
		fmt.Fprintln(w, "Every sample arrived exactly once, and nothing else did.")
	}
}

func (r row) print(w io.Writer) {
	fmt.Fprintf(w, "%-14s %8d %8d %9d %10d %9d\n", r.what, r.made, r.spooled, r.uploaded, r.duplicate, r.rejected)
}
