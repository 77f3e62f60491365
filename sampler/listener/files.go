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
	"sync/atomic"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// Edge Impulse's documented limit of files in a request, and how many parts
// that are no files (fields of a form) may stand between them.
const (
	mostFiles  = 1000
	mostFields = 100
)

// The spool keeps staged bodies of up to smallBody bytes in memory until the
// request ends, so requests together may hold mostHeld of such bytes.
const (
	smallBody = 64 << 10
	mostHeld  = 32 << 20
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
	// about describes the files where a document of their own does (legacy).
	about acquisition.Summary
	// held are the bytes in memory, counted in inMemory for all requests.
	held     int64
	inMemory *atomic.Int64
}

// unload reads the body to its end.
func (s *shipment) unload(ctx context.Context, r *http.Request, b *body, o order) *refusal {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	boundary := ""
	if kind == "multipart/form-data" {
		boundary = params["boundary"]
	}
	var no *refusal
	switch {
	case o.legacy:
		no = s.unloadData(ctx, b, kind, boundary, o.fileName)
	case boundary == "":
		no = refuse(http.StatusUnsupportedMediaType, "Content-Type must be multipart/form-data with a boundary")
	default:
		no = s.readParts(ctx, multipart.NewReader(b, boundary))
	}
	if no != nil {
		return no
	}
	if err := b.finish(); err != nil {
		return bodyRefusal(err)
	}
	return nil
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
		return s.hold(body.Size())
	}
	return nil
}

// hold counts a body that stays in memory.
func (s *shipment) hold(size int64) *refusal {
	if size > smallBody {
		return nil
	}
	s.held += size
	switch all := s.inMemory.Add(size); {
	case s.held > mostHeld:
		return refuse(http.StatusRequestEntityTooLarge, "The request has more than %d bytes of small files, send fewer files at once", mostHeld)
	case all > mostHeld:
		return later("Too many files at once", briefly)
	}
	return nil
}

// letGo ends the request's part in what is in memory.
func (s *shipment) letGo() { s.inMemory.Add(-s.held) }
