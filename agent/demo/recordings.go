package demo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"math"
	"strings"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// The kinds of recordings, in the order of the table.
var kinds = []string{"CSV", "JSON", "CBOR", "WAV", "PNG"}

// A recording is a file that falls into the watched folder.
type recording struct {
	kind     string
	category string // the folder it falls into
	name     string
	label    string // what Edge Impulse's rule makes of the name
	body     []byte
}

// path is where the recording falls, inside the watched folder.
func (r recording) path() string { return r.category + "/" + r.name }

// makeRecording makes the nth recording of a kind; each n gives other bytes.
func makeRecording(kind, category, label string, n int, hmacKey []byte) (recording, error) {
	r := recording{
		kind: kind, category: category, label: label,
		name: fmt.Sprintf("%s.%d.%s", label, n, strings.ToLower(kind)),
	}
	var err error
	switch kind {
	case "CSV":
		r.body = makeCSV(n)
	case "JSON", "CBOR":
		r.body, err = makeDocument(kind, n, hmacKey)
	case "WAV":
		r.body, err = makeWAV(n)
	case "PNG":
		r.body = makePNG(n)
	default:
		err = fmt.Errorf("no recording of kind %s", kind)
	}
	return r, err
}

// rows are readings of a three-axis accelerometer.
func rows(n, count int) []float64 {
	values := make([]float64, 0, 3*count)
	for i := range count {
		at := float64(i)/62.5 + float64(n)
		for axis := range 3 {
			values = append(values, math.Round(1000*math.Sin(at*float64(axis+1)))/1000)
		}
	}
	return values
}

func makeCSV(n int) []byte {
	var b bytes.Buffer
	b.WriteString("timestamp,accX,accY,accZ\n")
	values := rows(n, 125)
	for i := 0; i < len(values); i += 3 {
		fmt.Fprintf(&b, "%d,%g,%g,%g\n", i/3*16, values[i], values[i+1], values[i+2])
	}
	return b.Bytes()
}

func makeDocument(kind string, n int, hmacKey []byte) ([]byte, error) {
	h := acquisition.PayloadHeader{
		DeviceName: "02:00:00:00:00:01", DeviceType: "EDGESPOOL_DEMO", IntervalMS: 16,
		Sensors: []acquisition.Sensor{{Name: "accX", Units: "m/s2"}, {Name: "accY", Units: "m/s2"}, {Name: "accZ", Units: "m/s2"}},
	}
	values := rows(n, 625)
	if kind == "JSON" {
		return acquisition.AppendJSON(nil, h, values, acquisition.Envelope{Key: hmacKey})
	}
	payload, err := acquisition.AppendPayload(nil, h, values)
	if err != nil {
		return nil, err
	}
	return acquisition.AppendEnvelope(nil, payload, acquisition.Envelope{Key: hmacKey})
}

// makeWAV is one second of a chirp: 16 kHz, 16 bits, one channel.
func makeWAV(n int) ([]byte, error) {
	const rate = 16000
	samples := make([]int16, rate)
	for i := range samples {
		at := float64(i) / rate
		samples[i] = int16(12000 * math.Sin(2*math.Pi*(200+float64(100*n)*at)*at))
	}
	var b bytes.Buffer
	size := uint32(2 * len(samples))
	for _, part := range []any{
		[]byte("RIFF"), 36 + size, []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1),
		uint32(rate), uint32(2 * rate), uint16(2), uint16(16), []byte("data"), size, samples,
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// makePNG is a picture of a lamp whose place depends on n: 96 by 96 pixels of
// 8 bits of grey, not compressed. (The image packages of the standard library
// would add 100 KB to the program for this one picture.)
func makePNG(n int) []byte {
	const side = 96
	var pixels []byte
	for y := range side {
		pixels = append(pixels, 0) // the row is not filtered
		for x := range side {
			d := math.Hypot(float64(x-16-n*8%64), float64(y-48))
			pixels = append(pixels, byte(255*math.Exp(-d/12)))
		}
	}
	size := uint16(len(pixels)) // less than the 65,535 bytes that a stored block has at most
	data := binary.LittleEndian.AppendUint16([]byte{0x78, 0x01, 1}, size)
	data = append(binary.LittleEndian.AppendUint16(data, ^size), pixels...)
	data = binary.BigEndian.AppendUint32(data, adler32.Checksum(pixels))
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, side), side)
	out := chunk([]byte("\x89PNG\r\n\x1a\n"), "IHDR", append(header, 8, 0, 0, 0, 0))
	return chunk(chunk(out, "IDAT", data), "IEND", nil)
}

// chunk appends one chunk of a PNG file.
func chunk(out []byte, kind string, data []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	start := len(out)
	out = append(append(out, kind...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:]))
}
