package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/serial"
)

// A Trial says where to listen.
type Trial struct {
	// Port is as in the configuration of a serial source, the path of a file
	// with what a device has sent, or - for In.
	Port string
	In   io.Reader
	// Baud is the speed; 0 tries those of serial.Speeds.
	Baud int
	// For is how long to listen at a speed.
	For time.Duration
	// Name is what the source is to be called.
	Name string
	// Tell hears what is done meanwhile.
	Tell func(text string)
}

// Heard is what came, and what would make samples of it.
type Heard struct {
	Source string // YAML of a configuration with that source
	sampler.Proposal
	Baud  int // 0 where there is none
	Bytes int
	lines []sampler.Line
}

const (
	maxHeard    = 1 << 20 // bytes that are looked at
	enoughLines = 20      // lines that tell whether a speed is right
	textual     = 0.95    // share of text in what is not garbage
)

// Try listens and proposes a source. An error says that nothing came, or
// nothing that could be read, and what to do about that.
func Try(ctx context.Context, t Trial) (*Heard, error) {
	info, err := os.Stat(t.Port)
	switch {
	case t.Port == "-":
		return t.conclude(t.read(t.In))
	case err == nil && info.Mode().IsRegular():
		f, err := os.Open(t.Port)
		if err != nil {
			return nil, fmt.Errorf("read recording: %w", err)
		}
		defer f.Close()
		return t.conclude(t.read(f))
	case strings.HasPrefix(t.Port, "tcp://"):
		return t.conclude(t.listen(ctx, 0, 0))
	}
	return t.conclude(t.search(ctx))
}

// read takes everything from a file.
func (t *Trial) read(r io.Reader) (*Heard, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxHeard))
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	h := &Heard{}
	h.hear(&sampler.Splitter{}, append(text, '\n'), 0)
	h.Bytes--
	h.Proposal = sampler.Propose(h.lines)
	return h, nil
}

// hear cuts lines out of what has arrived.
func (h *Heard) hear(split *sampler.Splitter, b []byte, at time.Duration) {
	for h.Bytes += len(b); ; {
		line, rest, long, ok := split.Next(b)
		if !ok {
			return
		}
		if b = rest; !long {
			h.lines = append(h.lines, sampler.Line{Text: append([]byte(nil), line...), At: at})
		}
	}
}

// listen hears the port at one speed, no longer than until there are so many
// lines; 0 is no bound.
func (t *Trial) listen(ctx context.Context, baud, lines int) (*Heard, error) {
	ctx, cancel := context.WithTimeout(ctx, t.For)
	defer cancel()
	c := serial.DefaultConfig()
	c.Port, c.DTR = t.Port, serial.DTRKeep // or every speed would begin with a reset of the board
	if baud > 0 {
		c.Baud = baud
	}
	var problem string
	c.Validate(func(field, what, remedy string) { problem = field + ": " + what + "; " + remedy })
	if problem != "" {
		return nil, errors.New(problem)
	}
	h, split, begin := &Heard{Baud: baud}, &sampler.Splitter{}, time.Now()
	err := serial.Listen(ctx, c, func(b []byte) bool {
		h.hear(split, b, time.Since(begin))
		return h.Bytes < maxHeard && (lines == 0 || len(h.lines) < lines && h.Bytes < 100*lines)
	})
	h.Proposal = sampler.Propose(h.lines)
	return h, err
}

// search finds the speed, then listens at it for the whole time.
func (t *Trial) search(ctx context.Context) (*Heard, error) {
	if t.Baud > 0 {
		t.Tell(fmt.Sprintf("listening for %v at %d baud", t.For, t.Baud))
		return t.listen(ctx, t.Baud, 0)
	}
	var best *Heard
	for _, baud := range serial.Speeds {
		t.Tell(fmt.Sprintf("listening at %d baud", baud))
		h, err := t.listen(ctx, baud, enoughLines)
		if err != nil || h.Bytes == 0 && best == nil || ctx.Err() != nil {
			return h, err // silence at one speed is silence at all
		}
		if h.Good() {
			t.Tell(fmt.Sprintf("this is it; listening for %v more", t.For))
			return t.listen(ctx, baud, 0)
		}
		if best == nil || h.Readings > best.Readings || h.Readings == best.Readings && h.Text > best.Text {
			best = h
		}
	}
	return best, nil
}

// conclude writes the source, or says what to do.
func (t *Trial) conclude(h *Heard, err error) (*Heard, error) {
	switch {
	case err != nil:
		return nil, err
	case h.Bytes == 0:
		return h, WithHint(fmt.Errorf("nothing came from %s within %v", t.Port, t.For), "does the device have power, is its TX on the board's RX, "+
			"and does it send without being asked? One that sends seldom needs --for 1m; Modbus devices and others that must be asked say nothing by themselves")
	case h.Good():
		h.Source = t.write(h)
		return h, nil
	case h.Text >= textual && len(h.lines) < 4:
		return h, WithHint(fmt.Errorf("only %d lines came from %s, too few to tell", len(h.lines), t.Port), "listen longer, such as with --for 1m")
	case h.Text >= textual:
		return h, WithHint(fmt.Errorf("%s sends text, but lines of no known format, such as %q: %s", t.Port, h.Bad, h.Why),
			"have the device print numbers, separated by commas, or a JSON object on each line")
	}
	remedy := "is it binary data, which needs a format of its own? If it should be text: check ground and wiring, whether the levels are those of RS-232 instead of 3.3 V, and the parity"
	if t.Baud > 0 {
		remedy = "leave out --baud, so that other speeds are tried. " + remedy
	}
	return h, WithHint(fmt.Errorf("%d bytes came from %s, and they are no text", h.Bytes, t.Port), remedy)
}

// write makes the configuration of the source.
func (t *Trial) write(h *Heard) string {
	var b strings.Builder
	rate := "frequency: auto            # too few lines, or none with a time, to measure it"
	if h.Frequency > 0 {
		rate = "frequency: " + h.Frequency.String()
	}
	fmt.Fprintf(&b, "# %d of %d lines were readings.\nsources:\n  - name: %s\n    type: serial\n    port: %s\n", h.Readings, h.Lines, quoted(t.Name), quoted(t.stable()))
	if h.Baud > 0 {
		fmt.Fprintf(&b, "    baud: %d\n", h.Baud)
	}
	fmt.Fprintf(&b, "    format: %s\n    sensors:                   # name them, and add units\n", h.Format)
	for _, s := range h.Sensors {
		b.WriteString("      - {name: " + quoted(s.Name))
		if u := sampler.DefaultUnits(s.Name); u != "N/A" {
			b.WriteString(", units: " + u)
		}
		if s.Field != "" {
			b.WriteString(", field: " + quoted(s.Field))
		}
		b.WriteString("}\n")
	}
	if len(h.SkipColumns) > 0 {
		b.WriteString("    skip_columns: " + strings.ReplaceAll(fmt.Sprint(h.SkipColumns), " ", ", ") + "\n")
	}
	if h.LabelColumn != "" {
		b.WriteString("    label_column: " + h.LabelColumn + "\n")
	}
	fmt.Fprintf(&b, "    %s\n    window: %v\n", rate, h.Window)
	return b.String()
}

// stable is the name of the port that stays the same.
func (t *Trial) stable() string {
	if info, err := os.Stat(t.Port); t.Port == "-" || err == nil && info.Mode().IsRegular() {
		return "/dev/serial/by-id/NAME" // the port that the recording was made from
	}
	device, err := filepath.EvalSymlinks(t.Port)
	if !strings.HasPrefix(t.Port, "/dev/tty") || err != nil {
		return t.Port
	}
	ports, _ := serial.Ports("/") // without sysfs nothing says more
	for _, p := range ports {
		if p.Path == device {
			return p.Stable()
		}
	}
	return t.Port
}

// quoted is text as YAML has it: plain where that is safe.
func quoted(text string) string {
	plain := text != ""
	for i, c := range text {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '/'
		plain = plain && (letter || i > 0 && ('0' <= c && c <= '9' || strings.ContainsRune("_-.", c)))
	}
	if plain && !strings.Contains(" true false null yes no on off y n ", " "+strings.ToLower(text)+" ") {
		return text
	}
	return strings.ReplaceAll(strconv.Quote(text), "${", "$${")
}
