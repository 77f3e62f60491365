package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/spool"
)

// logName is the dataset's truth: a line for each file, its CRC-32C in hex
// before it. info.labels is written from it.
const logName = ".dataset.log"

// maxRow bounds a line of the log.
const maxRow = 1 << 20

// A row is one file of the dataset as the manifest has it.
type row struct {
	acquisition.ManifestFile
	// Again: the file was there already, and its row may be as well, if no
	// crash came between the two.
	Again bool `json:"again,omitempty"`
}

// newRow describes a record under the path where it is.
func newRow(rec *spool.Record, at string, again bool) row {
	f := acquisition.ManifestFile{Path: at, Category: rec.Dataset, Metadata: rec.Metadata}
	if rec.Name != "" && path.Base(at) != rec.Name {
		f.Name = strings.TrimSuffix(rec.Name, path.Ext(at)) // the uploader adds the extension
	}
	for _, b := range rec.Label.Boxes {
		f.Boxes = append(f.Boxes, acquisition.Box(b))
	}
	segments := make([]acquisition.Segment, 0, len(rec.Label.Segments))
	for _, s := range rec.Label.Segments {
		segments = append(segments, acquisition.Segment(s))
	}
	for _, c := range rec.Companions {
		switch c.Name {
		case acquisition.BoundingBoxesName:
			if boxes, err := acquisition.ParseBoundingBoxes(bytes.NewReader(c.Bytes)); err == nil {
				f.Boxes = ofFile(boxes, rec.Name, f.Boxes)
			}
		case acquisition.StructuredLabelsName:
			if labels, err := acquisition.ParseStructuredLabels(bytes.NewReader(c.Bytes)); err == nil {
				segments = ofFile(labels, rec.Name, segments)
			}
		}
	}
	switch {
	case len(segments) > 0:
		f.Label = acquisition.Label{Type: acquisition.LabelSegments, Segments: segments}
	case len(rec.Label.Pairs) > 0:
		f.Label = acquisition.Label{Type: acquisition.LabelPairs, Pairs: rec.Label.Pairs}
	case rec.Label.Text != "":
		f.Label = acquisition.Label{Type: acquisition.LabelText, Text: rec.Label.Text}
	default:
		f.Label = acquisition.Label{Type: acquisition.LabelNone}
	}
	return row{f, again}
}

// ofFile picks the labels of one file out of a label file that came with it.
func ofFile[T any](labels map[string][]T, name string, or []T) []T {
	if list, ok := labels[name]; ok {
		return list
	}
	if len(labels) == 1 {
		for _, list := range labels {
			return list
		}
	}
	return or
}

// A rowLog is the open log.
type rowLog struct {
	file  *os.File
	path  string
	size  int64
	count int64
	again bool // some rows may be there twice
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openRows opens or begins the log of a dataset. A dataset that came from
// elsewhere, with an info.labels and no log, is taken over.
func openRows(root string) (*rowLog, error) {
	full := filepath.Join(root, logName)
	_, err := os.Stat(full)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(full, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open dataset log: %w", err)
	}
	l := &rowLog{file: f, path: full}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("open dataset log: %s is held by another program: %w", full, err)
	}
	if fresh {
		err = l.takeOver(root)
	} else {
		err = l.mend()
	}
	if err == nil {
		err = syncFolder(root)
	}
	if err != nil {
		f.Close()
		if fresh {
			os.Remove(full)
		}
		return nil, err
	}
	return l, nil
}

// takeOver begins the log with what an info.labels from elsewhere says.
func (l *rowLog) takeOver(root string) error {
	f, err := os.Open(filepath.Join(root, acquisition.ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take over dataset: %w", err)
	}
	defer f.Close()
	var rows []row
	err = acquisition.ReadManifest(f, func(m acquisition.ManifestFile) error {
		if rows = append(rows, row{m, false}); len(rows) < 500 {
			return nil
		}
		err := l.append(rows)
		rows = rows[:0]
		return err
	})
	if err == nil {
		err = l.append(rows)
	}
	if err != nil {
		return fmt.Errorf("take over dataset (move its info.labels away to begin anew): %w", err)
	}
	return nil
}

// mend counts the rows and ends a line that a power cut has torn.
func (l *rowLog) mend() error {
	err := l.each(func(r row) error {
		l.count++
		l.again = l.again || r.Again
		return nil
	})
	if err != nil {
		return err
	}
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("read dataset log: %w", err)
	}
	l.size = info.Size()
	if l.size == 0 {
		return nil
	}
	var last [1]byte
	if _, err := l.file.ReadAt(last[:], l.size-1); err != nil {
		return fmt.Errorf("read dataset log: %w", err)
	}
	if last[0] == '\n' {
		return nil
	}
	if _, err := l.file.Write([]byte{'\n'}); err != nil {
		return fmt.Errorf("mend dataset log: %w", err)
	}
	l.size++
	return nil
}

// append writes rows with one write and one sync.
func (l *rowLog) append(rows []row) error {
	var b bytes.Buffer
	for _, r := range rows {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("write dataset log: %s: %w", r.Path, err)
		}
		fmt.Fprintf(&b, "%08x %s\n", crc32.Checksum(text, castagnoli), text)
		l.again = l.again || r.Again
	}
	if b.Len() == 0 {
		return nil
	}
	n, err := l.file.Write(b.Bytes())
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		if n > 0 { // do not let the next row grow on a torn one
			_ = l.file.Truncate(l.size)
		}
		return fmt.Errorf("write dataset log: %w", err)
	}
	l.size += int64(n)
	l.count += int64(len(rows))
	return nil
}

// each calls f with every whole row, oldest first. Damaged lines are passed
// over: their files are still there.
func (l *rowLog) each(f func(row) error) error {
	r := bufio.NewReaderSize(io.NewSectionReader(l.file, 0, 1<<62), 64<<10)
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		if len(line) <= maxRow {
			line = append(line, piece...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			return nil // a torn last line is no row
		}
		if err != nil {
			return fmt.Errorf("read dataset log: %w", err)
		}
		if parsed, ok := parseRow(bytes.TrimSuffix(line, []byte("\n"))); ok {
			if err := f(parsed); err != nil {
				return err
			}
		}
		line = line[:0]
	}
}

func parseRow(line []byte) (r row, ok bool) {
	if len(line) < 10 || len(line) > maxRow || line[8] != ' ' {
		return row{}, false
	}
	if string(line[:8]) != fmt.Sprintf("%08x", crc32.Checksum(line[9:], castagnoli)) {
		return row{}, false
	}
	return r, json.Unmarshal(line[9:], &r) == nil
}

func (l *rowLog) close() error { return l.file.Close() }
