package listener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/spool"
)

// Edge Impulse's documented limit of files in a request, and how many parts
// that are no files (fields of a form) may stand between them.
const (
	mostFiles  = 1000
	mostFields = 100
)

// The names that a part of a request may have: data is the documented one,
// the other that of older clients, such as OpenMV's.
var fileFields = [...]string{"data", "attachments[]"}

// A file is one sample, or one thing that goes with a sample, as it came.
type file struct {
	// name is the file's name at the client, without its path.
	name string
	// contentType is what the client says, which is not always true.
	contentType string
	body        spool.Body
	// fault says why the file is refused; body may then be nil.
	fault string
}

// A shipment is what a request brought.
type shipment struct {
	sink   sampler.Sink
	limit  int64
	files  []file
	labels labelFiles
}

// readParts takes the parts of a multipart body one after another. Bodies
// are staged as they come; nothing is a record before the request has ended.
func (s *shipment) readParts(ctx context.Context, parts *multipart.Reader) *refusal {
	fields := 0
	for {
		p, err := parts.NextPart()
		if err == io.EOF { // exactly: a body cut short is an EOF in a wrapping
			return nil
		}
		if err != nil {
			return bodyRefusal(err)
		}
		switch {
		case p.FileName() == "" && !isFileField(p.FormName()):
			if fields++; fields > mostFields {
				return refuse(http.StatusRequestEntityTooLarge, "The request has more than %d form fields", mostFields)
			}
		case isLabelFile(p.FileName()):
			if no := s.labels.read(p); no != nil {
				return no
			}
		case len(s.files) == mostFiles:
			return refuse(http.StatusRequestEntityTooLarge, "The request has more than %d files", mostFiles)
		default:
			if no := s.readPart(ctx, p); no != nil {
				return no
			}
		}
	}
}

func isFileField(name string) bool { return name == fileFields[0] || name == fileFields[1] }

// readPart stages one file. A fault of the file is noted in it, and the rest
// of the request goes on.
func (s *shipment) readPart(ctx context.Context, p *multipart.Part) *refusal {
	name, err := baseName(p.FileName())
	if err != nil {
		s.files = append(s.files, file{fault: "Invalid file name: " + err.Error()})
		return nil
	}
	kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
	f := file{name: name, contentType: kind}
	if strings.HasSuffix(strings.ToLower(name), ".labels") {
		// info.labels is for uploaders; the service takes it for a sample.
		f.fault = fmt.Sprintf("Invalid mimetype: %s is no sample", name)
	} else if no := s.stage(ctx, p, &f); no != nil {
		return no
	}
	s.files = append(s.files, f)
	return nil
}

// readBare takes a body that is one file.
func (s *shipment) readBare(ctx context.Context, from io.Reader, rawName, kind string) *refusal {
	name, err := baseName(rawName)
	if err != nil {
		return refuse(http.StatusBadRequest, "Invalid x-file-name header: %v", err)
	}
	f := file{name: name, contentType: kind}
	if no := s.stage(ctx, from, &f); no != nil {
		return no
	}
	s.files = append(s.files, f)
	return nil
}

// stage hands a file's bytes to the spool as they come.
func (s *shipment) stage(ctx context.Context, from io.Reader, f *file) *refusal {
	client := &watched{from: from}
	body, err := s.sink.Stage(ctx, client, s.limit)
	switch {
	case client.err != nil:
		return bodyRefusal(client.err)
	case errors.Is(err, spool.ErrTooLarge):
		f.fault = fmt.Sprintf("The file is larger than %d bytes", s.limit)
	case err != nil:
		return spoolRefusal(err)
	case body.Size() == 0:
		f.fault = "The file is empty"
	default:
		f.body = body
	}
	return nil
}
