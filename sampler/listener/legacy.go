package listener

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// unloadData takes the body of a request to /data: one bare file, or parts.
func (s *shipment) unloadData(ctx context.Context, b io.Reader, kind, boundary, rawName string) *refusal {
	if rawName == "" {
		// The documentation says 421; the service was seen to answer 422,
		// which is also what the number means.
		return refuse(http.StatusUnprocessableEntity, "Missing x-file-name header")
	}
	name, err := baseName(rawName)
	if err != nil {
		return refuse(http.StatusBadRequest, "Invalid x-file-name header: %v", err)
	}
	switch {
	case boundary != "":
		if no := s.readParts(ctx, multipart.NewReader(b, boundary)); no != nil {
			return no
		}
		s.unwrap(name)
		return nil
	case kind == "" || kind == anyBytes || extensionOf(kind) != "":
		f := file{name: name, contentType: kind}
		no := s.stage(ctx, b, &f)
		s.files = append(s.files, f)
		return no
	}
	return refuse(http.StatusUnsupportedMediaType,
		"Content-Type %q is not supported, use application/json, application/cbor, application/octet-stream or multipart/form-data", kind)
}

// unwrap takes parts the way clients such as OpenMV's mean them: a document
// whose values name a file ("Ref-BINARY-image/jpeg …") comes before that file
// and says where it is from, and is no sample of its own. A sample that is
// alone goes by the name in x-file-name.
func (s *shipment) unwrap(name string) {
	if len(s.files) == 2 && s.files[0].fault == "" {
		_, document, err := inspect(s.files[0])
		if err == nil && strings.Contains(document.Binary, "/") {
			s.about, s.files = document, s.files[1:]
		}
	}
	if len(s.files) != 1 {
		return
	}
	f := &s.files[0]
	if kind := acquisition.ContentType(f.name); kind != anyBytes {
		f.contentType = kind // the new name may not say it
	}
	f.name = name
}
