package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// A documentView is what is shown of one file.
type documentView struct {
	acquisition.Summary
	file        string
	first, last []float64 // rows; nil if there are none
	err         error
}

// viewDocument reads a file as a stream, whatever its size.
func viewDocument(name string, stdin io.Reader, key []byte) *documentView {
	v := &documentView{file: name}
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			v.err = err
			return v
		}
		defer f.Close()
		from = f
	}
	v.Summary, v.err = acquisition.Inspect(from, acquisition.InspectOptions{Key: key, Rows: func(row []float64) error {
		if v.first == nil {
			v.first = slices.Clone(row)
		}
		v.last = append(v.last[:0], row...)
		return nil
	}})
	if at := time.Unix(int64(v.IssuedAt), 0); v.dated() && time.Until(at) > 24*time.Hour {
		v.Warnings = append(v.Warnings, "iat is in the future")
	}
	return v
}

// dated tells whether iat is a date that can be shown as one.
func (v *documentView) dated() bool { return v.IssuedAt > 0 && v.IssuedAt < 1e11 }

func (v *documentView) hertz() float64 {
	if v.IntervalMS == 0 {
		return 0
	}
	return 1000 / v.IntervalMS
}

func (v *documentView) milliseconds() float64 { return float64(v.Rows) * v.IntervalMS }

// json is one line.
func (v *documentView) json() []byte {
	line := struct {
		File       string                `json:"file"`
		Error      string                `json:"error,omitempty"`
		Signature  acquisition.Signature `json:"signature,omitempty"`
		Algorithm  string                `json:"alg,omitempty"`
		Encoding   acquisition.Encoding  `json:"encoding,omitempty"`
		DeviceName string                `json:"device_name,omitempty"`
		DeviceType string                `json:"device_type,omitempty"`
		IntervalMS float64               `json:"interval_ms"`
		Hertz      float64               `json:"frequency_hz"`
		Sensors    []acquisition.Sensor  `json:"sensors"`
		Rows       int64                 `json:"rows"`
		DurationMS float64               `json:"duration_ms"`
		IssuedAt   float64               `json:"iat,omitempty"`
		Metadata   map[string]string     `json:"metadata,omitempty"`
		Binary     string                `json:"binary,omitempty"`
		Size       int64                 `json:"size"`
		Warnings   []string              `json:"warnings"`
	}{
		v.file, "", v.Signature, v.Algorithm, v.Encoding, v.DeviceName, v.DeviceType, v.IntervalMS, sayable(v.hertz()),
		append([]acquisition.Sensor{}, v.Sensors...), v.Rows, sayable(v.milliseconds()), sayable(v.IssuedAt), v.Metadata, v.Binary, v.Size,
		append([]string{}, v.Warnings...),
	}
	if v.err != nil {
		line.Error = v.err.Error()
	}
	text, _ := json.Marshal(line) // holds texts and finite numbers only
	return append(text, '\n')
}

// sayable is 0 for numbers that JSON has no word for.
func sayable(v float64) float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	return v
}

// text is for people. Texts out of the file are quoted where a terminal might
// take them for commands.
func (v *documentView) text() []byte {
	var b bytes.Buffer
	if v.err != nil {
		fmt.Fprintf(&b, "%s: %s\n", printable(v.file), printable(v.err.Error()))
		return b.Bytes()
	}
	fmt.Fprintf(&b, "%s: %s, %d bytes\n", printable(v.file), strings.ToUpper(string(v.Encoding)), v.Size)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t"+format+"\n", append([]any{what}, args...)...)
	}
	line("device", "%s (%s)", orNone(v.DeviceName), orNone(v.DeviceType))
	line("sensors", "%s", v.sensors())
	if v.IntervalMS > 0 {
		line("interval", "%g ms (%.6g Hz)", v.IntervalMS, v.hertz())
	} else {
		line("interval", "none")
	}
	line("rows", "%d (%.6g s)", v.Rows, v.milliseconds()/1000)
	if v.first != nil {
		line("first row", "%s", rowText(v.first))
		line("last row", "%s", rowText(v.last))
	}
	if v.Binary != "" {
		line("binary", "%s, behind the document", printable(v.Binary))
	}
	for _, key := range slices.Sorted(maps.Keys(v.Metadata)) {
		line("metadata", "%s = %s", printable(key), printable(v.Metadata[key]))
	}
	if v.dated() {
		line("taken", "%s (iat %.15g)", time.Unix(int64(v.IssuedAt), 0).UTC().Format(time.RFC3339), v.IssuedAt)
	}
	line("signature", "%s (alg %s)", v.Signature, v.Algorithm)
	for _, warning := range v.Warnings {
		line("warning", "%s", printable(warning))
	}
	_ = w.Flush() // into memory
	return b.Bytes()
}

// shownAtMost is how many sensors or values of a row are shown to people.
const shownAtMost = 16

func (v *documentView) sensors() string {
	var names []string
	for _, s := range v.Sensors[:min(len(v.Sensors), shownAtMost)] {
		names = append(names, strings.TrimSpace(printable(s.Name)+" "+printable(s.Units)))
	}
	return strings.Join(names, ", ") + andMore(len(v.Sensors))
}

func rowText(row []float64) string {
	var values []string
	for _, x := range row[:min(len(row), shownAtMost)] {
		values = append(values, strconv.FormatFloat(x, 'g', 7, 64))
	}
	return strings.Join(values, ", ") + andMore(len(row))
}

func andMore(n int) string {
	if n <= shownAtMost {
		return ""
	}
	return fmt.Sprintf(" and %d more", n-shownAtMost)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return printable(text)
}

// printable quotes a text that holds anything but plain characters.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
