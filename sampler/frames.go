package sampler

import (
	"bytes"
)

// A frameSplitter cuts frames out of a stream of bytes. After bytes that are
// no frame it goes on at the very next one, so that no good frame is lost to
// a false beginning before it.
type frameSplitter struct {
	sync   []byte
	length part // its size is 0 if all frames have the size
	adds   int
	size   int
	least  int // no frame is shorter
	check  check

	held []byte
	at   int // where in held to go on
	frameCounts
}

// frameCounts are what a splitter of frames did not hand on.
type frameCounts struct {
	skipped uint64 // bytes that belong to no frame
	bad     uint64 // frames whose check value is wrong
}

func (f *FrameConfig) splitter() *frameSplitter {
	s := &frameSplitter{length: f.lengthPart(), adds: f.LengthAdds, size: f.Size}
	s.sync, _ = hexBytes(f.Sync)
	s.check, _ = findCheck(f.Check)
	s.check.from = f.CheckFrom
	s.least = max(1, f.header(), f.CheckFrom) + s.check.size
	if s.size == 0 {
		s.size = usualMaximum
	}
	return s
}

// Next is like Splitter.Next. It keeps what it has not handed on, so that
// nothing is ever left of the bytes.
func (s *frameSplitter) Next(b []byte) (frame, rest []byte, long, ok bool) {
	if len(b) > 0 {
		s.held = append(s.held[:copy(s.held, s.held[s.at:])], b...)
		s.at = 0
	}
	for {
		s.skip(s.find())
		left := s.held[s.at:]
		n, ok := s.measure(left)
		switch {
		case ok && n > len(left), len(left) == 0:
			return nil, nil, false, false
		case ok && s.check.good(left[:n]):
			s.at += n
			return left[:n], nil, false, true
		case ok && len(s.sync) > 0:
			s.bad++
		}
		s.skip(1)
	}
}

func (s *frameSplitter) skip(n int) {
	s.at += n
	s.skipped += uint64(n)
}

// find tells how many bytes come before what may be the next beginning.
func (s *frameSplitter) find() int {
	left := s.held[s.at:]
	if i := bytes.Index(left, s.sync); i >= 0 {
		return i
	}
	for n := min(len(s.sync)-1, len(left)); n > 0; n-- {
		if bytes.HasSuffix(left, s.sync[:n]) {
			return len(left) - n // the rest is still to come
		}
	}
	return len(left)
}

// measure tells how long a frame is that begins here, or, as far as there is
// less, how much it takes to know; ok is false if none does.
func (s *frameSplitter) measure(b []byte) (n int, ok bool) {
	if s.length.size == 0 {
		return s.size, true
	}
	if n = max(s.least, s.length.offset+s.length.size); len(b) < n {
		return n, true
	}
	n = int(min(s.length.raw(b), maxFrame)) + s.adds
	return n, n >= s.least && n <= s.size
}
