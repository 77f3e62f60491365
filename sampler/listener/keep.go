package listener

import (
	"cmp"
	"context"
	"errors"
	"maps"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// keep makes records of the files, hands them to the spool together, and
// returns once they are durable: one outcome for each file, in order.
func (s *Source) keep(ctx context.Context, sink sampler.Sink, o order, sent *shipment) ([]outcome, *refusal) {
	m := maker{
		order: o, source: s.setup.Name, about: sent.about, at: s.setup.Clock.Now(),
		metadata: merge(s.setup.Metadata, sent.about.Metadata, o.metadata),
	}
	m.attached, sent.files = sent.labels.split(sent.files)
	outcomes := make([]outcome, len(sent.files))
	records := make([]spool.Record, 0, len(sent.files))
	places := make([]int, 0, len(sent.files)) // of each record in outcomes
	faulty := false
	for i, f := range sent.files {
		rec, err := m.record(f, &sent.labels)
		var fault fileFault
		switch {
		case errors.As(err, &fault):
			outcomes[i].fault, faulty = string(fault), true
		case err != nil:
			return nil, spoolRefusal(err)
		default:
			outcomes[i].name = rec.Name
			records, places = append(records, rec), append(places, i)
		}
	}
	if len(records) == 0 || faulty && o.legacy {
		return outcomes, nil
	}
	receipt, err := sink.Append(ctx, records...)
	if err == nil {
		err = receipt.Wait(ctx)
	}
	if err != nil {
		return nil, spoolRefusal(err)
	}
	for i, result := range receipt.Results {
		outcomes[places[i]].sequence, outcomes[places[i]].repeated = result.Sequence, result.Duplicate
	}
	return outcomes, nil
}

// A fileFault is what the client is told about a file that is refused.
type fileFault string

func (f fileFault) Error() string { return string(f) }

// A maker makes records of the files of one request.
type maker struct {
	order
	source   string
	metadata map[string]string
	about    acquisition.Summary
	at       spool.Instant
	attached map[string]file
}

// record makes a record of one file. A fileFault concerns the file alone;
// other errors are the spool's.
func (m *maker) record(f file, labels *labelFiles) (spool.Record, error) {
	if f.fault != "" {
		return spool.Record{}, fileFault(f.fault)
	}
	kind, document, err := inspect(f)
	if err != nil {
		return spool.Record{}, err
	}
	identity := f.body.SHA256()
	rec := spool.Record{
		Kind: spool.KindFile, Identity: identity, SHA256: identity, Size: f.body.Size(), Body: f.body,
		Name: withExtension(f.name, kind), Dataset: sampler.Resolve(m.category, identity), ContentType: kind,
		Source: m.source, Metadata: m.metadata, Time: m.at,
	}
	rec.DeviceName = cmp.Or(document.DeviceName, m.about.DeviceName)
	rec.DeviceType = cmp.Or(document.DeviceType, m.about.DeviceType, m.deviceType)
	if m.addID {
		rec.Name = dated(rec.Name, rec.ID())
	}
	if err := m.describe(f.name, &rec, labels); err != nil {
		return spool.Record{}, err
	}
	if len(rec.Label.Segments) > 0 && len(document.Sensors) > 0 {
		if err := acquisition.CheckSegments(labels.segments[f.name], int(document.Rows)); err != nil {
			return spool.Record{}, fileFault("Invalid structured labels: " + err.Error())
		}
	}
	return rec, nil
}

// describe says what the record shows: what a label file says of it, else the
// headers, else its name by Edge Impulse's rule.
func (m *maker) describe(name string, rec *spool.Record, labels *labelFiles) error {
	if _, ok := labels.boxes[name]; !ok && m.boxes != nil {
		if err := setBoxes(rec, m.boxes); err != nil {
			return fileFault("Invalid bounding boxes: " + err.Error())
		}
	}
	if err := labels.apply(name, rec); err != nil {
		return err
	}
	switch said := !rec.Label.Unlabelled() || len(rec.Companions) > 0; {
	case said || m.noLabel:
	case m.label != "":
		rec.Label.Text = m.label
	default:
		rec.Label.Text = acquisition.InferLabel(name)
	}
	return labels.attach(name, rec, m.attached)
}

// merge lays later pairs over earlier ones: the configured ones give way to
// those that came with the samples.
func merge(layers ...map[string]string) map[string]string {
	all := make(map[string]string)
	for _, pairs := range layers {
		maps.Copy(all, pairs)
	}
	return all
}
