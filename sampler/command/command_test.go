package command

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
)

// scripted runs a shell script; every three lines "n,-n" are a sample.
func scripted(script string, words ...string) Config {
	c := DefaultConfig()
	c.Command = append([]string{"/bin/sh", "-c", script, "script"}, words...)
	c.Sensors = []sampler.Sensor{{Name: "up"}, {Name: "down"}}
	c.Frequency, c.Window, c.MinWindow, c.Gap = 10, 300*time.Millisecond, 300*time.Millisecond, time.Hour
	return c
}

// book is a log that can be read while it is written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func begin(t *testing.T, c Config, log *slog.Logger) (*samplertest.Sink, sampler.Setup, func()) {
	t.Helper()
	setup, sink := samplertest.Setup("program", log), samplertest.NewSink()
	c.Validate(func(field, problem, remedy string) { t.Fatalf("%s: %s", field, problem) })
	s := New(setup, c)
	s.first = 10 * time.Millisecond
	return sink, setup, samplertest.Start(t, s, setup, sink)
}

func TestSuite(t *testing.T) {
	samplertest.Run(t, slog.New(slog.DiscardHandler), func(t *testing.T, s sampler.Setup) samplertest.Subject {
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := unix.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		// Held open by the test at both ends, so that nobody waits in opening it.
		near, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = near.Close() })
		n := 0
		return samplertest.Subject{
			Source: New(s, scripted(`exec cat "$1"`, pipe)),
			Ready: func(t *testing.T) {
				samplertest.AwaitProgress(t, "the program to start", s.Progress, func(s sampler.Snapshot) bool { return s.Detail["starts"] > 0 })
				fmt.Fprintln(near, "0,0") // the first line may be cut off
				samplertest.AwaitProgress(t, "the first line", s.Progress, func(s sampler.Snapshot) bool { return s.Readings > 0 })
				n = 1
			},
			Make: func(t *testing.T) {
				for range 3 {
					fmt.Fprintf(near, "%d,%d\n", n, -n)
					n++
				}
			},
		}
	})
}

// TestProgramThatEnds: it is started again, its exit code is shown, and its
// two runs are not joined.
func TestProgramThatEnds(t *testing.T) {
	sink, setup, stop := begin(t, scripted(`echo 1,-1; echo 2,-2; echo 3,-3; echo 4,-4; exit 7`), slog.New(slog.DiscardHandler))
	sink.Await(t, 3)
	samplertest.AwaitProgress(t, "the reason", setup.Progress, func(s sampler.Snapshot) bool {
		return s.State == sampler.StateWaiting && s.Error == "program has ended: exit status 7"
	})
	stop()
	if s := setup.Progress.Snapshot(); s.Detail["starts"] < 3 || s.Dropped == 0 || s.Rejected > 0 {
		t.Errorf("got %+v", s)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	c := scripted("")
	c.Command = []string{filepath.Join(t.TempDir(), "nobody")}
	_, setup, _ := begin(t, c, slog.New(slog.DiscardHandler))
	samplertest.AwaitProgress(t, "the reason", setup.Progress, func(s sampler.Snapshot) bool {
		return s.State == sampler.StateWaiting && strings.Contains(s.Error, "no such file")
	})
	warned := 0
	c.Warnings(func(field, problem, remedy string) { warned++ })
	if warned != 1 {
		t.Errorf("got %d warnings", warned)
	}
}

// TestStderrIsBounded: a program that complains all the time fills no log, and
// gets no key of ours to complain about.
func TestStderrIsBounded(t *testing.T) {
	t.Setenv("EDGESPOOL_TEST_KEY", "secret")
	var log book
	_, setup, stop := begin(t, scripted(`env >&2; i=0; while [ $i -lt 100 ]; do echo "complaint $i" >&2; i=$((i+1)); done; sleep 60`), slog.New(slog.NewTextHandler(&log, nil)))
	samplertest.AwaitProgress(t, "lines that are left out", setup.Progress, func(s sampler.Snapshot) bool { return s.Detail["unlogged_lines"] >= 90 })
	stop()
	if n := strings.Count(log.String(), "program says"); n != maxNotes {
		t.Errorf("%d lines in the log, want %d", n, maxNotes)
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("the program has got our environment")
	}
}

// TestNothingIsLeft: the program's own children end with it, even those that
// do not want to.
func TestNothingIsLeft(t *testing.T) {
	note := filepath.Join(t.TempDir(), "pid")
	_, _, stop := begin(t, scripted(`trap "" TERM; (trap "" TERM; while :; do sleep 1; done) & echo $! >"$1.new"; mv "$1.new" "$1"; wait`, note), slog.New(slog.DiscardHandler))
	var pid int
	samplertest.Until(t, "the child", func() bool {
		text, err := os.ReadFile(note)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	}, nil)
	stop()
	samplertest.Until(t, "the child to be gone", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z ")) // nobody may be there to bury it
	}, nil)
}

func TestConfigFaults(t *testing.T) {
	for want, change := range map[string]func(c *Config){
		"":         func(c *Config) {},
		"command":  func(c *Config) { c.Command = nil },
		"command ": func(c *Config) { c.Command = []string{"cat"} },
		"category": func(c *Config) { c.Category = "good" },
		"format":   func(c *Config) { c.Format = "modbus-rtu" },
		"window":   func(c *Config) { c.Window = 0 },
	} {
		c := scripted("true")
		change(&c)
		var got []string
		c.Validate(func(field, problem, remedy string) { got = append(got, field) })
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("got faults in %q, want %q", got, want)
		}
	}
}
