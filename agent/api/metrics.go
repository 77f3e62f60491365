package api

import (
	"bytes"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

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
	e.detectors(st.Sources)
	e.destinations(st.Destinations)
	e.consumers(st)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(e.Bytes())
}

func (e *exposition) memory() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	e.family("memory_bytes", "gauge", "Memory that the Go runtime has from the system and has not given back.",
		figure{nil, float64(m.Sys - m.HeapReleased)})
}

// A family is one metric: its name, counter or gauge, and what it means.
type family struct{ name, kind, help string }

// A row has the labels and a value for each family of a table.
type row struct {
	labels []string
	values []float64
}

// table writes the families of a table, column by column.
func (e *exposition) table(families []family, rows ...row) {
	for i, f := range families {
		var figures []figure
		for _, r := range rows {
			figures = append(figures, figure{r.labels, r.values[i]})
		}
		e.family(f.name, f.kind, f.help, figures...)
	}
}

var spoolFamilies = []family{
	{"spool_records", "gauge", "Records in the spool."},
	{"spool_bytes", "gauge", "Bytes of the records' bodies in the spool."},
	{"spool_disk_bytes", "gauge", "Real disk use of the spool."},
	{"spool_max_bytes", "gauge", "The cap on the spool's disk use."},
	{"spool_next_sequence", "counter", "The sequence that the next record gets."},
	{"spool_duplicates_total", "counter", "Records skipped because they were known."},
	{"spool_lost_total", "counter", "Records dropped before every stream had passed them."},
	{"spool_damaged_total", "counter", "Records found unreadable."},
	{"spool_commits_total", "counter", "Commits since the start."},
	{"spool_quarantined", "gauge", "Parts of the spool set aside as damaged."},
	{"spool_full", "gauge", "1 while the spool refuses records."},
	{"spool_read_only", "gauge", "1 while the spool cannot be written."},
	{"spool_written_bytes_total", "counter", "Bytes that the agent gave the kernel to write since the spool was created."},
	{"spool_written_bytes_per_day", "gauge", "The same over the last 24 hours of running, 0 while not known."},
}

func (e *exposition) spool(s SpoolStatus) {
	e.table(spoolFamilies, row{nil, []float64{float64(s.Records), float64(s.Bytes), float64(s.DiskBytes), float64(s.MaxBytes),
		float64(s.NextSequence), float64(s.Duplicates), float64(s.Lost), float64(s.Damaged), float64(s.Commits), float64(s.Quarantined),
		truth(s.Full), truth(s.ReadOnly), float64(s.WrittenBytes), float64(s.WrittenPerDay)}})
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

var sourceFamilies = []family{
	{"source_up", "gauge", "1 while the source is taking samples."},
	{"source_samples_total", "counter", "Samples handed to the spool."},
	{"source_readings_total", "counter", "Good readings."},
	{"source_rejected_total", "counter", "Bad lines or files."},
	{"source_duplicates_total", "counter", "Samples skipped because they were known."},
	{"source_dropped_total", "counter", "Readings that became part of no sample."},
	{"source_frequency_hertz", "gauge", "Measured rate of readings."},
	{"source_last_sample_timestamp_seconds", "gauge", "When the last sample was taken, 0 for never."},
}

func (e *exposition) sources(all []SourceStatus) {
	var rows []row
	var detail []figure
	for _, s := range all {
		labels := []string{"source", s.Name, "type", s.Type}
		rows = append(rows, row{labels, []float64{truth(s.State == sampler.StateRunning), float64(s.Samples), float64(s.Readings),
			float64(s.Rejected), float64(s.Duplicates), float64(s.Dropped), s.FrequencyHz, seconds(s.LastSampleAt)}})
		for _, name := range slices.Sorted(maps.Keys(s.Detail)) {
			detail = append(detail, figure{append(labels[:4:4], "counter", name), float64(s.Detail[name])})
		}
	}
	e.table(sourceFamilies, rows...)
	e.family("source_detail_total", "counter", "Further counters of this type of source.", detail...)
}

// seconds is a time as Prometheus has it, 0 for never.
func seconds(at *time.Time) float64 {
	if at == nil {
		return 0
	}
	return float64(at.UnixMilli()) / 1000
}

var destinationFamilies = []family{
	{"destination_up", "gauge", "1 unless the destination waits for the far side or is paused."},
	{"destination_backlog_records", "gauge", "Records not yet settled."},
	{"destination_backlog_bytes", "gauge", "Bytes of the records not yet settled."},
	{"destination_stored_total", "counter", "Records the far side stored."},
	{"destination_already_there_total", "counter", "Records the far side had before."},
	{"destination_rejected_total", "counter", "Records the far side will never take."},
	{"destination_lost_total", "counter", "Records that left the spool before they were sent."},
	{"destination_sent_bytes_total", "counter", "Bytes of stored records."},
}

func (e *exposition) destinations(all []DestinationStatus) {
	var rows []row
	var lost []figure
	for _, d := range all {
		up := d.State == destinationIdle || d.State == destinationSending
		rows = append(rows, row{[]string{"destination", d.Name, "type", d.Type}, []float64{truth(up), float64(d.Backlog), float64(d.BacklogBytes),
			float64(d.Stored), float64(d.AlreadyThere), float64(d.Rejected), float64(d.Lost), float64(d.BytesSent)}})
		for _, s := range d.Streams {
			lost = append(lost, figure{[]string{"destination", d.Name, "stream", s.Name}, float64(s.Lost)})
		}
	}
	e.table(destinationFamilies, rows...)
	e.family("stream_lost_total", "counter", "Records that left the spool before this stream had passed them.", lost...)
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
