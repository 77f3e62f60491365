package sysfs

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// write replaces what a file says, as a driver does, without a moment in which
// it says nothing.
func write(t testing.TB, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// reading reads fields at 50 Hz into samples of two readings.
func reading(fields ...string) Config {
	c := DefaultConfig()
	c.Frequency, c.Window, c.MinWindow, c.Gap = 50, 40*time.Millisecond, 40*time.Millisecond, time.Hour
	for i, f := range fields {
		c.Sensors = append(c.Sensors, sampler.Sensor{Name: fmt.Sprint("s", i), Field: f})
	}
	return c
}

func start(t *testing.T, c Config) (*samplertest.Sink, sampler.Setup) {
	t.Helper()
	setup, sink := samplertest.Setup("board", slog.New(slog.DiscardHandler)), samplertest.NewSink()
	c.Validate(func(field, problem, remedy string) { t.Fatalf("%s: %s", field, problem) })
	samplertest.Start(t, New(setup, c), setup, sink)
	return sink, setup
}

func row(t *testing.T, rec spool.Record) string {
	t.Helper()
	signed, err := acquisition.AppendEnvelope(nil, samplertest.Body(t, rec), acquisition.Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := acquisition.Decode(signed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(doc.Row(0))
}

func TestSuite(t *testing.T) {
	samplertest.Run(t, slog.New(slog.DiscardHandler), func(t *testing.T, s sampler.Setup) samplertest.Subject {
		path := filepath.Join(t.TempDir(), "temp1_input")
		write(t, path, "21500\n")
		return samplertest.Subject{Source: New(s, reading(path)), Make: func(t *testing.T) {}} // it makes them by itself
	})
}

// TestKindsOfFiles reads what IIO, hwmon and 1-Wire drivers show.
func TestKindsOfFiles(t *testing.T) {
	d := t.TempDir()
	write(t, d+"/iio:device0/in_accel_x_raw", "-512\n")
	write(t, d+"/hwmon/hwmon3/temp1_input", "46375\n")
	write(t, d+"/28-0316/w1_slave", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n")
	c := reading(d+"/iio:device0/in_accel_x_raw", d+"/hwmon/hwmon*/temp1_input", d+"/28-*/w1_slave t=")
	c.Sensors[0].Scale, c.Sensors[1].Scale, c.Sensors[2].Scale, c.Sensors[2].Offset = 0.0390625, 0.001, 0.001, 1
	sink, _ := start(t, c)
	if got := row(t, sink.Await(t, 1)[0]); got != "[-20 46.375 24.125]" {
		t.Errorf("got %s", got)
	}
}

// TestFileThatFails: it is named and counted, and taken again when it is back,
// under another name if need be.
func TestFileThatFails(t *testing.T) {
	d := t.TempDir()
	write(t, d+"/a", "1\n")
	write(t, d+"/hwmon0/b", "2\n")
	sink, setup := start(t, reading(d+"/a", d+"/hwmon*/b"))
	sink.Await(t, 1)
	for _, text := range []string{"", "none\n", "1,2\n"} {
		write(t, d+"/a", text)
		failed := setup.Progress.Snapshot().Detail["failed_reads"]
		s := samplertest.AwaitProgress(t, "a failure", setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["failed_reads"] > failed+2 })
		if !strings.Contains(s.LastBad, "sensor s0: read "+d+"/a: ") {
			t.Errorf("%q: got %q", text, s.LastBad)
		}
	}
	write(t, d+"/a", "1\n")
	samplertest.AwaitProgress(t, "readings", setup.Progress, func(s sampler.Snapshot) bool { return s.State == sampler.StateRunning && s.Error == "" })
	if err := os.Remove(d + "/a"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d+"/a", 0o755); err != nil { // the open file still says 1
		t.Fatal(err)
	}
	n := len(sink.Records())
	sink.Await(t, n+2)
}

func TestAbsentFileIsWaitedFor(t *testing.T) {
	d := t.TempDir()
	c := reading(d + "/hwmon*/temp")
	warned := ""
	c.Warnings(func(field, problem, remedy string) { warned += field })
	if warned != "sensors[0].field" {
		t.Errorf("warned of %q", warned)
	}
	sink, setup := start(t, c)
	samplertest.AwaitProgress(t, "the source to wait", setup.Progress, func(s sampler.Snapshot) bool {
		return s.State == sampler.StateWaiting && strings.Contains(s.Error, "sensor s0: open "+d)
	})
	write(t, d+"/hwmon7/temp.new", "5")
	if err := os.Rename(d+"/hwmon7/temp.new", d+"/hwmon7/temp"); err != nil {
		t.Fatal(err)
	}
	if got := row(t, sink.Await(t, 1)[0]); got != "[5]" {
		t.Errorf("got %s", got)
	}
}

func TestConfigFaults(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"":                   func(c *Config) {},
		"format":             func(c *Config) { c.Format = "json" },
		"sensors":            func(c *Config) { c.Sensors = nil },
		"sensors[0].field":   func(c *Config) { c.Sensors[0].Field = "temp1_input" },
		"sensors[0].field ":  func(c *Config) { c.Sensors[0].Field = "/sys/a t= x" },
		"sensors[0].field  ": func(c *Config) { c.Sensors[0].Field = "/sys/[" },
		"category":           func(c *Config) { c.Category = "good" },
	} {
		c := reading("/sys/a", "/sys/b t=")
		change(&c)
		var got []string
		c.Validate(func(field, problem, remedy string) { got = append(got, field) })
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("got faults in %q, want %q", got, want)
		}
	}
}

// FuzzNumber: whatever a file says, what is taken is one number for the line.
func FuzzNumber(f *testing.F) {
	f.Add([]byte("crc=57 YES\nt=23125\n"), []byte("t="))
	f.Add([]byte(" -1.5e3\n"), []byte(""))
	f.Fuzz(func(t *testing.T, text, mark []byte) {
		n, err := (&file{mark: mark}).number(text)
		if err == nil && (len(n) == 0 || strings.ContainsAny(string(n), ", \n")) {
			t.Fatalf("got %q", n)
		}
	})
}
