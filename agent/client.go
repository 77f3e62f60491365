package agent

import "github.com/edgespool/edgespool/agent/api"

// What a program that asks a running agent needs of its API.
type (
	// Client asks a running agent.
	Client = api.Client
	// Status is what the agent says of itself.
	Status = api.Status
	// SpoolStatus is the spool's part of it.
	SpoolStatus = api.SpoolStatus
	// CardStatus is the device below it.
	CardStatus = api.CardStatus
	// SourceStatus is one source's part of it.
	SourceStatus = api.SourceStatus
	// DestinationStatus is one destination's part of it.
	DestinationStatus = api.DestinationStatus
	// StreamStatus is one stream of a destination.
	StreamStatus = api.StreamStatus
	// DetectStatus is what a source's detectors did.
	DetectStatus = api.DetectStatus
	// DetectorStatus is one of them.
	DetectorStatus = api.DetectorStatus
	// DetectionsStatus is the history of detections.
	DetectionsStatus = api.DetectionsStatus
	// ReaderStatus is a stream of the streams API.
	ReaderStatus = api.ReaderStatus
	// NamespaceStatus is a namespace of the Data API.
	NamespaceStatus = api.NamespaceStatus
	// Change asks a source to label differently.
	Change = api.Change
	// Retried is how many exceptions are tried again.
	Retried = api.Retried
	// StreamsClient asks for the streams of a dataset.
	StreamsClient = api.StreamsClient
	// StreamInfo is one of them.
	StreamInfo = api.StreamInfo
	// StreamBatch is what a fetch from one gives.
	StreamBatch = api.StreamBatch
	// StreamException is a comment tagged on one.
	StreamException = api.StreamException
	// RefusedSample is a sample that a destination refused.
	RefusedSample = api.RefusedSample
	// Outcome is what became of a record at a destination.
	Outcome = api.Outcome
	// Glimpse is a reading or a sample as it comes.
	Glimpse = api.Glimpse
)

// NewClient makes a client for the agent at base, such as
// http://127.0.0.1:8347; token may be empty.
func NewClient(base, token string) (*Client, error) { return api.NewClient(base, token) }

// WithHint gives an error the remedy that an operator has.
func WithHint(err error, hint string) error { return api.WithHint(err, hint) }
