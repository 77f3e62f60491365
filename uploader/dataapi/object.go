package dataapi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strconv"
	"strings"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// errUnusable marks a record that can never be sent.
var errUnusable = errors.New("record cannot be sent")

// A key is the part of an object's id by which its record is found: the first
// 12 bytes of the record's identity.
type key [12]byte

func keyOf(rec *spool.Record) key { return key(rec.Identity[:12]) }

// objectID is the object's name for ever: device, source and the record's id.
func objectID(rec *spool.Record) string {
	id := rec.ID()
	if s := tame(rec.Source); s != "" {
		id = s + "." + id
	}
	if d := tame(rec.DeviceName); d != "" {
		id = d + "." + id
	}
	return id
}

// parseID finds the key in an object's id; not ok if it is none of ours.
func parseID(id string) (k key, ok bool) {
	text := id[strings.LastIndexByte(id, '.')+1:]
	if len(text) != 2*len(k) {
		return key{}, false
	}
	n, err := hex.Decode(k[:], []byte(text))
	return k, err == nil && n == len(k)
}

// tame has "-" for every character that is none of A-Z a-z 0-9 - _ and ".".
func tame(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, name)
}

// A prediction is a label that a detector of the source found.
type prediction struct {
	Label       string   `json:"label"`
	Probability *float64 `json:"probability,omitempty"`
}

// An object is a record as the service sees it. The samples themselves stay
// here; what is sent tells them.
type object struct {
	ID          string             `json:"id"`
	Category    string             `json:"category"`
	Source      string             `json:"source"`
	Device      string             `json:"device,omitempty"`
	DeviceType  string             `json:"device_type,omitempty"`
	CollectedAt string             `json:"collected_at,omitempty"`
	Name        string             `json:"name"`
	ContentType string             `json:"content_type,omitempty"`
	Size        int64              `json:"size"`
	SHA256      string             `json:"sha256"`
	Label       string             `json:"label,omitempty"`
	IntervalMS  float64            `json:"interval_ms,omitempty"`
	Axes        int                `json:"axes,omitempty"`
	Sensors     []string           `json:"sensors,omitempty"`
	Rows        int64              `json:"rows,omitempty"`
	Features    map[string]float64 `json:"features,omitempty"`
	Score       *float64           `json:"anomaly_score,omitempty"`
	Predictions []prediction       `json:"predictions,omitempty"`
	Model       string             `json:"model,omitempty"`
	Version     string             `json:"model_version,omitempty"`
	Metadata    map[string]string  `json:"metadata,omitempty"`
}

// The metadata that detectors write into records.
const (
	metaScore           = "anomaly_score"
	metaPrediction      = "prediction"
	metaPredictionScore = "prediction_score"
	metaModel           = "model"
	metaModelVersion    = "model_version"
)

// makeObject reads the record through, so that nothing is told of samples that
// are lost, and writes its object on one line.
func (d *Destination) makeObject(rec *spool.Record) ([]byte, error) {
	o := object{
		ID: objectID(rec), Category: rec.Dataset, Source: rec.Source, Device: rec.DeviceName, DeviceType: rec.DeviceType,
		Name: uploader.FileName(rec), ContentType: rec.ContentType, Size: rec.Size, SHA256: hex.EncodeToString(rec.SHA256[:]),
		Label: rec.Label.Text, Model: rec.Metadata[metaModel], Version: rec.Metadata[metaModelVersion],
		Score: share(rec.Metadata[metaScore]),
	}
	if at, ok := d.dated(rec); ok {
		o.CollectedAt = at.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	if label := rec.Metadata[metaPrediction]; label != "" {
		o.Predictions = []prediction{{Label: label, Probability: share(rec.Metadata[metaPredictionScore])}}
	}
	if len(d.config.Metadata)+len(rec.Metadata) > 0 {
		o.Metadata = maps.Clone(d.config.Metadata)
		if o.Metadata == nil {
			o.Metadata = make(map[string]string, len(rec.Metadata))
		}
		maps.Copy(o.Metadata, rec.Metadata)
	}
	if err := o.describe(rec); err != nil {
		return nil, err
	}
	return json.Marshal(o)
}

// share reads a number from 0 to 1.
func share(text string) *float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return nil
	}
	return &v
}

// describe reads the record's body; a window's is told by its features.
func (o *object) describe(rec *spool.Record) error {
	body, err := rec.Body.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	if rec.Kind != spool.KindWindow {
		_, err = io.Copy(io.Discard, body)
		return err
	}
	payload, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	document, err := acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	var f features
	sum, err := acquisition.Inspect(bytes.NewReader(document), acquisition.InspectOptions{Rows: f.add})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	o.IntervalMS, o.Axes, o.Rows = sum.IntervalMS, len(sum.Sensors), sum.Rows
	for _, s := range sum.Sensors {
		o.Sensors = append(o.Sensors, s.Name)
	}
	o.Features = f.named(o.Sensors)
	return nil
}

// features sum up the values of each axis.
type features struct {
	rows              float64
	sum, squares, top []float64
}

func (f *features) add(row []float64) error {
	if f.sum == nil {
		f.sum, f.squares, f.top = make([]float64, len(row)), make([]float64, len(row)), make([]float64, len(row))
	}
	f.rows++
	for i, v := range row {
		f.sum[i] += v
		f.squares[i] += v * v
		f.top[i] = max(f.top[i], math.Abs(v))
	}
	return nil
}

// named has mean, rms and peak of each axis; what is not finite is left out,
// for JSON has no word for it.
func (f *features) named(sensors []string) map[string]float64 {
	named := make(map[string]float64, 3*len(f.sum))
	for i := range f.sum {
		for name, v := range map[string]float64{
			"_mean": f.sum[i] / f.rows, "_rms": math.Sqrt(f.squares[i] / f.rows), "_peak": f.top[i],
		} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				named[sensors[i]+name] = v
			}
		}
	}
	return named
}
