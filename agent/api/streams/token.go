package streams

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// A position is a place in the order of comments, as a sequence_id names it.
type position struct {
	createdMS int64
	// sequence is the last record before the place; known is false where the
	// sequence_id is only a time, or one of another spool.
	sequence uint64
	known    bool
	// again: sequence is the number of a comment that is shown once more,
	// which says nothing of the stream's position.
	again bool
}

// againMark marks the sequence of such a place.
const againMark = 1 << 63

// tokenBytes is the length of a sequence_id: creation time in ms since 1970,
// little-endian; sequence, big-endian; and the log that the sequence is of. That
// of a reset is the time alone.
const (
	tokenBytes = 24
	tokenTime  = 8
)

// farFuture bounds times in ms, so that they fit into nanoseconds.
const farFuture = 9e12

// at is the position's time.
func (p position) at() time.Time { return time.UnixMilli(p.createdMS) }

// token writes a position in the log as a sequence_id.
func token(p position, log uint64) string {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, tokenBytes), uint64(p.createdMS))
	sequence := p.sequence
	if p.again {
		sequence |= againMark
	}
	b = binary.BigEndian.AppendUint64(b, sequence)
	b = binary.BigEndian.AppendUint64(b, log)
	return base64.URLEncoding.EncodeToString(b)
}

// timeToken writes a time as a sequence_id.
func timeToken(t time.Time) string {
	return base64.URLEncoding.EncodeToString(binary.LittleEndian.AppendUint64(nil, uint64(t.UnixMilli())))
}

// parseToken reads a sequence_id. One that another log gave is taken by its
// time, which repeats comments rather than skip any.
func parseToken(text string, log, newest uint64) (position, error) {
	plain := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawURLEncoding.DecodeString(plain)
	if err != nil || len(b) != tokenBytes && len(b) != tokenTime {
		return position{}, bad("sequence_id: %.60q is none that fetch or reset has answered", text)
	}
	p := position{createdMS: max(0, min(int64(binary.LittleEndian.Uint64(b)), farFuture))}
	if len(b) == tokenBytes && binary.BigEndian.Uint64(b[16:]) == log {
		p.sequence = binary.BigEndian.Uint64(b[8:])
		p.again = p.sequence&againMark != 0
		p.sequence &^= againMark
		p.known = !p.again && p.sequence <= newest
	}
	return p, nil
}
