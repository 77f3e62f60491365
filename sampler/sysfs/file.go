package sysfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A file holds a sensor's value as text.
type file struct {
	pattern string // of its path
	mark    []byte // what the number follows; empty: nothing
	handle  *os.File
}

// maxText is more than a file of one value has; sysfs ends at a page.
const maxText = 4096

func (c *Config) files() (all []*file) {
	for _, s := range c.Sensors {
		pattern, mark, _ := strings.Cut(s.Field, " ")
		all = append(all, &file{pattern: pattern, mark: []byte(mark)})
	}
	return all
}

// open finds and opens the file, the first one of several. It stays open as
// long as it can be read.
func (f *file) open() error {
	if f.handle != nil {
		return nil
	}
	path := f.pattern
	if strings.ContainsAny(path, "*?[") {
		found, _ := filepath.Glob(path) // Validate has tried the pattern
		if len(found) == 0 {
			return fmt.Errorf("open %s: %w", path, os.ErrNotExist)
		}
		path = found[0]
	}
	opened, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold us up
	if err != nil {
		return err
	}
	if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = opened.Close()
		return fmt.Errorf("open %s: it is no file that holds a number", path)
	}
	f.handle = opened
	return nil
}

func (f *file) close() {
	if f.handle != nil {
		_ = f.handle.Close()
		f.handle = nil
	}
}

// read appends the number to line.
func (f *file) read(line, room []byte) ([]byte, error) {
	if err := f.open(); err != nil {
		return line, err
	}
	n, err := f.handle.ReadAt(room, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.close() // its device may be another one now
		return line, err
	}
	number, err := f.number(room[:n])
	if err != nil {
		return line, fmt.Errorf("read %s: %w", f.handle.Name(), err)
	}
	return append(line, number...), nil
}

// number finds the number in the text of a file.
func (f *file) number(text []byte) ([]byte, error) {
	if len(f.mark) > 0 {
		at := bytes.LastIndex(text, f.mark)
		switch {
		case at < 0:
			return nil, fmt.Errorf("there is no %q in it", f.mark)
		case bytes.Contains(text, []byte(" NO\n")): // how 1-Wire says it
			return nil, errors.New("sensor's check value is wrong")
		}
		text = text[at+len(f.mark):]
	}
	words := bytes.Fields(text)
	if len(words) == 0 {
		return nil, errors.New("it is empty")
	}
	if _, err := strconv.ParseFloat(string(words[0]), 64); err != nil {
		return nil, fmt.Errorf("%q is not a number", words[0][:min(len(words[0]), 40)])
	}
	return words[0], nil
}
