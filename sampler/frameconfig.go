package sampler

import (
	"fmt"
	"strings"
)

// FrameConfig says what frames look like. Offsets are bytes from 0 at the
// first byte of the frame; in slip and cobs that is the first one decoded.
type FrameConfig struct {
	// Sync are the bytes that each frame begins with, in hexadecimal. In slip
	// and cobs they choose frames among others.
	Sync string `yaml:"sync"`
	// Size is the whole frame's length in bytes, check value included; with
	// Length it is the largest.
	Size int `yaml:"size"`
	// Length is where the frame says its length: TYPE@OFFSET such as u8@2.
	Length string `yaml:"length"`
	// LengthAdds is what the length does not count of the whole frame.
	LengthAdds int `yaml:"length_adds"`
	// Check is the kind of check value that ends the frame; see checkNames.
	Check string `yaml:"check"`
	// CheckFrom is the first byte that the check value covers.
	CheckFrom int `yaml:"check_from"`
	// Endian is the order of bytes of fields that do not say it: little or big.
	Endian string `yaml:"endian"`
}

const (
	maxFrame     = 4096
	usualMaximum = 1024 // of frames that say their length
)

// framed tells whether readings are packed bytes.
func (c *ReadingConfig) framed() bool {
	return c.Format == FormatFrames || c.Format == FormatSLIP || c.Format == FormatCOBS
}

// lengthPart is the field that says the frame's length; its size is 0 if
// there is none.
func (f *FrameConfig) lengthPart() part {
	p, ok := parsePart(f.Length, f.Endian == "big", 0)
	if !ok || p.kind != 'u' || p.size > 4 || !strings.Contains(f.Length, "@") {
		return part{}
	}
	return p
}

// header is how many bytes come before the first field that has no offset.
func (f *FrameConfig) header() int {
	sync, _ := hexBytes(f.Sync)
	p := f.lengthPart()
	return max(len(sync), p.offset+p.size)
}

// payload is where the values of every frame must end; 0 if that is not known.
func (f *FrameConfig) payload() int {
	c, _ := findCheck(f.Check)
	return max(f.Size-c.size, 0)
}

// validateFrame looks at what only packed readings have, and has not.
func (c *ReadingConfig) validateFrame(fault func(field, problem, remedy string)) {
	switch {
	case !c.framed():
		if c.Frame != (FrameConfig{}) {
			fault("frame", "only formats frames, slip and cobs have frames", "leave frame out, or write format: frames")
		}
		return
	case c.packed: // the source takes care of the rest
		c.parts(fault)
		return
	case len(c.Sensors) == 0:
		fault("sensors", "nothing says what the bytes mean", "write sensors such as {name: accX, field: i16@4, scale: 0.001}")
	}
	if len(c.SkipColumns) > 0 {
		fault("skip_columns", "frames have no columns", "leave it out; sensors choose their bytes")
	}
	if c.LabelColumn != "" {
		fault("label_column", "frames have no labels", "leave it out; write label instead")
	}
	c.Frame.validate(c.Format == FormatFrames, fault)
	c.parts(fault)
}

// validate looks at the frame itself; stream says that nothing but its own
// bytes tells where it begins.
func (f *FrameConfig) validate(stream bool, fault func(field, problem, remedy string)) {
	sync, ok := hexBytes(f.Sync)
	if !ok || len(sync) > 16 {
		fault("frame.sync", fmt.Sprintf("%q are no bytes in hexadecimal", f.Sync), "write up to 16 bytes such as \"b5 62\"")
	}
	check, known := findCheck(f.Check)
	if !known && f.Check != "" {
		fault("frame.check", fmt.Sprintf("%q is not a check", f.Check), "write "+checkNames+", if need be with -le or -be behind it")
	}
	if f.CheckFrom < 0 || f.CheckFrom > maxFrame || f.CheckFrom > 0 && check.size == 0 {
		fault("frame.check_from", fmt.Sprintf("%d is not where a check begins", f.CheckFrom), "write the first byte that the check covers, from 0, and name the check")
	}
	if f.Size < 0 || f.Size > maxFrame {
		fault("frame.size", fmt.Sprintf("%d bytes are no frame", f.Size), fmt.Sprintf("write the whole frame's length, up to %d bytes", maxFrame))
	}
	if f.Endian != "" && f.Endian != "little" && f.Endian != "big" {
		fault("frame.endian", fmt.Sprintf("%q is not an order of bytes", f.Endian), "write little or big")
	}
	length := f.lengthPart()
	switch {
	case f.Length != "" && length.size == 0:
		fault("frame.length", fmt.Sprintf("%q does not say where the length is", f.Length), "write TYPE@OFFSET such as u8@2 or u16le@4")
	case f.Length != "" && !stream:
		fault("frame.length", "slip and cobs say themselves where frames end", "leave it out, or write size if all frames are of one length")
	}
	if f.LengthAdds < -maxFrame || f.LengthAdds > maxFrame || f.LengthAdds != 0 && f.Length == "" {
		fault("frame.length_adds", fmt.Sprintf("%d is not what a length leaves out", f.LengthAdds), "write how many bytes of the frame length does not count")
	}
	if !stream {
		return
	}
	if f.Size == 0 && f.Length == "" {
		fault("frame.size", "nothing says how long a frame is", "write its length in bytes, or length: TYPE@OFFSET of the field that says it")
	}
	switch {
	case len(sync) == 0 && check.size == 0:
		fault("frame.sync", "nothing says where a frame begins", "write the bytes that frames begin with, a check, or better both")
	case len(sync) == 0 && (f.Length != "" || f.Size > 256):
		fault("frame.sync", "a beginning would be looked for at every byte by checking a whole frame", "write the bytes that frames begin with")
	}
}
