package api

import (
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// DetectStatus is what the detectors of a source did since the start.
type DetectStatus struct {
	Detectors []DetectorStatus `json:"detectors"`
	// Judged windows have a score; Unjudged ones were kept without, because
	// no detector had an answer or too many windows waited.
	Judged    uint64 `json:"judged"`
	Unjudged  uint64 `json:"unjudged"`
	Anomalies uint64 `json:"anomalies"`
	// SampledOut windows were judged normal and not kept (keep_normal), but
	// KeptAround were, for the sake of an anomaly (before, after).
	SampledOut uint64 `json:"sampled_out"`
	KeptAround uint64 `json:"kept_around"`
	// Alarms that somebody was told of, that nobody could be told of, and that
	// went into the next one (on_detection).
	Alarms       uint64 `json:"alarms"`
	AlarmsFailed uint64 `json:"alarms_failed"`
	AlarmsJoined uint64 `json:"alarms_joined"`
	// LastScore is that of the window judged last.
	LastScore     float64    `json:"last_score"`
	LastJudgedAt  *time.Time `json:"last_judged_at"`
	LastAnomalyAt *time.Time `json:"last_anomaly_at"`
}

// DetectorStatus is one detector, as of the last window that it was asked about.
type DetectorStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// State is waiting (for the first window), learning, ready, running (a
	// model's or command's program judges) or failing.
	State string `json:"state"`
	Error string `json:"error"`
	// Judged counts windows, Anomalies those whose score is this detector's.
	Judged    uint64 `json:"judged"`
	Anomalies uint64 `json:"anomalies"`
	// Learned of WarmUp windows.
	Learned int `json:"learned,omitempty"`
	WarmUp  int `json:"warm_up,omitempty"`
}

// DetectionsStatus is the history of detections; sizes are in bytes. At MaxBytes
// the oldest go.
type DetectionsStatus struct {
	Count    int64 `json:"count"`
	Bytes    int64 `json:"bytes"`
	MaxBytes int64 `json:"max_bytes"`
}

// ReaderStatus is a stream of the streams API.
type ReaderStatus struct {
	Name string `json:"name"` // OWNER/DATASET/STREAM
	// Backlog is how many records there are that were not advanced over,
	// filtered or not, and Lost how many left the spool before.
	Backlog int64  `json:"backlog"`
	Lost    uint64 `json:"lost"`
	// Exceptions are comments that a reader tagged.
	Exceptions int `json:"exceptions"`
	// When the stream was fetched from and advanced last, since the start.
	LastFetchAt   *time.Time `json:"last_fetch_at"`
	LastAdvanceAt *time.Time `json:"last_advance_at"`
}

// NamespaceStatus is a namespace of the Data API.
type NamespaceStatus struct {
	Name string `json:"name"`
	// Backlog is how many objects wait to be judged, Judged how many were.
	Backlog int64  `json:"backlog"`
	Judged  uint64 `json:"judged"`
	Lost    uint64 `json:"lost"`
	// Unposted results wait for the webhook; 0 without one.
	Unposted int64 `json:"unposted"`
}

// maxShown is how many streams and namespaces have metrics of their own: a
// client can make any number, and a metric is for good.
const maxShown = 64

var detectorFamilies = []family{
	{"detector_up", "gauge", "1 unless the detector, or its program, fails."},
	{"detector_judged_total", "counter", "Windows that the detector judged."},
	{"detector_anomalies_total", "counter", "Anomalies that have this detector's score."},
}

func (e *exposition) detectors(all []SourceStatus) {
	var rows []row
	var scores []figure
	for _, s := range all {
		if s.Detect == nil {
			continue
		}
		for _, d := range s.Detect.Detectors {
			rows = append(rows, row{[]string{"source", s.Name, "detector", d.Name, "type", d.Type},
				[]float64{truth(d.State != sampler.DetectorFailing), float64(d.Judged), float64(d.Anomalies)}})
		}
		scores = append(scores, figure{[]string{"source", s.Name}, s.Detect.LastScore})
	}
	e.table(detectorFamilies, rows...)
	e.family("source_last_score", "gauge", "Score of the window judged last.", scores...)
}

var (
	historyFamilies = []family{
		{"detections", "gauge", "Detections in the history."},
		{"detections_bytes", "gauge", "Bytes of the history of detections."},
		{"detections_max_bytes", "gauge", "The share of the history of detections."},
	}
	readerFamilies = []family{
		{"api_stream_backlog_records", "gauge", "Records that the stream was not advanced over."},
		{"api_stream_lost_total", "counter", "Records that left the spool before the stream was advanced over them."},
		{"api_stream_exceptions", "gauge", "Comments tagged as exceptions of the stream."},
		{"api_stream_last_fetch_timestamp_seconds", "gauge", "When the stream was fetched from last, 0 for not since the start."},
		{"api_stream_last_advance_timestamp_seconds", "gauge", "When the stream was advanced last, 0 for not since the start."},
	}
	namespaceFamilies = []family{
		{"data_backlog_objects", "gauge", "Objects of the namespace that wait to be judged."},
		{"data_judged_total", "counter", "Objects of the namespace that were judged."},
		{"data_lost_total", "counter", "Objects of the namespace that left the spool unjudged."},
		{"data_unposted_results", "gauge", "Results of the namespace that wait for the webhook."},
	}
)

func (e *exposition) consumers(st Status) {
	if d := st.Detections; d != nil {
		e.table(historyFamilies, row{nil, []float64{float64(d.Count), float64(d.Bytes), float64(d.MaxBytes)}})
	}
	e.family("api_streams", "gauge", "Streams of the streams API; the first 64 by name have figures of their own.", figure{nil, float64(len(st.Streams))})
	var streams, namespaces []row
	for _, s := range st.Streams[:min(len(st.Streams), maxShown)] {
		streams = append(streams, row{[]string{"stream", s.Name},
			[]float64{float64(s.Backlog), float64(s.Lost), float64(s.Exceptions), seconds(s.LastFetchAt), seconds(s.LastAdvanceAt)}})
	}
	for _, n := range st.Namespaces[:min(len(st.Namespaces), maxShown)] {
		namespaces = append(namespaces, row{[]string{"namespace", n.Name},
			[]float64{float64(n.Backlog), float64(n.Judged), float64(n.Lost), float64(n.Unposted)}})
	}
	e.table(readerFamilies, streams...)
	e.table(namespaceFamilies, namespaces...)
}
