package api

import "time"

// Status is what GET /api/status answers. Fields may be added; those that are
// here keep their meaning.
type Status struct {
	Version      string              `json:"version"`
	UptimeS      int64               `json:"uptime_s"`
	Device       DeviceStatus        `json:"device"`
	Clock        ClockStatus         `json:"clock"`
	Spool        SpoolStatus         `json:"spool"`
	Sources      []SourceStatus      `json:"sources"`
	Destinations []DestinationStatus `json:"destinations"`
	// Detections is the history of detections; absent where it cannot be read.
	Detections *DetectionsStatus `json:"detections,omitempty"`
	// Streams are those of the streams API, by name.
	Streams []ReaderStatus `json:"streams"`
	// Namespaces are those of the Data API, by name; absent where it is not
	// served.
	Namespaces []NamespaceStatus `json:"namespaces,omitempty"`
}

// DeviceStatus says whose samples these are.
type DeviceStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// ClockStatus says whether anything vouches for a possible wall time.
type ClockStatus struct {
	Synchronised bool `json:"synchronised"`
	// Steps is how often the wall clock was set by a second or more since the start.
	Steps int64 `json:"steps"`
}

// SpoolStatus has the spool's figures; sizes are in bytes.
type SpoolStatus struct {
	Path          string `json:"path"`
	Records       int64  `json:"records"`
	Bytes         int64  `json:"bytes"`
	DiskBytes     int64  `json:"disk_bytes"`
	MaxBytes      int64  `json:"max_bytes"`
	FirstSequence uint64 `json:"first_sequence"`
	NextSequence  uint64 `json:"next_sequence"`
	Duplicates    uint64 `json:"duplicates"`
	Lost          uint64 `json:"lost"`
	Damaged       uint64 `json:"damaged"`
	Full          bool   `json:"full"`
	ReadOnly      bool   `json:"read_only"`
	Commits       uint64 `json:"commits"`
	Segments      int    `json:"segments"`
	Quarantined   int    `json:"quarantined"`
	// Error says why the spool takes no records; empty while it does.
	Error string `json:"error"`
	// AtRiskS is how long a finished sample from a serial port may wait for
	// its commit, in seconds. A power cut costs at most that and the sample
	// being recorded. A file is never at risk.
	AtRiskS float64 `json:"at_risk_s"`
	// WrittenBytes is what the agent has given the kernel to write since the
	// spool was created, and WrittenPerDay its rate over the last 24 hours of
	// running. 0 where that is not known (yet).
	WrittenBytes  uint64      `json:"written_bytes"`
	WrittenPerDay uint64      `json:"written_per_day"`
	Card          *CardStatus `json:"card,omitempty"`
}

// CardStatus is the device that the spool is on, where one is known.
type CardStatus struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	// LifeUsedPercent and Spares are what an eMMC says of itself: its life
	// used, in steps of ten (110: beyond its end), and normal, warning or
	// urgent for its spare blocks.
	LifeUsedPercent int    `json:"life_used_percent,omitempty"`
	Spares          string `json:"spares,omitempty"`
	// DaysLeft is an estimate at the present rate, if the card can be written
	// Cycles times over; 0: none can be made. What others write on the same
	// card is not in it.
	DaysLeft float64 `json:"days_left"`
	Cycles   int     `json:"cycles"`
}

// SourceStatus is one source's progress and how it labels at the moment.
type SourceStatus struct {
	Name         string            `json:"name"`
	Type         string            `json:"type"`
	State        string            `json:"state"`
	Samples      uint64            `json:"samples"`
	Readings     uint64            `json:"readings"`
	Rejected     uint64            `json:"rejected"`
	Duplicates   uint64            `json:"duplicates"`
	Dropped      uint64            `json:"dropped"`
	LastSampleAt *time.Time        `json:"last_sample_at"`
	Error        string            `json:"error"`
	LastBad      string            `json:"last_bad,omitempty"`
	FrequencyHz  float64           `json:"frequency_hz,omitempty"`
	Detail       map[string]uint64 `json:"detail,omitempty"`
	Label        string            `json:"label"`
	Category     string            `json:"category"`
	Enabled      bool              `json:"enabled"`
	// LabelledForS is how long the label holds before the former one
	// returns; zero means for good.
	LabelledForS float64 `json:"labelled_for_s,omitempty"`
	// Detect is absent where nobody judges.
	Detect *DetectStatus `json:"detect,omitempty"`
}

// DestinationStatus is one destination's progress over all its streams.
type DestinationStatus struct {
	Name         string         `json:"name"`
	Type         string         `json:"type"`
	State        string         `json:"state"`
	Backlog      int64          `json:"backlog"`
	BacklogBytes int64          `json:"backlog_bytes"`
	Stored       uint64         `json:"stored"`
	AlreadyThere uint64         `json:"already_there"`
	Rejected     uint64         `json:"rejected"`
	Lost         uint64         `json:"lost"`
	BytesSent    uint64         `json:"bytes_sent"`
	NextTryAt    *time.Time     `json:"next_try_at"`
	Error        string         `json:"error"`
	Streams      []StreamStatus `json:"streams,omitempty"`
}

// StreamStatus is one stream of a destination: its cursor over one category.
type StreamStatus struct {
	Name    string `json:"name"`
	Next    uint64 `json:"next"`
	Backlog int64  `json:"backlog"`
	// Lost is how many records left the spool before the stream had passed
	// them.
	Lost uint64 `json:"lost"`
}
