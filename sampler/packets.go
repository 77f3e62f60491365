package sampler

import "bytes"

// A packetSplitter cuts packets that end with a byte of their own, as SLIP
// (RFC 1055) and COBS (Cheshire and Baker 1999) have it, and decodes them.
type packetSplitter struct {
	end    byte
	decode func(b []byte) ([]byte, bool) // in place
	sync   []byte
	size   int // 0: any
	check  check

	part  []byte
	long  bool // part is too long already
	done  bool // part has been handed on
	begun bool // a packet has ended, so the next one is whole
	frameCounts
}

func (c *ReadingConfig) packetSplitter() *packetSplitter {
	f := &c.Frame
	s := &packetSplitter{decode: decodeCOBS, size: f.Size}
	if c.Format == FormatSLIP {
		s.end, s.decode = slipEnd, decodeSLIP
	}
	s.sync, _ = hexBytes(f.Sync)
	s.check, _ = findCheck(f.Check)
	s.check.from = f.CheckFrom
	return s
}

// Next is like Splitter.Next, for packets. The first bytes may be the end of
// a packet, which is no fault; without a check nobody can tell, and they are
// left out.
func (s *packetSplitter) Next(b []byte) (packet, rest []byte, long, ok bool) {
	for {
		if s.done {
			s.part, s.long, s.done = s.part[:0], false, false
		}
		i := bytes.IndexByte(b, s.end)
		if i < 0 {
			s.keep(b)
			return nil, nil, false, false
		}
		s.keep(b[:i])
		b, s.done = b[i+1:], true
		first := !s.begun
		s.begun = true
		if s.long {
			return nil, b, true, true
		}
		if packet, ok := s.take(first); ok {
			return packet, b, false, true
		}
	}
}

// take decodes and judges the packet that is held.
func (s *packetSplitter) take(first bool) (packet []byte, ok bool) {
	n := uint64(len(s.part))
	if n == 0 {
		return nil, false // two ends in a row are usual
	}
	packet, ok = s.decode(s.part)
	good := ok && s.check.good(packet)
	switch {
	case first && (!good || s.check.size == 0), good && !bytes.HasPrefix(packet, s.sync):
		s.skipped += n
	case !good || s.size > 0 && len(packet) != s.size:
		s.skipped += n
		s.bad++
	default:
		return packet, len(packet) > 0
	}
	return nil, false
}

func (s *packetSplitter) keep(b []byte) {
	if s.long || len(s.part)+len(b) > 2*maxFrame {
		s.skipped += uint64(len(s.part) + len(b))
		s.part, s.long = s.part[:0], true
		return
	}
	s.part = append(s.part, b...)
}

const (
	slipEnd    = 0xc0
	slipEscape = 0xdb
)

func decodeSLIP(b []byte) ([]byte, bool) {
	out := b[:0]
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == slipEscape {
			if i++; i == len(b) || b[i] != 0xdc && b[i] != 0xdd {
				return nil, false
			}
			c = slipEnd
			if b[i] == 0xdd {
				c = slipEscape
			}
		}
		out = append(out, c)
	}
	return out, true
}

func decodeCOBS(b []byte) ([]byte, bool) {
	out := b[:0]
	for i := 0; i < len(b); {
		n := int(b[i]) // how far it is to the next zero
		if n == 0 || i+n > len(b) {
			return nil, false
		}
		out = append(out, b[i+1:i+n]...)
		if i += n; n < 255 && i < len(b) {
			out = append(out, 0)
		}
	}
	return out, true
}
