package acquisition

import (
	"path"
	"strings"
)

// InferLabel is the label that Edge Impulse gives a file that comes without
// one: the longest beginning of its name made of letters, digits, white
// space, "-" and "_" of ASCII (white space as JavaScript means it). An empty
// result means that the name gives no label. Only the last path element
// counts. Source: docs.edgeimpulse.com/apis/ingestion.
func InferLabel(fileName string) string {
	name := path.Base(fileName)
	end := strings.IndexFunc(name, func(r rune) bool { return !inLabel(r) })
	if end < 0 {
		end = len(name)
	}
	return name[:end]
}

func inLabel(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return true
	}
	return isScriptSpace(r)
}

// isScriptSpace is \s of ECMAScript: white space and line ends, the byte
// order mark included, U+0085 not.
func isScriptSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff:
		return true
	}
	return 0x2000 <= r && r <= 0x200a
}

// contentTypes are the types that Edge Impulse's own uploader sends.
var contentTypes = map[string]string{
	".cbor":    "application/cbor",
	".json":    "application/json",
	".labels":  "application/json",
	".wav":     "audio/wav",
	".jpg":     "image/jpeg",
	".jpeg":    "image/jpeg",
	".png":     "image/png",
	".csv":     "text/csv",
	".txt":     "text/plain",
	".mp4":     "video/mp4",
	".avi":     "video/avi",
	".parquet": "application/vnd.apache.parquet",
}

// ContentType is the MIME type under which a file of this name is uploaded,
// decided by its extension in any case; application/octet-stream for others.
func ContentType(fileName string) string {
	if t, ok := contentTypes[strings.ToLower(path.Ext(fileName))]; ok {
		return t
	}
	return "application/octet-stream"
}
