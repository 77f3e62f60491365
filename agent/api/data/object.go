package data

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/edgespool/edgespool/spool"
)

// maxID bounds an object's id in bytes; the wire says nothing.
const maxID = 1024

// An object is one JSON object with an id, on one line.
type object struct {
	id   string
	text json.RawMessage
}

// parseObject checks one object and puts it on one line.
func parseObject(text []byte) (object, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return object{}, errors.New("it is not a JSON object")
		}
		return object{}, fmt.Errorf("it is not JSON: %w", err)
	}
	if members == nil {
		return object{}, errors.New("it is not a JSON object")
	}
	raw, given := members["id"]
	var id string
	switch {
	case !given:
		return object{}, errors.New("it has no id; give it one that stays the same")
	case json.Unmarshal(raw, &id) != nil || raw[0] != '"':
		return object{}, errors.New("its id is not a string; write it in quotes")
	case id == "" || len(id) > maxID:
		return object{}, fmt.Errorf("its id has %d bytes; use 1 to %d", len(id), maxID)
	case !utf8.ValidString(id):
		return object{}, errors.New("its id is not UTF-8")
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return object{}, fmt.Errorf("it is not JSON: %w", err)
	}
	return object{id: id, text: line.Bytes()}, nil
}

// record is the object as the spool keeps it. Its identity is that of this
// very delivery, by request and place: the same object sent again is judged
// again, also one that goes back to what it once was, while an upload that is
// repeated after a lost answer brings nothing twice.
func (s *Service) record(ns string, o object, request string, place uint64) spool.Record {
	body := spool.Bytes(o.text)
	h := sha256.New()
	fmt.Fprintf(h, "data object\x00%s\x00%s\x00", ns, request)
	sum := body.SHA256()
	h.Write(append(binary.BigEndian.AppendUint64(nil, place), sum[:]...))
	rec := spool.Record{
		Kind: spool.KindFile, Identity: [32]byte(h.Sum(nil)), Name: o.id + ".json", Dataset: objectsDataset + ns,
		ContentType: "application/json", Source: "data-api", Metadata: map[string]string{metaRequest: request},
		DeviceName: s.deps.Device.Name, DeviceType: s.deps.Device.Type, Body: body,
	}
	if s.deps.Now != nil {
		rec.Time = s.deps.Now()
	}
	return rec
}

// errLongLine: a line is longer than an object may be. It has been passed.
var errLongLine = errors.New("it is larger than an object may be")

// A lineReader gives the lines of a text, one at a time.
type lineReader struct {
	from *bufio.Reader
	max  int
	line []byte
}

func newLineReader(r io.Reader, maximum int) *lineReader {
	return &lineReader{from: bufio.NewReaderSize(r, 64<<10), max: maximum}
}

// next returns the next line without its end; it is good until the next call.
// The last one needs no end. io.EOF when there are no more; errLongLine leaves
// the reader behind a line that was too long.
func (l *lineReader) next() ([]byte, error) {
	l.line = l.line[:0]
	long := false
	for {
		part, err := l.from.ReadSlice('\n')
		if long = long || len(l.line)+len(part) > l.max+2; !long {
			l.line = append(l.line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil || errors.Is(err, io.EOF) && (long || len(l.line) > 0):
		default:
			return nil, err
		}
		if long {
			return nil, errLongLine
		}
		return bytes.TrimRight(l.line, "\r\n"), nil
	}
}
