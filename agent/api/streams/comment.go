package streams

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// commentType marks records that were handed in as comments.
const commentType = "application/vnd.edgespool.comment+json"

// A comment is a record as this API shows it, with what filters look at.
type comment struct {
	members     map[string]any // of its JSON object
	uid         string
	sourceID    string
	at          time.Time
	properties  properties
	label       string
	predictions []prediction
	version     int64
}

// comment makes a comment of a record.
func (a *API) comment(r *spool.Record) (*comment, error) {
	var c *comment
	if r.ContentType == commentType && strings.HasPrefix(r.Dataset, commentsPrefix) {
		var err error
		if c, err = handedIn(r); err != nil {
			return nil, err
		}
	} else {
		c = a.sampled(r)
	}
	c.predictions, c.version = predictions(r)
	created := stamp(r.CreatedAt)
	c.members["uid"], c.members["source_id"], c.members["context"] = c.uid, c.sourceID, "1"
	c.members["created_at"], c.members["last_modified"] = created, created
	return c, nil
}

// handedIn makes a comment of a record that was one.
func handedIn(r *spool.Record) (*comment, error) {
	body, err := r.Body.Open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var whole map[string]json.RawMessage
	var known struct {
		ID         string     `json:"id"`
		Timestamp  string     `json:"timestamp"`
		Properties properties `json:"user_properties"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, fmt.Errorf("read comment of record %d: %w: %w", r.Sequence, spool.ErrDamaged, err)
	}
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, fmt.Errorf("read comment of record %d: %w: %w", r.Sequence, spool.ErrDamaged, err)
	}
	owner, name, _ := strings.Cut(r.Source, "/")
	c := &comment{members: make(map[string]any, len(whole)+6), sourceID: sourceID(owner, name), properties: known.Properties, at: r.CreatedAt}
	for key, value := range whole {
		c.members[key] = value
	}
	if at, err := parseTime(known.Timestamp); err == nil {
		c.at = at
	}
	c.uid = c.sourceID + "." + known.ID
	return c, nil
}

// sampled makes a comment of a sample.
func (a *API) sampled(r *spool.Record) *comment {
	at, dated := a.spool.Dated(r)
	if !dated {
		at = r.CreatedAt
	}
	c := &comment{sourceID: sourceID(a.owner, r.Source), at: at, properties: sampleProperties(r), label: r.Label.Text}
	c.uid = c.sourceID + "." + r.ID()
	sent := map[string]any{"subject": textOf(r.Name), "body": textOf(summary(r)), "sent_at": stamp(at)}
	if r.DeviceName != "" {
		sent["from"] = r.DeviceName
	}
	c.members = map[string]any{
		"id": r.ID(), "timestamp": stamp(at), "text_format": "plain", "user_properties": c.properties, "messages": []any{sent},
		"attachments": []any{map[string]any{"name": r.Name, "size": r.Size, "content_type": r.ContentType}},
	}
	if session := r.Metadata["session"]; session != "" {
		c.members["thread_id"] = session
	}
	return c
}

func textOf(text string) map[string]string { return map[string]string{"text": text} }

// summary says in a line what a sample is.
func summary(r *spool.Record) string {
	what := "unlabelled"
	if r.Label.Text != "" {
		what = r.Label.Text
	}
	line := fmt.Sprintf("%s: %s sample from %s, %d bytes of %s", r.Dataset, what, r.Source, r.Size, r.ContentType)
	if r.Length > 0 {
		line += ", " + r.Length.String()
	}
	return line
}

// sampleProperties are a sample's facts as user properties. What is the
// record's own wins over metadata of the same name.
func sampleProperties(r *spool.Record) properties {
	p := properties{}
	for name, value := range r.Metadata {
		p.addEither(name, value)
	}
	p.add("Device", r.DeviceName)
	p.add("Device Type", r.DeviceType)
	p.add("Source", r.Source)
	p.add("Category", r.Dataset)
	p.add("Label", r.Label.Text)
	p.add("Name", r.Name)
	p.add("Content Type", r.ContentType)
	p.addNumber("Size", float64(r.Size))
	if r.Length > 0 {
		p.addNumber("Length ms", float64(r.Length)/float64(time.Millisecond))
	}
	if score, ok := asNumber(r.Metadata[keyAnomaly]); ok {
		p.addNumber("Anomaly Score", score)
	}
	p.add("Prediction", r.Metadata[keyPrediction])
	if r.Kind == spool.KindWindow {
		p.addAxes(r)
	}
	return p
}

// maxHeadBody is the largest window that is looked into for its axes; larger
// ones are not in memory.
const maxHeadBody = 64 << 10

// addAxes adds what the head of a window's payload says.
func (p properties) addAxes(r *spool.Record) {
	if r.Body == nil || r.Size > maxHeadBody {
		return
	}
	body, err := r.Body.Open()
	if err != nil {
		return
	}
	defer body.Close()
	payload, err := io.ReadAll(body)
	if err != nil {
		return
	}
	h, err := acquisition.ParsePayloadHeader(payload)
	if err != nil {
		return
	}
	var names []string
	for _, s := range h.Sensors {
		names = append(names, s.Name)
	}
	p.addNumber("Interval ms", h.IntervalMS)
	p.addNumber("Axes", float64(len(h.Sensors)))
	p.add("Sensors", strings.Join(slices.Compact(names), ", "))
}
