package listener

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// inspect finds out what a file is: by its name as Edge Impulse does, else by
// the client's word, else by its first byte. Documents are read to their end
// and refused if Edge Impulse would refuse them; the summary is zero for
// files that are no documents.
func inspect(f file) (contentType string, document acquisition.Summary, err error) {
	kind := acquisition.ContentType(f.name)
	if kind == anyBytes && extensionOf(f.contentType) != "" {
		kind = f.contentType
	}
	if kind != anyBytes && !isDocument(kind) {
		return kind, acquisition.Summary{}, nil
	}
	from, err := f.body.Open()
	if err != nil {
		return "", acquisition.Summary{}, fmt.Errorf("check %s: %w", f.name, err)
	}
	defer from.Close()
	r := bufio.NewReader(from)
	if first, err := r.Peek(1); kind == anyBytes && (err == nil || errors.Is(err, io.EOF)) && !opensDocument(first) {
		return "", acquisition.Summary{}, fileFault(fmt.Sprintf("Invalid mimetype: files like %s are not supported", f.name))
	}
	document, err = acquisition.Inspect(r, acquisition.InspectOptions{})
	switch {
	case errors.Is(err, acquisition.ErrMalformed):
		return "", document, fileFault("Invalid document: " + err.Error())
	case err != nil:
		return "", document, fmt.Errorf("check %s: %w", f.name, err)
	}
	return acquisition.ContentType("." + string(document.Encoding)), document, nil
}

// isDocument tells whether files of this type are acquisition documents.
func isDocument(contentType string) bool {
	return contentType == acquisition.ContentType(".cbor") || contentType == acquisition.ContentType(".json")
}

// opensDocument tells whether a file may be a document: a JSON object or a
// CBOR map (RFC 8949, major type 5).
func opensDocument(first []byte) bool {
	return len(first) > 0 && (first[0] == '{' || first[0]>>5 == 5)
}
