package main

import (
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/agent"
)

// TestStatusForPeople: the tables say what is at risk, what the card bears,
// when the last sample came, and for each trouble what there is to do.
func TestStatusForPeople(t *testing.T) {
	at := time.Now().Add(-7 * time.Second)
	well := agent.Status{
		Spool: agent.SpoolStatus{Path: "/srv/spool", AtRiskS: 1.5, MaxBytes: 1 << 30},
		Sources: []agent.SourceStatus{{Name: "board", Type: "serial", State: "running", LastSampleAt: &at},
			{Name: "folder", Type: "directory", State: "waiting"}},
		Destinations: []agent.DestinationStatus{{Name: "studio", State: "idle"}},
	}
	shown := func(change func(s *agent.Status)) string {
		s := well
		change(&s)
		var out strings.Builder
		if err := printStatus(&out, s); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, c := range []struct {
		name   string
		change func(s *agent.Status)
		want   []string
		not    string
	}{
		{"all is well", func(*agent.Status) {},
			[]string{"at risk: of each source of readings the sample being recorded and the last 1.5s; no file", "board   serial     running  7s ago", "none yet"}, "card:"},
		{"without a serial port", func(s *agent.Status) { s.Sources = s.Sources[1:] }, []string{"at risk: nothing that was taken"}, "last 1.5s"},
		{"a card", func(s *agent.Status) {
			s.Spool.WrittenBytes, s.Spool.WrittenPerDay = 5<<30, 310<<20
			s.Spool.Card = &agent.CardStatus{Name: "mmcblk0", Bytes: 32 << 30, DaysLeft: 9000, Cycles: 100}
		}, []string{"card: mmcblk0, 32.0 GiB; 5.0 GiB written so far; 310.0 MiB a day; lasts about 25 years at this rate if it bears 100 times its capacity"}, "says"},
		{"an eMMC", func(s *agent.Status) {
			s.Spool.Card = &agent.CardStatus{Name: "mmcblk1", Bytes: 8 << 30, LifeUsedPercent: 20, Spares: "normal"}
		}, []string{"it says that up to 20 % of its life are used; its spare blocks: normal"}, "lasts"},
		{"a full spool", func(s *agent.Status) { s.Spool.Full, s.Spool.Error = true, "append: spool is full: 12 bytes free" },
			[]string{"FULL", "spool: it takes no samples: append: spool is full: 12 bytes free"}, "set aside"},
		{"damage", func(s *agent.Status) { s.Spool.Damaged, s.Spool.Quarantined = 14, 1 },
			[]string{"spool: 14 records damaged, 1 store set aside under quarantine; see `edgespool inspect --spool /srv/spool`"}, "no samples"},
		{"losses", func(s *agent.Status) {
			s.Destinations = []agent.DestinationStatus{{Name: "studio", Lost: 3, Streams: []agent.StreamStatus{{Name: "studio/anomaly"}, {Name: "studio/training", Lost: 3}}}}
		}, []string{"studio/training: 3 records went before they were sent"}, "studio/anomaly"},
		{"detectors", func(s *agent.Status) {
			s.Sources = append([]agent.SourceStatus{}, s.Sources...)
			s.Sources[0].Detect = &agent.DetectStatus{Judged: 90, Anomalies: 2, SampledOut: 70, KeptAround: 5, Alarms: 1, AlarmsJoined: 1,
				LastScore: 0.25, LastJudgedAt: &at, LastAnomalyAt: &at, Detectors: []agent.DetectorStatus{
					{Name: "statistics", Type: "statistics", State: "learning", Learned: 12, WarmUp: 200},
					{Name: "pump", Type: "model", State: "failing", Error: "program has ended", Judged: 90, Anomalies: 2}}}
			s.Detections = &agent.DetectionsStatus{Count: 2, Bytes: 3 << 10, MaxBytes: 16 << 20}
		}, []string{"detections: 2 in the history, 3.0 KiB of 16MiB", "board   statistics  statistics  learning 12/200  0       0          0.25        7s ago",
			"board: 0 unjudged; of the normal ones 70 not kept, 5 kept around anomalies; alarms: 1 told, 1 joined, 0 failed",
			"board, detector pump: program has ended"}, "STREAM"},
		{"consumers", func(s *agent.Status) {
			s.Streams = []agent.ReaderStatus{{Name: "pi/anomaly/alarms", Backlog: 12, Lost: 3, Exceptions: 1, LastFetchAt: &at}}
			s.Namespaces = []agent.NamespaceStatus{{Name: "orders", Backlog: 4, Judged: 900}}
		}, []string{"pi/anomaly/alarms  12       7s ago      not since the start  1           3", "orders     4         900"}, "DETECTOR"},
	} {
		got := shown(c.change)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: lacks %q:\n%s", c.name, want, got)
			}
		}
		if strings.Contains(got, c.not) {
			t.Errorf("%s: has %q:\n%s", c.name, c.not, got)
		}
	}
}

func TestLifeText(t *testing.T) {
	for days, want := range map[float64]string{40000: "more than 100 years", 9000: "about 25 years", 365: "about 12 months", 59.7: "about 59 days", 1: "about 1 day"} {
		if got := lifeText(days); got != want {
			t.Errorf("%v days: got %q, want %q", days, got, want)
		}
	}
}
