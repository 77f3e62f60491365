package edgeimpulse

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
	"github.com/edgespool/edgespool/uploader"
)

// An attachment is a further file of a record, which rides in its request.
type attachment struct {
	Name        string `json:"filename"`
	contentType string
	bytes       []byte
}

// attachments are the companions of a record that its attachments.labels
// names, under names fit for a header. Another companion is left out: the
// service would store it as a sample of its own.
func attachments(rec *spool.Record) []attachment {
	if len(rec.Companions) < 2 {
		return nil
	}
	var named []attachment
	byName := make(map[string]spool.Companion, len(rec.Companions))
	for _, c := range rec.Companions {
		byName[c.Name] = c
		if raw := labelKinds[attachmentsKind].about(rec, c); raw != nil && json.Unmarshal(raw, &named) != nil {
			return nil
		}
	}
	var all []attachment
	for _, a := range named {
		if c, ok := byName[a.Name]; ok {
			delete(byName, a.Name) // named twice, sent once
			all = append(all, attachment{
				Name: uploader.FileName(&spool.Record{Name: c.Name}), bytes: c.Bytes,
				contentType: cmp.Or(headerText(c.ContentType), acquisition.ContentType(c.Name)),
			})
		}
	}
	return all
}

// addTo adds the attachment behind the record's own part.
func (a attachment) addTo(f *form) {
	f.add(a.Name, a.contentType, part{size: int64(len(a.bytes)), record: -1, open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(a.bytes)), nil
	}})
}
