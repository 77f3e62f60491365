package detect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/edgespool/edgespool/sampler"
)

// A Notebook keeps small documents over restarts; the spool is one. A
// document has at most 64 KiB.
type Notebook interface {
	Setting(name string) (value []byte, ok bool)
	SetSetting(name string, value []byte) error
}

// notes are the windows that a baseline is learned from, as the notebook has
// them:
//
//	4 bytes   "EDN1"
//	32 bytes  of whom they were learned (see subjectOf)
//	4 bytes   windows seen
//	2 bytes   features of a window
//	2 bytes   windows kept
//	4 bytes each: the features of the windows kept, one window after the other
//	4 bytes   CRC-32 (Castagnoli) of all before
//
// All numbers are little-endian, features of IEEE 754.
type notes struct {
	of   [32]byte
	seen int
	kept [][]float32
}

const (
	notesMagic = "EDN1"
	notesHead  = len(notesMagic) + 32 + 4 + 2 + 2
	maxNotes   = 60 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// subjectOf is the hash of what must stay the same for what was learned to
// hold: the sensors in their order and the operator's word for the baseline.
func subjectOf(sensors []sampler.Sensor, c *StatisticsConfig) [32]byte {
	h := sha256.New()
	for _, word := range []string{featuresGiven, c.Baseline} {
		fmt.Fprintf(h, "%d:%s", len(word), word)
	}
	for _, s := range sensors {
		fmt.Fprintf(h, "%d:%s%d:%s %v %v", len(s.Name), s.Name, len(s.Units), s.Units, s.Scale, s.Offset)
	}
	return [32]byte(h.Sum(nil))
}

// room is how many windows of so many features can be kept.
func room(features int) int { return (maxNotes - notesHead - 4) / (4 * features) }

func (n *notes) encode() []byte {
	b := append([]byte(notesMagic), n.of[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n.seen))
	features := 0
	if len(n.kept) > 0 {
		features = len(n.kept[0])
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(features))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(n.kept)))
	for _, row := range n.kept {
		for _, v := range row {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errNotes = errors.New("what was learned before cannot be read")

// decodeNotes reads what encode has written.
func decodeNotes(b []byte) (n notes, err error) {
	if len(b) < notesHead+4 || !bytes.HasPrefix(b, []byte(notesMagic)) {
		return n, errNotes
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return n, errNotes
	}
	at := copy(n.of[:], body[len(notesMagic):]) + len(notesMagic)
	n.seen = int(binary.LittleEndian.Uint32(body[at:]) & math.MaxInt32)
	features, rows := int(binary.LittleEndian.Uint16(body[at+4:])), int(binary.LittleEndian.Uint16(body[at+6:]))
	body = body[notesHead:]
	if int64(len(body)) != 4*int64(features)*int64(rows) || rows > 0 && features == 0 {
		return n, errNotes
	}
	for range rows {
		row := make([]float32, features)
		for j := range row {
			row[j] = math.Float32frombits(binary.LittleEndian.Uint32(body[4*j:]))
			if v := float64(row[j]); math.IsNaN(v) || math.IsInf(v, 0) {
				return n, errNotes
			}
		}
		n.kept, body = append(n.kept, row), body[4*features:]
	}
	return n, nil
}
