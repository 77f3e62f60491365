package sampler

import "bytes"

// MaxLine is the longest line taken, in bytes; longer ones are dropped.
const MaxLine = 64 << 10

// A Splitter cuts a stream of bytes into lines that end with LF, CR LF or CR.
// An empty line between CR and LF is nothing to worry about: blank lines mean
// nothing. The zero value is ready.
type Splitter struct {
	part []byte // of a line that goes on
	long bool   // that line is too long already
}

// Next takes bytes up to the end of the first line. It returns the line
// without its end, which holds until the next call, and what is left of the
// bytes; ok is false when there is no whole line yet. A line that is too long
// comes back empty, with long set.
func (s *Splitter) Next(b []byte) (line, rest []byte, long, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if cr := bytes.IndexByte(b[:max(end, 0)], '\r'); end < 0 {
		end = bytes.IndexByte(b, '\r')
	} else if cr >= 0 {
		end = cr
	}
	if end < 0 {
		s.keep(b)
		return nil, nil, false, false
	}
	line, rest = b[:end], b[end+1:]
	if len(s.part) > 0 || s.long {
		s.keep(line)
		line, long = s.part, s.long
	}
	if len(line) > MaxLine {
		long = true
	}
	s.Reset()
	if long {
		return nil, rest, true, true
	}
	return line, rest, false, true
}

func (s *Splitter) keep(b []byte) {
	if s.long || len(s.part)+len(b) > MaxLine {
		s.part, s.long = s.part[:0], true
		return
	}
	s.part = append(s.part, b...)
}

// Reset forgets a line that has not ended.
func (s *Splitter) Reset() { s.part, s.long = s.part[:0], false }
