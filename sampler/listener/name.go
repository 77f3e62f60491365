package listener

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// longestName is the longest file name taken, in bytes: one that every file
// system holds, with room for what a dataset folder adds to make it unique.
const longestName = 200

// baseName makes a file name of what a client called its file: the last
// element of the path, as text. A name that could lead out of a folder, or
// says nothing, is an error.
func baseName(raw string) (string, error) {
	name := path.Base(strings.ReplaceAll(plainText(raw), `\`, "/"))
	switch {
	case raw == "" || name == "." || name == ".." || name == "/":
		return "", fmt.Errorf("%q is no file name", raw)
	case len(name) > longestName:
		return "", fmt.Errorf("the file name is longer than %d bytes", longestName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%q has control characters", name)
	}
	return name, nil
}

// dated puts an id between a name and its extension, as x-add-date-id asks,
// so that the stored name is unique. The id comes from the content and not
// from the clock, which a board may not have.
func dated(name, id string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + id + ext
}

// anyBytes is the content type that says nothing.
const anyBytes = "application/octet-stream"

// extensions are those of the files that Edge Impulse takes, one a type.
var extensions = [...]string{".cbor", ".json", ".wav", ".png", ".jpg", ".csv", ".txt", ".mp4", ".avi", ".parquet"}

// extensionOf is the extension for a content type, "" if Edge Impulse takes
// no files of this type.
func extensionOf(contentType string) string {
	for _, ext := range extensions {
		if acquisition.ContentType(ext) == contentType {
			return ext
		}
	}
	return ""
}

// withExtension makes sure that the name says what the file is: the legacy
// endpoint gets names without, and Edge Impulse goes by the name later.
func withExtension(name, contentType string) string {
	if acquisition.ContentType(name) != anyBytes {
		return name
	}
	return name + extensionOf(contentType)
}

// plainText makes text of a header or file name: as it is if it is UTF-8,
// else byte by byte as Latin-1, which is what browsers and Node.js put into
// headers for characters up to U+00FF.
func plainText(raw string) string {
	if utf8.ValidString(raw) {
		return raw
	}
	runes := make([]rune, len(raw))
	for i := range len(raw) {
		runes[i] = rune(raw[i])
	}
	return string(runes)
}
