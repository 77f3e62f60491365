package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/edgespool/edgespool/agent"
)

// printDetectors writes who judges, and what was found.
func printDetectors(t *tabwriter.Writer, s agent.Status) {
	var lines []string
	for _, src := range s.Sources {
		d := src.Detect
		if d == nil {
			continue
		}
		if len(lines) == 0 {
			fmt.Fprintln(t, "\nSOURCE\tDETECTOR\tTYPE\tSTATE\tJUDGED\tANOMALIES\tLAST SCORE\tLAST ANOMALY")
		}
		score := "-"
		if d.LastJudgedAt != nil {
			score = fmt.Sprintf("%.2f", d.LastScore)
		}
		for _, det := range d.Detectors {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", src.Name, det.Name, det.Type, detectorState(det), det.Judged, det.Anomalies, score, ago(d.LastAnomalyAt))
		}
		lines = append(lines, fmt.Sprintf("%s: %d unjudged; of the normal ones %d not kept, %d kept around anomalies; alarms: %d told, %d joined, %d failed",
			src.Name, d.Unjudged, d.SampledOut, d.KeptAround, d.Alarms, d.AlarmsJoined, d.AlarmsFailed))
	}
	for _, line := range lines {
		fmt.Fprintln(t, line)
	}
}

// detectorState says how far one that learns has come.
func detectorState(d agent.DetectorStatus) string {
	if d.State == "learning" {
		return fmt.Sprintf("learning %d/%d", d.Learned, d.WarmUp)
	}
	return d.State
}

// printReaders writes the streams and namespaces of programs on site.
func printReaders(t *tabwriter.Writer, s agent.Status) {
	if len(s.Streams) > 0 {
		fmt.Fprintln(t, "\nSTREAM\tBACKLOG\tLAST FETCH\tLAST ADVANCE\tEXCEPTIONS\tLOST")
	}
	for _, st := range s.Streams {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%d\t%d\n", plain(st.Name), st.Backlog, sinceStart(st.LastFetchAt), sinceStart(st.LastAdvanceAt), st.Exceptions, st.Lost)
	}
	if len(s.Namespaces) > 0 {
		fmt.Fprintln(t, "\nNAMESPACE\tTO JUDGE\tJUDGED\tLOST\tTO POST")
	}
	for _, n := range s.Namespaces {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", n.Name, n.Backlog, n.Judged, n.Lost, n.Unposted)
	}
}

// sinceStart is when something was last done, as far as the agent remembers.
func sinceStart(at *time.Time) string {
	if at == nil {
		return "not since the start"
	}
	return ago(at)
}
