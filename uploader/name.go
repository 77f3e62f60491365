package uploader

import (
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edgespool/edgespool/spool"
)

// MaxName bounds a file name in bytes, as file systems do.
const MaxName = 255

// FileName is the name under which a record goes, fit for a file system and
// for a header: no folders, quotes or control characters. A file keeps its
// own name; a window without one is <label>.<id>.cbor.
func FileName(rec *spool.Record) string {
	name := rec.Name
	if name == "" && rec.Kind == spool.KindWindow {
		name = TameName(rec.Label.Text) + "." + rec.ID() + ".cbor"
	}
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' || r == '\\' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, name[strings.LastIndexByte(name, '/')+1:])
	if strings.Trim(name, ".") == "" {
		name = rec.ID()
	}
	return ShortenName(name, MaxName)
}

// ShortenName cuts a name to n bytes and keeps a usual extension.
func ShortenName(name string, n int) string {
	if len(name) <= n {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > 16 {
		ext = ""
	}
	return strings.ToValidUTF8(name[:n-len(ext)], "") + ext
}

// TameName has "_" for every character of a label that is none of letters and
// digits of ASCII, blank, "_" and "-"; "unlabelled" for no label.
func TameName(label string) string {
	if label == "" {
		return "unlabelled"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == ' ', r == '_', r == '-':
			return r
		}
		return '_'
	}, label)
}

// shortest is how long a window lasts at least whose date alone tells it from
// an equal one: dates have whole seconds.
const shortest = time.Second

// Stamp is what tells a window's document from that of an equal window: its
// date in seconds since 1970, 0 if it is not known, and its id where a date
// is missing or too coarse. So a machine at rest is not taken to repeat
// itself, and a repeat has the same bytes.
func Stamp(rec *spool.Record, dated func(*spool.Record) (time.Time, bool)) (date int64, id string) {
	if at, ok := dated(rec); ok {
		date = max(at.Unix(), 0)
	}
	if date == 0 || rec.Length < shortest {
		id = rec.ID()
	}
	return date, id
}
