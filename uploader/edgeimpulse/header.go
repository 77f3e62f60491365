package edgeimpulse

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/edgespool/edgespool/spool"
)

const upperHex = "0123456789ABCDEF"

// percentEncode is encodeURIComponent of JavaScript, which the service undoes
// on x-label and x-file-name. What is not UTF-8 becomes U+FFFD.
func percentEncode(s string) string {
	const plain = "-_.!~*'()"
	var b strings.Builder
	for _, c := range []byte(strings.ToValidUTF8(s, "\uFFFD")) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(plain, c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// metadataHeader is x-metadata: a JSON object with sorted keys, everything
// beyond ASCII escaped, since the service does not undo percent signs there.
// Empty without pairs.
func metadataHeader(pairs map[string]string) string {
	if len(pairs) == 0 {
		return ""
	}
	text, err := json.Marshal(pairs)
	if err != nil { // texts by texts always can be written
		return ""
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b.WriteByte(byte(r))
		case r > 0xffff:
			r -= 0x10000
			writeEscape(&b, 0xd800+r>>10)
			writeEscape(&b, 0xdc00+r&0x3ff)
		default:
			writeEscape(&b, r)
		}
	}
	return b.String()
}

func writeEscape(b *strings.Builder, r rune) {
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(upperHex[r>>shift&15])
	}
}

// metadata joins what goes with a record: the destination's pairs, under the
// record's own, under its time where each record tells its own.
func (d *Destination) metadata(rec *spool.Record) map[string]string {
	each := d.config.MetadataTime || rec.Dataset == "anomaly"
	if len(d.config.Metadata)+len(rec.Metadata) == 0 && !each {
		return nil
	}
	pairs := maps.Clone(d.config.Metadata)
	if pairs == nil {
		pairs = make(map[string]string, len(rec.Metadata)+2)
	}
	_, judged := rec.Metadata[spool.KeyAnomalyScore]
	for key, value := range rec.Metadata {
		// Scores differ from record to record, and metadata is a request's.
		if each || !judged || !slices.Contains(spool.ScoreKeys, key) {
			pairs[key] = value
		}
	}
	if each {
		pairs["record"] = rec.ID()
		if at, ok := d.dated(rec); ok {
			pairs["captured_at"] = at.UTC().Format("2006-01-02T15:04:05.000Z")
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return pairs
}
