package serial

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/samplertest"
)

const (
	floodPorts = 4
	floodBaud  = 921_600
)

// TestMain plays the devices of the flood in a process of their own, so that
// the CPU time of this one is that of reading.
func TestMain(m *testing.M) {
	if length, err := time.ParseDuration(os.Getenv("EDGESPOOL_FLOOD_WRITER")); err == nil {
		if err := flood(length); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// flood writes lines of CSV to the ports, which are descriptors 3 and up, as
// fast as 10 bits a byte at floodBaud, and says how many lines that were.
func flood(length time.Duration) error {
	var wires [floodPorts]*os.File
	for i := range wires {
		wires[i] = os.NewFile(uintptr(3+i), "wire")
	}
	lines, sent := 0, 0
	var text []byte
	begin := time.Now()
	beat := time.NewTicker(5 * time.Millisecond)
	defer beat.Stop()
	for now := begin; now.Sub(begin) < length; now = <-beat.C {
		text = text[:0]
		for due := int(now.Sub(begin).Seconds() * floodBaud / 10); sent+len(text) < due; lines++ {
			text = fmt.Appendf(text, "%d,-0.32,9.81,%d.5\r\n", lines, lines%1000)
		}
		sent += len(text)
		for _, w := range wires {
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Printf("%d %d %v\n", lines, sent, time.Since(begin))
	return err
}

// TestFlood reads four ports at 921,600 baud and wants every line. It lasts
// 2 s, or as long as EDGESPOOL_FLOOD says.
func TestFlood(t *testing.T) {
	length := os.Getenv("EDGESPOOL_FLOOD")
	if length == "" {
		length = "2s"
	}
	writer := exec.CommandContext(t.Context(), os.Args[0])
	writer.Env = append(os.Environ(), "EDGESPOOL_FLOOD_WRITER="+length)
	writer.Stderr = os.Stderr
	var rigs [floodPorts]*rig
	for i := range rigs {
		d := samplertest.NewDevice(t)
		c := DefaultConfig()
		c.Port, c.Baud, c.Frequency, c.Window = d.Port, floodBaud, 4000, time.Second
		c.Sensors = []sampler.Sensor{{Name: "n"}, {Name: "accX"}, {Name: "accY"}, {Name: "accZ"}}
		rigs[i] = startRig(t, d, c, slog.New(slog.DiscardHandler))
		writer.ExtraFiles = append(writer.ExtraFiles, d.Near())
	}
	for _, r := range rigs {
		r.sessions(1)
	}
	before := cpuTime(t)
	out, err := writer.StdoutPipe()
	if err == nil {
		err = writer.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(out)
	if err := writer.Wait(); err != nil {
		t.Fatalf("writer: %v", err)
	}
	words := strings.Fields(string(said))
	lines, err := strconv.ParseUint(words[0], 10, 64)
	if err != nil || lines < 1000 {
		t.Fatalf("writer says %q", said)
	}
	for i, r := range rigs {
		s := r.progress(fmt.Sprintf("all %d lines of port %d", lines, i), func(s sampler.Snapshot) bool {
			return s.Readings+s.Rejected+s.Detail["lost_lines"] >= lines
		})
		if s.Readings != lines || s.Rejected != 0 || s.Detail["lost_lines"] != 0 {
			t.Errorf("port %d: %d lines sent, %+v", i, lines, s)
		}
	}
	used := cpuTime(t) - before
	took, _ := time.ParseDuration(words[2])
	t.Logf("%d ports, %d lines (%s bytes) each in %v: %.1f %% of a core, no line lost",
		floodPorts, lines, words[1], took.Round(time.Millisecond), 100*used.Seconds()/took.Seconds())
}

// cpuTime is what this process has used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
