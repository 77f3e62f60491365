package listener

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
)

// longestHeader bounds what one header may bring into every record of its
// request: the size that the vendor's own server (Node.js) takes in all.
const longestHeader = 16 << 10

// An order is what the headers of a request want of all its files. The
// headers x-upload-source and x-synthetic-data-job-id say nothing about the
// samples and are not kept.
type order struct {
	// category is that of the path, as the client wrote it.
	category string
	// legacy is set for /data, whose answer has room for one file: if several
	// are sent, one bad one refuses them all.
	legacy bool
	// label is x-label; "" means that there is none, or an empty one.
	label string
	// noLabel forbids to infer the label from the file name; the vendor's
	// uploader sends an empty x-label beside it.
	noLabel bool
	// refuseRepeats answers known content with an error instead of the first
	// one's id. The header's presence decides: clients write 1, true and 0,
	// and the vendor's documentation says "when set".
	refuseRepeats bool
	// addID makes the stored name unique.
	addID bool
	// metadata is x-metadata.
	metadata map[string]string
	// boxes is x-bounding-boxes; empty but not nil marks a background image.
	boxes []acquisition.Box
	// deviceType is x-device-type, for files that do not say it themselves.
	deviceType string
	// fileName is x-file-name, which only /data needs.
	fileName string
}

// readOrder reads the headers. Sources: docs.edgeimpulse.com/apis/ingestion
// and what the vendor's clients send.
func readOrder(h http.Header) (order, *refusal) {
	for _, name := range [...]string{"x-label", "x-metadata", "x-bounding-boxes", "x-device-type", "x-file-name"} {
		if len(h.Get(name)) > longestHeader {
			return order{}, refuse(http.StatusRequestHeaderFieldsTooLarge, "Header %s is longer than %d bytes", name, longestHeader)
		}
	}
	o := order{
		label:         decodePercent(h.Get("x-label")),
		noLabel:       isSet(h.Get("x-no-label")),
		refuseRepeats: len(h.Values("x-disallow-duplicates")) > 0,
		addID:         isSet(h.Get("x-add-date-id")),
		deviceType:    decodePercent(h.Get("x-device-type")),
		fileName:      decodePercent(h.Get("x-file-name")),
	}
	var err error
	if raw := h.Get("x-metadata"); raw != "" {
		if o.metadata, err = decodeMetadata(raw); err != nil {
			return order{}, refuse(http.StatusBadRequest, "Invalid x-metadata header: expected a JSON object of strings, such as {\"site\":\"plant-4\"}")
		}
	}
	if raw := h.Get("x-bounding-boxes"); raw != "" {
		if o.boxes, err = decodeBoxes(raw); err != nil {
			return order{}, refuse(http.StatusBadRequest, "Invalid x-bounding-boxes header: expected a JSON array of {label, x, y, width, height}")
		}
	}
	return o, nil
}

// follow applies what the operator wants: what holds for a while (`record`,
// a button on the page) wins over the client, what holds for good fills in
// what the client leaves open.
func (o *order) follow(choice sampler.Choice, forAWhile bool) {
	if choice.Label != "" && (forAWhile || o.label == "" && !o.noLabel) {
		o.label, o.noLabel = choice.Label, false
	}
	if choice.Category != "" && forAWhile {
		o.category = choice.Category
	}
}

// isSet reads a header that is documented with the value 1.
func isSet(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}

// decodePercent undoes JavaScript's encodeURIComponent. What is not percent
// encoding of UTF-8 was not encoded, and is taken as it stands.
func decodePercent(raw string) string {
	if text, err := url.PathUnescape(raw); err == nil && utf8.ValidString(text) {
		return text
	}
	return plainText(raw)
}

// jsonText is a JSON value that a header carries as it is, with \u escapes,
// or percent-encoded. A value that stands as it is begins with open.
func jsonText(raw, open string) []byte {
	if strings.HasPrefix(strings.TrimSpace(raw), open) {
		return []byte(plainText(raw))
	}
	return []byte(decodePercent(raw))
}

// decodeMetadata reads an object of strings. Edge Impulse knows no other
// values, so null and numbers are errors here rather than there.
func decodeMetadata(raw string) (map[string]string, error) {
	var wire map[string]*string
	if err := json.Unmarshal(jsonText(raw, "{"), &wire); err != nil {
		return nil, err
	}
	pairs := make(map[string]string, len(wire))
	for k, v := range wire {
		if v == nil {
			return nil, errNoString
		}
		pairs[k] = *v
	}
	return pairs, nil
}

// decodeBoxes reads what x-bounding-boxes says of the one image of a request.
func decodeBoxes(raw string) ([]acquisition.Box, error) {
	boxes := []acquisition.Box{}
	err := json.Unmarshal(jsonText(raw, "["), &boxes)
	if err != nil {
		return nil, err
	}
	_, err = acquisition.BoundingBoxes("image", boxes) // checks their sizes
	return append([]acquisition.Box{}, boxes...), err
}
