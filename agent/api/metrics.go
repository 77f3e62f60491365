package api

import (
	"bytes"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/edgespool/edgespool/sampler"
)

// exposition writes figures in Prometheus' text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
type exposition struct{ bytes.Buffer }

// figure is one value with its labels, given as name, value, name, value.
type figure struct {
	labels []string
	value  float64
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// family writes one metric: kind is counter or gauge.
func (e *exposition) family(name, kind, help string, figures ...figure) {
	if len(figures) == 0 {
		return
	}
	e.WriteString("# HELP edgespool_" + name + " " + help + "\n# TYPE edgespool_" + name + " " + kind + "\n")
	for _, f := range figures {
		e.WriteString("edgespool_" + name)
		pairs := make([]string, 0, len(f.labels)/2)
		for i := 0; i+1 < len(f.labels); i += 2 {
			pairs = append(pairs, f.labels[i]+`="`+labelEscapes.Replace(f.labels[i+1])+`"`)
		}
		if len(pairs) > 0 {
			e.WriteString("{" + strings.Join(pairs, ",") + "}")
		}
		e.WriteString(" " + strconv.FormatFloat(f.value, 'g', -1, 64) + "\n")
	}
}

// metrics writes the status as metrics; the names are those of the status.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	st := s.agent.Status()
	e := &exposition{}
	e.family("build_info", "gauge", "The version of this program.", figure{[]string{"version", st.Version, "go", runtime.Version()}, 1})
	e.family("uptime_seconds", "gauge", "Time since the agent started.", figure{nil, float64(st.UptimeS)})
	e.family("clock_synchronised", "gauge", "1 when something vouches for the wall clock.", figure{nil, truth(st.Clock.Synchronised)})
	e.family("clock_steps_total", "counter", "How often the wall clock was set by a second or more.", figure{nil, float64(st.Clock.Steps)})
	e.family("goroutines", "gauge", "Goroutines of the process.", figure{nil, float64(runtime.NumGoroutine())})
	e.memory()
	e.spool(st.Spool)
	e.sources(st.Sources)
	e.destinations(st.Destinations)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(e.Bytes())
}

func (e *exposition) memory() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	e.family("memory_bytes", "gauge", "Memory that the Go runtime has from the system and has not given back.",
		figure{nil, float64(m.Sys - m.HeapReleased)})
}

func (e *exposition) spool(s SpoolStatus) {
	for _, f := range []struct {
		name, kind, help string
		value            float64
	}{
		{"spool_records", "gauge", "Records in the spool.", float64(s.Records)},
		{"spool_bytes", "gauge", "Bytes of the records' bodies in the spool.", float64(s.Bytes)},
		{"spool_disk_bytes", "gauge", "Real disk use of the spool.", float64(s.DiskBytes)},
		{"spool_max_bytes", "gauge", "The cap on the spool's disk use.", float64(s.MaxBytes)},
		{"spool_next_sequence", "counter", "The sequence that the next record gets.", float64(s.NextSequence)},
		{"spool_duplicates_total", "counter", "Records skipped because they were known.", float64(s.Duplicates)},
		{"spool_lost_total", "counter", "Records dropped before every stream had passed them.", float64(s.Lost)},
		{"spool_damaged_total", "counter", "Records found unreadable.", float64(s.Damaged)},
		{"spool_commits_total", "counter", "Commits since the start.", float64(s.Commits)},
		{"spool_quarantined", "gauge", "Parts of the spool set aside as damaged.", float64(s.Quarantined)},
		{"spool_full", "gauge", "1 while the spool refuses records.", truth(s.Full)},
		{"spool_read_only", "gauge", "1 while the spool cannot be written.", truth(s.ReadOnly)},
		{"spool_written_bytes_total", "counter", "Bytes that the agent gave the kernel to write since the spool was created.", float64(s.WrittenBytes)},
		{"spool_written_bytes_per_day", "gauge", "The same over the last 24 hours of running, 0 while not known.", float64(s.WrittenPerDay)},
	} {
		e.family(f.name, f.kind, f.help, figure{nil, f.value})
	}
	e.card(s.Card)
}

func (e *exposition) card(c *CardStatus) {
	if c == nil {
		return
	}
	device := []string{"device", c.Name}
	e.family("card_bytes", "gauge", "Capacity of the device that the spool is on.", figure{device, float64(c.Bytes)})
	if c.DaysLeft > 0 {
		e.family("card_days_left", "gauge", "Estimate of the card's life at the present rate.", figure{device, c.DaysLeft})
	}
	if c.LifeUsedPercent > 0 {
		e.family("card_life_used_ratio", "gauge", "What an eMMC says of its life: the part that is used.", figure{device, float64(c.LifeUsedPercent) / 100})
	}
}

func (e *exposition) sources(all []SourceStatus) {
	each := func(name, kind, help string, value func(SourceStatus) float64) {
		var figures []figure
		for _, s := range all {
			figures = append(figures, figure{[]string{"source", s.Name, "type", s.Type}, value(s)})
		}
		e.family(name, kind, help, figures...)
	}
	each("source_up", "gauge", "1 while the source is taking samples.", func(s SourceStatus) float64 { return truth(s.State == sampler.StateRunning) })
	each("source_samples_total", "counter", "Samples handed to the spool.", func(s SourceStatus) float64 { return float64(s.Samples) })
	each("source_readings_total", "counter", "Good readings.", func(s SourceStatus) float64 { return float64(s.Readings) })
	each("source_rejected_total", "counter", "Bad lines or files.", func(s SourceStatus) float64 { return float64(s.Rejected) })
	each("source_duplicates_total", "counter", "Samples skipped because they were known.", func(s SourceStatus) float64 { return float64(s.Duplicates) })
	each("source_dropped_total", "counter", "Readings that became part of no sample.", func(s SourceStatus) float64 { return float64(s.Dropped) })
	each("source_frequency_hertz", "gauge", "Measured rate of readings.", func(s SourceStatus) float64 { return s.FrequencyHz })
	each("source_last_sample_timestamp_seconds", "gauge", "When the last sample was taken, 0 for never.", func(s SourceStatus) float64 {
		if s.LastSampleAt == nil {
			return 0
		}
		return float64(s.LastSampleAt.UnixMilli()) / 1000
	})
	var detail []figure
	for _, s := range all {
		for _, name := range slices.Sorted(maps.Keys(s.Detail)) {
			detail = append(detail, figure{[]string{"source", s.Name, "type", s.Type, "counter", name}, float64(s.Detail[name])})
		}
	}
	e.family("source_detail_total", "counter", "Further counters of this type of source.", detail...)
}

func (e *exposition) destinations(all []DestinationStatus) {
	each := func(name, kind, help string, value func(DestinationStatus) float64) {
		var figures []figure
		for _, d := range all {
			figures = append(figures, figure{[]string{"destination", d.Name, "type", d.Type}, value(d)})
		}
		e.family(name, kind, help, figures...)
	}
	each("destination_up", "gauge", "1 unless the destination waits for the far side or is paused.", func(d DestinationStatus) float64 {
		return truth(d.State == destinationIdle || d.State == destinationSending)
	})
	each("destination_backlog_records", "gauge", "Records not yet settled.", func(d DestinationStatus) float64 { return float64(d.Backlog) })
	each("destination_backlog_bytes", "gauge", "Bytes of the records not yet settled.", func(d DestinationStatus) float64 { return float64(d.BacklogBytes) })
	each("destination_stored_total", "counter", "Records the far side stored.", func(d DestinationStatus) float64 { return float64(d.Stored) })
	each("destination_already_there_total", "counter", "Records the far side had before.", func(d DestinationStatus) float64 { return float64(d.AlreadyThere) })
	each("destination_rejected_total", "counter", "Records the far side will never take.", func(d DestinationStatus) float64 { return float64(d.Rejected) })
	each("destination_lost_total", "counter", "Records that left the spool before they were sent.", func(d DestinationStatus) float64 { return float64(d.Lost) })
	var lost []figure
	for _, d := range all {
		for _, s := range d.Streams {
			lost = append(lost, figure{[]string{"destination", d.Name, "stream", s.Name}, float64(s.Lost)})
		}
	}
	e.family("stream_lost_total", "counter", "Records that left the spool before this stream had passed them.", lost...)
	each("destination_sent_bytes_total", "counter", "Bytes of stored records.", func(d DestinationStatus) float64 { return float64(d.BytesSent) })
}

// The states of a destination that count as up, as the workers name them.
const (
	destinationIdle    = "idle"
	destinationSending = "sending"
)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
