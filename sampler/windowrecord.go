package sampler

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// append hands one window on: to be judged where somebody judges and has time
// for it, else to the sink.
func (r *Recorder) append(ctx context.Context, s Stretch) {
	rec, err := r.record(s)
	if err == nil && r.assessor != nil && !r.interim {
		if r.assessor.offer(pending{judgedWindow{rec, s.Rows}, r.subject(rec, s)}) {
			return
		}
		r.assessor.overrun()
	}
	r.keeper.keep(ctx, rec, s.Rows, err)
}

// subject is what a judge gets of a window.
func (r *Recorder) subject(rec spool.Record, s Stretch) Case {
	return Case{
		Source: rec.Source, Device: r.setup.Device, Label: rec.Label.Text, Sensors: slices.Clone(r.layout.sensors),
		Values: slices.Clone(s.Values), Rows: s.Rows, Hz: r.hz, At: rec.Time,
	}
}

// record makes the record of a window, in the form that spool.KindWindow has.
func (r *Recorder) record(s Stretch) (spool.Record, error) {
	h := acquisition.PayloadHeader{
		DeviceName: r.setup.Device.Name, DeviceType: r.setup.Device.Type, IntervalMS: 1000 / r.hz,
		Sensors: make([]acquisition.Sensor, len(r.layout.sensors)),
	}
	for i, sensor := range r.layout.sensors {
		h.Sensors[i] = acquisition.Sensor{Name: sensor.Name, Units: sensor.Units}
	}
	var err error
	if r.payload, err = acquisition.AppendPayload(r.payload[:0], h, s.Values); err != nil {
		return spool.Record{}, fmt.Errorf("record window: %w", err)
	}
	body := spool.Bytes(slices.Clone(r.payload))
	rec := spool.Record{
		Kind: spool.KindWindow, SHA256: body.SHA256(), Label: spool.Label{Text: r.label},
		ContentType: "application/cbor", Source: r.setup.Name, Metadata: r.setup.Metadata,
		Time: r.setup.Clock.At(s.Start), Size: body.Size(), Length: time.Duration(s.Rows) * s.Interval,
		DeviceName: r.setup.Device.Name, DeviceType: r.setup.Device.Type, Body: body,
	}
	rec.Identity = windowIdentity(r.payload, rec.Source, rec.Time)
	category := r.choice.Category
	if category == "" {
		category = "training"
	}
	rec.Dataset = Resolve(category, rec.Identity)
	rec.Name = WindowName(r.label, rec.ID())
	return rec, nil
}

// windowIdentity is the hash of what makes a window itself: its payload, its
// source and the instant at which it was captured.
func windowIdentity(payload []byte, source string, at spool.Instant) (id [32]byte) {
	h := sha256.New()
	h.Write(payload)
	h.Write([]byte(source))
	h.Write(at.Boot[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Since)))
	h.Sum(id[:0])
	return id
}

// WindowName is the file name of a window: <label>.<id>.cbor. Characters of a
// label outside letters, digits, blank, "_" and "-" become "_"; a window
// without a label is called unlabelled.
func WindowName(label, id string) string {
	if label == "" {
		label = "unlabelled"
	}
	label = strings.Map(func(c rune) rune {
		if c < 0x80 && (c == ' ' || c == '-' || c == '_' || isLetterOrDigit(byte(c))) {
			return c
		}
		return '_'
	}, label)
	return label[:min(len(label), maxLabel)] + "." + id + ".cbor"
}

func isLetterOrDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
