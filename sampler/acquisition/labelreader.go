package acquisition

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A labelReader walks a label file piece by piece within its limits.
type labelReader struct {
	dec   *json.Decoder
	count int // files read so far
}

func newLabelReader(r io.Reader) *labelReader {
	return &labelReader{dec: json.NewDecoder(&boundedReader{r: r, left: maxLabelFile})}
}

// boundedReader fails after so many bytes instead of pretending an end.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrLabelFile, maxLabelFile)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// blame marks what is the file's own fault; errors of the reader below stay
// what they are.
func (l *labelReader) blame(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil || errors.Is(err, ErrLabelFile):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends too early", ErrLabelFile)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: at byte %d: %w", ErrLabelFile, l.dec.InputOffset(), err)
	}
	return err
}

// object walks one JSON object; take must consume the value of each key.
func (l *labelReader) object(take func(key string) error) error {
	if err := l.delim('{'); err != nil {
		return err
	}
	for l.dec.More() {
		token, err := l.dec.Token()
		if err != nil {
			return l.blame(err)
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("%w: at byte %d: %v where a key should be", ErrLabelFile, l.dec.InputOffset(), token)
		}
		if err := take(key); err != nil {
			return err
		}
	}
	return l.delim('}')
}

// list walks an array of what the label file says of single files.
func (l *labelReader) list(take func(json.RawMessage) error) error {
	if err := l.delim('['); err != nil {
		return err
	}
	for l.dec.More() {
		raw, err := l.oneFile()
		if err != nil {
			return err
		}
		if err := take(raw); err != nil {
			return err
		}
	}
	return l.delim(']')
}

// lines walks the line form, where each line carries one element of a list.
func (l *labelReader) lines(list string, take func(json.RawMessage) error) error {
	for l.dec.More() {
		raw, err := l.oneFile()
		if err != nil {
			return err
		}
		var line struct {
			Key   string          `json:"__key"`
			Value json.RawMessage `json:"__item"`
		}
		if err := json.Unmarshal(raw, &line); err != nil {
			return l.blame(err)
		}
		if line.Key != list || line.Value == nil {
			continue
		}
		if err := take(line.Value); err != nil {
			return err
		}
	}
	return l.end()
}

// oneFile reads what is said of one file, still as text.
func (l *labelReader) oneFile() (json.RawMessage, error) {
	if l.count++; l.count > maxLabelFiles {
		return nil, fmt.Errorf("%w: more than %d files", ErrLabelFile, maxLabelFiles)
	}
	var raw json.RawMessage
	if err := l.value(&raw); err != nil {
		return nil, err
	}
	if len(raw) > maxLabelText {
		return nil, fmt.Errorf("%w: file %d: more than %d bytes", ErrLabelFile, l.count, maxLabelText)
	}
	return raw, nil
}

func (l *labelReader) value(v any) error { return l.blame(l.dec.Decode(v)) }

func (l *labelReader) skip() error {
	var raw json.RawMessage
	return l.value(&raw)
}

func (l *labelReader) version() error {
	var version json.RawMessage
	if err := l.value(&version); err != nil {
		return err
	}
	if string(version) != "1" {
		return fmt.Errorf("%w: version %s, known is 1", ErrLabelFile, version)
	}
	return nil
}

func (l *labelReader) delim(want json.Delim) error {
	token, err := l.dec.Token()
	if err != nil {
		return l.blame(err)
	}
	if token != want {
		return fmt.Errorf("%w: at byte %d: %v where %v should be", ErrLabelFile, l.dec.InputOffset(), token, want)
	}
	return nil
}

// end makes sure that nothing follows.
func (l *labelReader) end() error {
	token, err := l.dec.Token()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return l.blame(err)
	}
	return fmt.Errorf("%w: %v follows the end", ErrLabelFile, token)
}
