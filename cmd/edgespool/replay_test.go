package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/edgespool/edgespool/sampler/acquisition"
)

// A board plays recordings into a pty, as a microcontroller would into its
// serial port.
type board struct {
	source     string
	label      string
	category   string
	port       string // what the agent opens
	wire       *os.File
	recordings []readings
}

// readings are one recording's rows, as the numbers are written in its file.
type readings struct {
	interval time.Duration
	length   string // of a window that takes them all
	rows     []string
}

// perBoard keeps the replay short: recordings play at their own rate, about
// 10 s each, one after the other on a board, the boards side by side.
const perBoard = 3

// TestRecordingsThroughSerialPorts plays every real recording as CSV lines at
// its own rate into ptys, real receivers' output between them as noise, and
// wants each recording to arrive as one sample with the very same numbers. A
// machine that stands still while it plays makes real gaps in the recordings,
// which end samples: then all of it is played once more.
func TestRecordingsThroughSerialPorts(t *testing.T) {
	for range 3 {
		stood := time.Duration(0)
		t.Run("play", func(t *testing.T) { stood = replay(t) })
		if stood < longestPause || t.Failed() {
			return
		}
		t.Logf("this machine stood still for %s while it played", stood)
	}
	t.Error("this machine does not play recordings at their own rate")
}

// longestPause between two readings is what no board of the test makes; a
// little more is a gap, by the sources' gap of 2 s.
const longestPause = 1800 * time.Millisecond

// replay plays the recordings once and looks at what arrives, unless the
// machine stood still for longer than longestPause, which it returns.
func replay(t *testing.T) (stood time.Duration) {
	boards, want := boardsFor(t, recordings(t))
	noise := serialNoise(t)
	var sources strings.Builder
	for _, b := range boards {
		fmt.Fprintf(&sources, `
  - {name: %s, type: serial, port: %s, format: csv, frequency: 59, window: %s, min_window: 500ms, gap: 2s, label: %s, category: %s,
     sensors: [{name: accX, units: m/s2}, {name: accY, units: m/s2}, {name: accZ, units: m/s2}, {name: gyrX, units: N/A}, {name: gyrY, units: N/A}, {name: gyrZ, units: N/A}]}
`, b.source, b.port, b.recordings[0].length, b.label, b.category)
	}
	s := newSite(t, sources.String())
	s.run()
	s.until("every port is open", func() error {
		st, err := s.status()
		for _, src := range st.Sources {
			if src.State != "running" || src.Error != "" {
				return fmt.Errorf("%s is %s: %s", src.Name, src.State, src.Error)
			}
		}
		return err
	})
	var playing sync.WaitGroup
	pauses := make([]time.Duration, len(boards))
	for i, b := range boards {
		playing.Go(func() { pauses[i] = b.play(t, noise[i%len(noise):]) })
	}
	playing.Wait()
	if stood = slices.Max(pauses); stood >= longestPause {
		return stood
	}

	got := s.receivedCount(len(want))
	var arrived []string
	for _, a := range got {
		arrived = append(arrived, a.category+"/"+a.label+"\n"+documentRows(t, a.path))
	}
	slices.Sort(arrived)
	slices.Sort(want)
	for i := range want {
		if arrived[i] != want[i] {
			t.Fatalf("a recording arrived changed: got\n%.300s\nwant\n%.300s", arrived[i], want[i])
		}
	}
	st, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range st.Sources {
		if src.Rejected == 0 {
			t.Errorf("%s counts no bad line although there was noise on its port", src.Name)
		}
	}
	return stood
}

// boardsFor deals the recordings to boards of one label and category each,
// and returns what is to arrive, as documentRows writes it.
func boardsFor(t *testing.T, all []recording) (boards []*board, want []string) {
	t.Helper()
	open := map[string]*board{}
	for _, r := range all {
		played := readRows(t, r.path)
		kind := fmt.Sprintf("%s-%s-%s", r.category, r.label, played.length)
		b := open[kind]
		if b == nil || len(b.recordings) == perBoard {
			wire, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { tty.Close(); wire.Close() })
			b = &board{source: fmt.Sprintf("board-%d", len(boards)), label: r.label, category: r.category, port: tty.Name(), wire: wire}
			open[kind] = b
			boards = append(boards, b)
		}
		b.recordings = append(b.recordings, played)
		want = append(want, r.category+"/"+r.label+"\n"+strings.Join(played.rows, "\n"))
	}
	return boards, want
}

// readRows takes the numbers out of a recording exactly as they are written.
func readRows(t *testing.T, path string) readings {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Payload struct {
			Interval float64         `json:"interval_ms"`
			Values   [][]json.Number `json:"values"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	r := readings{interval: time.Duration(doc.Payload.Interval * float64(time.Millisecond)), length: "10s"}
	if len(doc.Payload.Values) < 200 {
		r.length = "2s"
	}
	for _, row := range doc.Payload.Values {
		words := make([]string, len(row))
		for i, n := range row {
			words[i] = canonical(t, n.String())
		}
		r.rows = append(r.rows, strings.Join(words, ","))
	}
	return r
}

func canonical(t *testing.T, number string) string {
	t.Helper()
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// play writes noise, then each recording at its own rate with noise after it.
// It returns the longest pause between two rows of one.
func (b *board) play(t *testing.T, noise [][]byte) (longest time.Duration) {
	b.noise(t, noise, 0)
	for i, r := range b.recordings {
		beat := time.NewTicker(r.interval)
		last := time.Now()
		for _, row := range r.rows {
			<-beat.C
			if _, err := b.wire.WriteString(row + "\r\n"); err != nil {
				t.Errorf("write to %s: %v", b.source, err)
			}
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
		beat.Stop()
		b.noise(t, noise, i+1)
	}
	return longest
}

// noise writes about 1.5 kB of a real receiver's output and ends the line.
func (b *board) noise(t *testing.T, noise [][]byte, i int) {
	log := noise[i%len(noise)]
	if _, err := b.wire.Write(append(slices.Clone(log[:min(len(log), 1500)]), "\r\n"...)); err != nil {
		t.Errorf("write noise to %s: %v", b.source, err)
	}
}

// serialNoise reads the real serial logs without their own header lines.
func serialNoise(t *testing.T) (logs [][]byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared(t, "data", "serial-logs"), "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no serial logs: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(bytes.NewReader(text))
		for {
			if b, err := in.Peek(1); err != nil || b[0] != '#' {
				break
			}
			if _, err := in.ReadString('\n'); err != nil {
				break
			}
		}
		var rest bytes.Buffer
		if _, err := in.WriteTo(&rest); err != nil {
			t.Fatal(err)
		}
		if rest.Len() > 0 {
			logs = append(logs, rest.Bytes())
		}
	}
	return logs
}

// documentRows decodes a document and writes its rows as CSV; the signature
// must hold.
func documentRows(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := acquisition.Decode(raw, []byte(siteHMACKey))
	if err != nil {
		t.Fatalf("decode %s: %v", path, err)
	}
	if doc.Signature != acquisition.Valid {
		t.Errorf("%s: the signature is %s", path, doc.Signature)
	}
	rows := make([]string, doc.Rows)
	for i := range rows {
		words := make([]string, len(doc.Sensors))
		for j, v := range doc.Row(i) {
			words[j] = shortest(v)
		}
		rows[i] = strings.Join(words, ",")
	}
	return strings.Join(rows, "\n")
}

// shortest writes the number that was meant: a float32 by its own shortest
// decimal, anything else by that of a float64.
func shortest(v float64) string {
	if float64(float32(v)) == v {
		return strconv.FormatFloat(v, 'g', -1, 32)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
