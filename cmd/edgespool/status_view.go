package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/edgespool/edgespool/agent"
	"github.com/edgespool/edgespool/spool"
)

// printStatus writes the status as tables for people.
func printStatus(w io.Writer, s agent.Status) error {
	clock := "clock synchronised"
	if !s.Clock.Synchronised {
		clock = "clock not synchronised"
	}
	fmt.Fprintf(w, "edgespool %s, up %v, device %s (%s), %s\n", s.Version, time.Duration(s.UptimeS)*time.Second, s.Device.Name, s.Device.Type, clock)
	fmt.Fprintf(w, "spool: %s, %s on disk of %s, next sequence %d, %s skipped, %d lost, %d damaged%s\n",
		counted(int(s.Spool.Records), "record"), size(s.Spool.DiskBytes), spool.Size(s.Spool.MaxBytes), s.Spool.NextSequence,
		counted(int(s.Spool.Duplicates), "duplicate"), s.Spool.Lost, s.Spool.Damaged, spoolState(s.Spool))
	fmt.Fprintf(w, "at risk: %s\n", atRisk(s))
	if c := s.Spool.Card; c != nil || s.Spool.WrittenBytes > 0 {
		fmt.Fprintf(w, "card: %s\n", cardText(s.Spool))
	}
	if d := s.Detections; d != nil && d.Count > 0 {
		fmt.Fprintf(w, "detections: %d in the history, %s of %s\n", d.Count, size(d.Bytes), spool.Size(d.MaxBytes))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSOURCE\tTYPE\tSTATE\tLAST SAMPLE\tSAMPLES\tREADINGS\tREJECTED\tLABEL\tCATEGORY")
	for _, src := range s.Sources {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", src.Name, src.Type, src.State, ago(src.LastSampleAt), src.Samples, src.Readings,
			src.Rejected, orDash(src.Label), orDash(src.Category))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printDetectors(t, s)
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
	printReaders(t, s)
	if err := t.Flush(); err != nil {
		return err
	}
	return printTroubles(w, s)
}

// printTroubles says below the tables why something waits or has failed, and
// what there is to do.
func printTroubles(w io.Writer, s agent.Status) error {
	lines := spoolTroubles(s)
	for _, src := range s.Sources {
		if src.Error != "" {
			lines = append(lines, src.Name+": "+src.Error)
		}
		if src.LastBad != "" {
			lines = append(lines, src.Name+", last bad: "+src.LastBad)
		}
		if src.Detect == nil {
			continue
		}
		for _, d := range src.Detect.Detectors {
			if d.Error != "" {
				lines = append(lines, src.Name+", detector "+d.Name+": "+d.Error)
			}
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

func spoolTroubles(s agent.Status) []string {
	var lines []string
	if s.Spool.Error != "" {
		lines = append(lines, "spool: it takes no samples: "+s.Spool.Error)
	}
	if s.Spool.Quarantined > 0 || s.Spool.Damaged > 0 {
		lines = append(lines, fmt.Sprintf("spool: %s damaged, %s set aside under quarantine; see `edgespool inspect --spool %s`",
			counted(int(s.Spool.Damaged), "record"), counted(s.Spool.Quarantined, "store"), s.Spool.Path))
	}
	for _, d := range s.Destinations {
		for _, st := range d.Streams {
			if st.Lost > 0 {
				lines = append(lines, fmt.Sprintf("%s: %s went before they were sent, for want of room or by damage", st.Name, counted(int(st.Lost), "record")))
			}
		}
	}
	return lines
}

func spoolState(s agent.SpoolStatus) string {
	switch {
	case s.ReadOnly:
		return ", READ-ONLY"
	case s.Full:
		return ", FULL"
	}
	return ""
}

// atRisk says what the plug costs if it is pulled now.
func atRisk(s agent.Status) string {
	for _, src := range s.Sources {
		if src.Type == "serial" || src.Type == "command" || src.Type == "sysfs" {
			return fmt.Sprintf("of each source of readings the sample being recorded and the last %v; no file",
				time.Duration(s.Spool.AtRiskS*float64(time.Second)))
		}
	}
	return "nothing that was taken"
}

// cardText says how the card is and how long it lasts.
func cardText(s agent.SpoolStatus) string {
	var parts []string
	if s.Card != nil {
		parts = append(parts, fmt.Sprintf("%s, %s", s.Card.Name, size(s.Card.Bytes)))
	}
	parts = append(parts, size(int64(s.WrittenBytes))+" written so far")
	if s.WrittenPerDay > 0 {
		parts = append(parts, size(int64(s.WrittenPerDay))+" a day")
	}
	if c := s.Card; c != nil && c.LifeUsedPercent > 0 {
		parts = append(parts, fmt.Sprintf("it says that up to %d %% of its life are used", c.LifeUsedPercent))
	}
	if c := s.Card; c != nil && c.Spares != "" {
		parts = append(parts, "its spare blocks: "+c.Spares)
	}
	if c := s.Card; c != nil && c.DaysLeft > 0 {
		parts = append(parts, fmt.Sprintf("lasts %s at this rate if it bears %d times its capacity", lifeText(c.DaysLeft), c.Cycles))
	}
	return strings.Join(parts, "; ")
}

// lifeText is an estimate, and looks like one.
func lifeText(days float64) string {
	switch years := days / 365; {
	case years > 100:
		return "more than 100 years"
	case years >= 2:
		return fmt.Sprintf("about %.0f years", years)
	case days >= 60:
		return fmt.Sprintf("about %.0f months", days/30)
	}
	return fmt.Sprintf("about %s", counted(int(days), "day"))
}

func ago(at *time.Time) string {
	if at == nil {
		return "none yet"
	}
	return fmt.Sprintf("%v ago", max(0, time.Since(*at)).Round(time.Second))
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
