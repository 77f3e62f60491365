package sampler

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// framed is a configuration of packed readings; each field is a sensor.
func framed(format string, f FrameConfig, fields ...string) ReadingConfig {
	c := DefaultReadingConfig()
	c.Format, c.Frame = format, f
	for _, f := range fields {
		c.Sensors = append(c.Sensors, Sensor{Name: f, Field: f})
	}
	return c
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// cutter takes bytes in pieces and gives back the frames.
func cutter(c ReadingConfig, stream []byte, piece int) (frames [][]byte, counts frameCounts) {
	in, p := NewInbox(1<<30), &Progress{}
	i := NewIntake(c, in, p)
	for b := range slices.Chunk(slices.Clone(stream), piece) {
		i.Take(b, time.Second)
	}
	for l, ok := in.Take(); ok; l, ok = in.Take() {
		if len(l.Text) > 0 {
			frames = append(frames, slices.Clone(l.Text))
		}
	}
	return frames, *i.counts
}

// TestChecks: the check values of "123456789" in the catalogue of
// parametrised CRC algorithms, RFC 1145 and Fletcher's paper.
func TestChecks(t *testing.T) {
	for name, want := range map[string]string{
		"crc16-modbus": "374b", "crc16-modbus-be": "4b37", "crc16-ccitt": "29b1", "crc16-ccitt-le": "b129", "crc16-xmodem": "31c3",
		"crc32": "2639f4cb", "crc32-be": "cbf43926", "sum8": "dd", "sum16": "01dd", "xor8": "31", "fletcher16": "de1e", "fletcher8-ubx": "dd15",
	} {
		c, ok := findCheck(name)
		frame := append([]byte("123456789"), unhex(want)...)
		if !ok || !c.good(frame) {
			t.Errorf("%s: %s is not taken for right", name, want)
		}
		for i := range frame {
			frame[i] ^= 0x10
			if c.good(frame) {
				t.Errorf("%s: a wrong bit in byte %d is not noticed", name, i)
			}
			frame[i] ^= 0x10
		}
	}
	// fletcher16 of abcde, abcdef, abcdefgh is C8F0, 2057, 0627 as usually published
	for text, want := range map[string]uint32{"abcde": 0xC8F0, "abcdef": 0x2057, "abcdefgh": 0x0627} {
		if got := fletcher([]byte(text), 255); got != want {
			t.Errorf("fletcher16 of %s: got %04x, want %04x", text, got, want)
		}
	}
}

func TestPackedValues(t *testing.T) {
	frame := unhex("80 ff fe 01 02 03 04 3f c0 00 00 00 00 c0 3f 40 09 21 fb 54 44 2d 18")
	for field, want := range map[string]float64{
		"u8": 128, "i8": -128, "u16@1": 0xfeff, "u16be@1": 0xfffe, "i16be@1": -2, "u24be@3": 0x010203, "i24le@0": -0x010080,
		"u32be@3": 0x01020304, "i32@3": 0x04030201, "f32be@7": 1.5, "f32@11": 1.5, "f64be@15": math.Pi, "u64be@0": float64(0x80fffe0102030000 | 0x043f), "i64@0x00": float64(int64(0x3f04030201feff80)),
	} {
		var r Reading
		c := framed(FormatFrames, FrameConfig{Size: len(frame), Sync: "80"}, field)
		if strings.IndexByte(field, '@') < 0 {
			c.Frame.Sync = ""
		}
		if err := ParseReading(frame, NewLayout(c), &r); err != nil || r.Values[0] != want {
			t.Errorf("%s: got %v, %v, want %v", field, r.Values, err, want)
		}
	}
	scaled := framed(FormatFrames, FrameConfig{Size: 4, Endian: "big"}, "i16", "i16")
	scaled.Sensors[0].Scale, scaled.Sensors[1].Offset = 0.001, 0.5
	var r Reading
	if err := ParseReading(unhex("00 7b ff ff"), NewLayout(scaled), &r); err != nil || r.Values[0] != float64(float32(0.123)) || r.Values[1] != -0.5 {
		t.Errorf("scaled: got %v, %v", r.Values, err)
	}
	for _, bad := range []string{"7f c0 00 00", "00 00 00"} {
		if err := ParseReading(unhex(bad), NewLayout(framed(FormatSLIP, FrameConfig{}, "f32be@0")), &r); err == nil {
			t.Errorf("%s is taken for a reading", bad)
		}
	}
}

func TestFrames(t *testing.T) {
	// The frame of a Plantower PMS5003 in its data sheet's form: 32 bytes, sum16.
	pms := unhex("42 4d 00 1c 00 05 00 08 00 09 00 05 00 08 00 09 03 c3 01 0e 00 2d 00 08 00 02 00 00 97 00")
	pms = binary.BigEndian.AppendUint16(pms, uint16(addUp(pms)))
	dust := framed(FormatFrames, FrameConfig{Sync: "42 4d", Size: 32, Check: "sum16", Endian: "big"}, "u16@6", "u16")
	grown := framed(FormatFrames, FrameConfig{Sync: "aa", Length: "u8@1", LengthAdds: 3, Size: 16, Check: "xor8"}, "u8")
	short := unhex("aa 02 07 08 a7")
	bare := framed(FormatFrames, FrameConfig{Size: 5, Check: "xor8"}, "u8@2")
	for _, tt := range []struct {
		what         string
		config       ReadingConfig
		stream       string
		want         int
		skipped, bad uint64
	}{
		{"one", dust, string(pms), 1, 0, 0},
		{"behind garbage", dust, "xyz\x42" + string(pms), 1, 4, 0},
		{"behind its own beginning, cut off", dust, string(pms[:20]) + string(pms), 1, 20, 1},
		{"a wrong bit between two", dust, string(pms) + strings.Replace(string(pms), "\x97", "\x96", 1) + string(pms), 2, 32, 1},
		{"length", grown, string(short) + string(short), 2, 0, 0},
		{"a length that cannot be", grown, "\xaa\xff\xaa\x01" + string(short), 1, 4, 1},
		{"a false beginning around a frame", grown, "\xaa\x09" + string(short) + string(short) + string(short), 3, 2, 1},
		{"nothing but a check", bare, "zz" + string(short) + string(short), 2, 2, 0},
	} {
		for _, piece := range []int{1, 3, len(tt.stream)} {
			frames, counts := cutter(tt.config, []byte(tt.stream), piece)
			if len(frames) != tt.want || counts != (frameCounts{tt.skipped, tt.bad}) {
				t.Errorf("%s, in pieces of %d: got %d frames, %+v", tt.what, piece, len(frames), counts)
			}
		}
	}
}

func TestPackets(t *testing.T) {
	slip := framed(FormatSLIP, FrameConfig{}, "u8@0")
	cobs := framed(FormatCOBS, FrameConfig{}, "u8@0")
	checked := framed(FormatSLIP, FrameConfig{Check: "sum8", Sync: "01"}, "u8@0")
	sized := framed(FormatCOBS, FrameConfig{Size: 2}, "u8@0")
	long := bytes.Repeat([]byte{7}, 254)
	for _, tt := range []struct {
		what         string
		config       ReadingConfig
		stream       string
		want         string
		skipped, bad uint64
	}{
		{"slip, RFC 1055", slip, "c0 01 db dc 02 db dd 03 c0", "01c002db03", 0, 0},
		{"slip, the first cut off", slip, "55 66 c0 01 c0 c0 02 c0", "01 02", 2, 0},
		{"slip, a bad escape", slip, "c0 01 db 01 c0 02 c0 03 db c0 04 c0", "02 04", 5, 2},
		{"slip, checked and chosen", checked, "01 02 03 c0 02 02 c0 01 09 0b c0 01 02 03 c0", "010203 010203", 5, 1},
		{"cobs, the examples of Wikipedia", cobs, "00 01 01 00 01 01 01 00 03 11 22 02 33 00 05 11 22 33 44 00 02 11 01 01 01 00", "00 0000 11220033 11223344 11000000", 0, 0},
		{"cobs, 254 bytes without a zero", cobs, "00 ff" + hex.EncodeToString(long) + "00 ff" + hex.EncodeToString(long) + "02 09 00",
			hex.EncodeToString(long) + " " + hex.EncodeToString(long) + "09", 0, 0},
		{"cobs, a code beyond the end", cobs, "00 09 11 00 02 05 00", "05", 2, 1},
		{"cobs, of another size", sized, "00 03 01 02 00 02 01 00 03 03 04 00", "0102 0304", 2, 1},
		{"too long", slip, "c0" + strings.Repeat("11", 2*maxFrame+1) + "c0 05 c0", "05", 2*maxFrame + 1, 0},
	} {
		stream := unhex(tt.stream)
		for _, piece := range []int{1, 4000, len(stream)} {
			frames, counts := cutter(tt.config, stream, piece)
			var got []string
			for _, f := range frames {
				got = append(got, hex.EncodeToString(f))
			}
			if s := strings.Join(got, " "); s != tt.want || counts != (frameCounts{tt.skipped, tt.bad}) {
				t.Errorf("%s, in pieces of %d: got %q, %+v, want %q, {%d %d}", tt.what, piece, s, counts, tt.want, tt.skipped, tt.bad)
			}
		}
	}
}

// TestFramesSurviveGarbage: whatever lies between good frames, every good one
// comes out that no false frame overlaps, and every byte is accounted for.
func TestFramesSurviveGarbage(t *testing.T) {
	c := framed(FormatFrames, FrameConfig{Sync: "a5 5a", Length: "u8@2", LengthAdds: 7, Check: "crc32"}, "u8")
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want [][]byte
		for range rapid.IntRange(1, 20).Draw(t, "frames") {
			noise := rapid.SliceOfN(rapid.SampledFrom([]byte{0xa5, 0x5a, 0, 1, 9, 0xff}), 0, 12).Draw(t, "noise")
			body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")
			frame := append([]byte{0xa5, 0x5a, byte(len(body))}, body...)
			ck, _ := findCheck("crc32")
			frame = binary.LittleEndian.AppendUint32(frame, ck.sum(frame))
			stream, want = append(append(stream, noise...), frame...), append(want, frame)
		}
		stream = append(stream, make([]byte, 300)...) // so that false lengths come to an end
		got, counts := cutter(c, stream, rapid.IntRange(1, 64).Draw(t, "piece"))
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("got %d frames, want %d", len(got), len(want))
		}
		kept := 0
		for _, f := range got {
			kept += len(f)
		}
		if int(counts.skipped)+kept+1 < len(stream) { // one byte may be held
			t.Fatalf("%d bytes of %d are not accounted for", len(stream)-kept-int(counts.skipped), len(stream))
		}
	})
}

// TestUBXOfRealReceivers takes u-blox's binary frames out of recordings that
// also hold text and noise, and counts again without the splitter.
func TestUBXOfRealReceivers(t *testing.T) {
	root := os.Getenv("EDGESPOOL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	logs, _ := filepath.Glob(filepath.Join(root, "data", "serial-logs", "*.log"))
	if len(logs) == 0 {
		t.Skipf("no recordings in %s: set EDGESPOOL_SHARED to the folder that holds data/serial-logs", filepath.Join(root, "data", "serial-logs"))
	}
	ubx := FrameConfig{Sync: "b5 62", Length: "u16le@4", LengthAdds: 8, Size: maxFrame, Check: "fletcher8-ubx", CheckFrom: 2}
	place := ubx
	place.Sync = "b5 62 01 07" // NAV-PVT
	total, places := 0, 0
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for i := 0; i+8 <= len(text); i++ {
			n := 0
			if text[i] == 0xb5 && text[i+1] == 0x62 {
				n = int(text[i+4]) + 256*int(text[i+5]) + 8
			}
			if n == 0 || n > maxFrame || i+n > len(text) {
				continue
			}
			var a, b byte
			for _, c := range text[i+2 : i+n-2] {
				a += c
				b += a
			}
			if a == text[i+n-2] && b == text[i+n-1] {
				want, i = want+1, i+n-1
			}
		}
		padded := append(text, make([]byte, maxFrame)...)
		got, _ := cutter(framed(FormatFrames, ubx, "u8"), padded, 1000)
		if len(got) != want {
			t.Errorf("%s: %d frames, want %d", filepath.Base(path), len(got), want)
		}
		total += want
		c := framed(FormatFrames, place, "i32@30", "i32@34")
		c.Sensors[0].Scale, c.Sensors[1].Scale = 1e-7, 1e-7
		l := NewLayout(c)
		frames, _ := cutter(c, padded, 1000)
		for _, f := range frames {
			var r Reading
			if err := ParseReading(f, l, &r); err != nil || math.Abs(r.Values[0]) > 180 || math.Abs(r.Values[1]) > 90 {
				t.Errorf("%s: got %v, %v for a place", filepath.Base(path), r.Values, err)
			}
			places++
		}
	}
	t.Logf("%d recordings: %d frames, %d places", len(logs), total, places)
	if total == 0 || places == 0 {
		t.Error("nothing was read")
	}
}

func TestFrameConfigFaults(t *testing.T) {
	good := FrameConfig{Sync: "a5", Size: 8, Check: "sum8"}
	for _, tt := range []struct {
		want   string
		format string
		change func(c *ReadingConfig)
	}{
		{"", FormatFrames, func(c *ReadingConfig) {}},
		{"", FormatSLIP, func(c *ReadingConfig) { c.Frame = FrameConfig{} }},
		{"frame", FormatCSV, func(c *ReadingConfig) { c.Sensors = nil }},
		{"sensors[0].field", FormatCSV, func(c *ReadingConfig) { c.Frame = FrameConfig{} }},
		{"sensors", FormatCOBS, func(c *ReadingConfig) { c.Sensors = nil }},
		{"sensors[0].field", FormatFrames, func(c *ReadingConfig) { c.Sensors[0].Field = "i17@2" }},
		{"sensors[0].field", FormatFrames, func(c *ReadingConfig) { c.Sensors[0].Field = "f16@2" }},
		{"sensors[0].field", FormatFrames, func(c *ReadingConfig) { c.Sensors[0].Field = "i32@4" }},
		{"sensors[0].field", FormatFrames, func(c *ReadingConfig) { c.Sensors[0].Field = "i32@-4" }},
		{"frame.sync", FormatFrames, func(c *ReadingConfig) { c.Frame.Sync = "a" }},
		{"frame.sync", FormatFrames, func(c *ReadingConfig) { c.Frame.Sync, c.Frame.Check = "", "" }},
		{"frame.sync", FormatFrames, func(c *ReadingConfig) { c.Frame.Sync, c.Frame.Size = "", 300 }},
		{"frame.check", FormatFrames, func(c *ReadingConfig) { c.Frame.Check = "crc16" }},
		{"frame.check_from", FormatFrames, func(c *ReadingConfig) { c.Frame.CheckFrom = -1 }},
		{"frame.size", FormatFrames, func(c *ReadingConfig) { c.Frame.Size = maxFrame + 1 }},
		{"frame.size", FormatFrames, func(c *ReadingConfig) { c.Frame.Size = 0 }},
		{"frame.length", FormatFrames, func(c *ReadingConfig) { c.Frame.Length = "u8" }},
		{"frame.length", FormatSLIP, func(c *ReadingConfig) { c.Frame.Length = "u8@1" }},
		{"frame.length_adds", FormatFrames, func(c *ReadingConfig) { c.Frame.LengthAdds = 3 }},
		{"frame.endian", FormatFrames, func(c *ReadingConfig) { c.Frame.Endian = "middle" }},
		{"label_column", FormatFrames, func(c *ReadingConfig) { c.LabelColumn = "1" }},
	} {
		c := framed(tt.format, good, "i16@2")
		tt.change(&c)
		var fields []string
		c.ValidateReadings(func(field, problem, remedy string) { fields = append(fields, field) })
		if got := strings.Join(fields, " "); got != tt.want {
			t.Errorf("%+v: got faults in %q, want %q", c.Frame, got, tt.want)
		}
	}
}

// FuzzFrames: however the bytes are cut into pieces, the frames are the same,
// and no bytes and no configuration that is valid makes anything panic.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\xaa\x02\x07\x08\xa7"), 2, "aa", "u8@1", 3, 0, "xor8", "u8@2")
	f.Add([]byte("\xb5\x62\x01\x02\x00\x00\x03\x0a"), 1, "b562", "u16le@4", 8, 4096, "fletcher8-ubx", "i32@10")
	f.Add([]byte("\xc0\x01\xdb\xdc\xc0\x00\x03\x11\x22\x00"), 3, "", "", 0, 0, "", "f32")
	f.Fuzz(func(t *testing.T, stream []byte, piece int, sync, length string, adds, size int, check, field string) {
		for _, format := range []string{FormatFrames, FormatSLIP, FormatCOBS} {
			c := framed(format, FrameConfig{Sync: sync, Length: length, LengthAdds: adds, Size: size, Check: check}, field)
			valid := true
			c.ValidateReadings(func(_, _, _ string) { valid = false })
			if !valid {
				continue
			}
			whole, counts := cutter(c, stream, len(stream)+1)
			cut, again := cutter(c, stream, max(1, min(piece, 1<<12)))
			if !slices.EqualFunc(whole, cut, bytes.Equal) || counts != again {
				t.Fatalf("%s in pieces of %d: got %d frames, %+v, want %d, %+v", format, piece, len(cut), again, len(whole), counts)
			}
			l := NewLayout(c)
			for _, frame := range whole {
				var r Reading
				if err := ParseReading(frame, l, &r); err == nil && len(r.Values) != 1 {
					t.Fatalf("%d values", len(r.Values))
				}
			}
		}
	})
}

func ExampleFrameConfig() {
	c := framed(FormatFrames, FrameConfig{Sync: "a5 5a", Size: 7, Check: "sum8"}, "i16be", "i16be")
	frames, _ := cutter(c, []byte("\xa5\x5a\x00\x01\xff\xff\xfe"), 7)
	var r Reading
	fmt.Println(ParseReading(frames[0], NewLayout(c), &r), r.Values)
	// Output: <nil> [1 -1]
}
