package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
)

// TestRecordShowsWhatItLabels records from a sensor twice, for a person at a
// narrow terminal and into pipes, while the source labels its own before and
// after.
func TestRecordShowsWhatItLabels(t *testing.T) {
	s := newSite(t, fmt.Sprintf(`
  - {name: vibration, type: serial, port: %s, format: csv, frequency: 50, window: 500ms, label: idle,
     sensors: [{name: acceleration-x, units: m/s2}, {name: acceleration-y, units: m/s2}, {name: acceleration-z, units: m/s2}]}
`, sensorPort(t)))
	s.run()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	record := func(label string) *exec.Cmd {
		return exec.Command(path, "record", "vibration", "--label", label, "--for", "3s", "--url", s.api)
	}
	t.Run("terminal", func(t *testing.T) {
		cmd := record("shake")
		cmd.Env = append(os.Environ(), "TERM=xterm")
		screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 40})
		if err != nil {
			t.Fatal(err)
		}
		defer screen.Close()
		text, _ := io.ReadAll(screen) // ends with an error once the program has
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		inPlace := 0
		for _, line := range strings.Split(string(text), "\r\n") {
			for _, part := range strings.Split(line, "\r\x1b[K") {
				if strings.Contains(part, "acceleration") {
					inPlace++
					if n := utf8.RuneCountInString(part); n >= 40 {
						t.Errorf("%q takes %d columns of 40", part, n)
					}
				}
			}
		}
		if inPlace < 5 || !strings.Contains(string(text), "2s left  acceleration-x ") {
			t.Errorf("%d readings were shown in place: %q", inPlace, text)
		}
		wantRecorded(t, strings.ReplaceAll(string(text), "\r", "\n"), "shake", string(text))
	})
	t.Run("pipes", func(t *testing.T) {
		cmd := record("still")
		var out, side bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &side
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, side.String())
		}
		if strings.ContainsAny(out.String()+side.String(), "\r\x1b") {
			t.Errorf("control characters in a pipe: %q %q", out.String(), side.String())
		}
		if regexp.MustCompile(`(?m)^[^s]`).MatchString(out.String()) {
			t.Errorf("the output has more than samples: %q", out.String())
		}
		wantRecorded(t, out.String(), "still", side.String())
	})
	t.Run("interrupted", func(t *testing.T) {
		cmd := exec.Command(path, "record", "vibration", "--label", "knock", "--url", s.api)
		var out, side lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &side
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s.until("two samples are shown", func() error {
			if n := strings.Count(out.String(), "knock"); n < 2 {
				return fmt.Errorf("got %d", n)
			}
			return nil
		})
		// The sample under way is half done and worth keeping by then.
		<-time.After(350 * time.Millisecond)
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, side.String())
		}
		wantRecorded(t, out.String(), "knock", side.String())
		s.until("everything is delivered", s.drained)
		arrived := 0
		s.until("the manifest has what is in the folder", func() error { // the sensor goes on meanwhile
			all, err := received(s.path("received"))
			arrived = 0
			for _, a := range all {
				if a.label == "knock" {
					arrived++
				}
			}
			return err
		})
		if shown := strings.Count(out.String(), "  knock  "); shown != arrived {
			t.Errorf("%d samples were shown and counted, %d labelled so have arrived", shown, arrived)
		}
	})
}

// wantRecorded wants samples with one label only, and a sum that agrees.
func wantRecorded(t *testing.T, shown, label, sum string) {
	t.Helper()
	all := regexp.MustCompile(`(?m)^(?:\x1b\[K)?sample \d+  (\S+)  training`).FindAllStringSubmatch(shown, -1)
	for _, m := range all {
		if m[1] != label {
			t.Errorf("a sample labelled %s is shown, want only %s", m[1], label)
		}
	}
	m := regexp.MustCompile(`vibration: (\d+) samples labelled ` + label + `, (\d+) readings\r?\n`).FindStringSubmatch(sum)
	if m == nil {
		t.Fatalf("no sum in %q", sum)
	}
	samples, _ := strconv.Atoi(m[1])
	readings, _ := strconv.Atoi(m[2])
	if samples == 0 || samples != len(all) {
		t.Errorf("the sum says %d samples, %d were shown", samples, len(all))
	}
	if readings < 25*samples/2 {
		t.Errorf("the sum says %d readings in %d samples", readings, samples)
	}
}
