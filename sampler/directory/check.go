package directory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
)

// A refusal is why Edge Impulse would never take a file.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...)}
}

// checkOutside refuses by name and size, before anything is read.
func checkOutside(path string, size int64) error {
	if size > sampler.MaxBody {
		return refuse("it has %d bytes, Edge Impulse takes up to %d", size, sampler.MaxBody)
	}
	if !accepted(path) {
		return refuse("Edge Impulse takes no files of type %q", filepath.Ext(path))
	}
	return nil
}

// checkInside refuses by content what can be told without guessing: documents
// and tables of nothing. Other kinds are Edge Impulse's to judge.
func checkInside(path string, size int64, r io.Reader, segments []acquisition.Segment) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".cbor", ".json":
		return checkDocument(r, size, segments)
	case ".csv":
		return checkTable(r)
	}
	return nil
}

func checkDocument(r io.Reader, size int64, segments []acquisition.Segment) error {
	summary, err := acquisition.Validate(r, size)
	if errors.Is(err, acquisition.ErrMalformed) {
		return refuse("%v", err)
	}
	if err != nil {
		return err
	}
	if len(segments) > 0 && summary.Rows <= maxRows {
		if err := acquisition.CheckSegments(segments, int(summary.Rows)); err != nil {
			return refuse("its structured label does not fit: %v", err)
		}
	}
	return nil
}

// maxRows is more than the rows that a document can have.
const maxRows = sampler.MaxBody

// checkTable refuses a table without a single row of data. A file of one line
// may still be a row without a header, which a project can be set up for.
func checkTable(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	first, err := nextLine(lines)
	if err != nil {
		return err
	}
	if first == "" {
		return refuse("the table is empty")
	}
	second, err := nextLine(lines)
	if err != nil || second != "" {
		return err
	}
	for cell := range strings.FieldsFuncSeq(first, func(r rune) bool { return r == ',' || r == ';' || r == '\t' }) {
		if _, err := strconv.ParseFloat(strings.Trim(cell, " \""), 64); err == nil {
			return nil
		}
	}
	return refuse("the table has a header and no row")
}

// nextLine is the next line with something on it, as far as the buffer holds
// it; "" at the end.
func nextLine(r *bufio.Reader) (string, error) {
	for {
		line, err := r.ReadSlice('\n')
		text := strings.TrimSpace(string(line))
		switch {
		case text != "":
			return text, nil
		case errors.Is(err, io.EOF):
			return "", nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
	}
}
