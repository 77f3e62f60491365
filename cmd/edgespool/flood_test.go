package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	floodPorts = 4
	floodBaud  = 921_600 // 10 bits on the wire make a byte
	floodRate  = 4000    // lines a second of about that length
)

// TestFloodThroughTheWholeHouse lets four boards write CSV as fast as 921,600
// baud carry it, and wants every line counted as a reading and every sample
// delivered. It lasts 5 s, or as long as EDGESPOOL_FLOOD says, and tells what
// share of a core the agent used, spool and delivery included.
func TestFloodThroughTheWholeHouse(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("EDGESPOOL_FLOOD"))
	if err != nil {
		length = 5 * time.Second
	}
	var wires [floodPorts]*os.File
	var sources strings.Builder
	for i := range wires {
		var tty *os.File
		wires[i], tty = openPTY(t)
		fmt.Fprintf(&sources, `
  - {name: board-%d, type: serial, port: %s, baud: %d, format: csv, frequency: %d, window: 1s, label: flood, category: training,
     sensors: [{name: n, units: N/A}, {name: accX, units: m/s2}, {name: accY, units: m/s2}, {name: accZ, units: m/s2}]}
`, i, tty.Name(), floodBaud, floodRate)
	}
	s := newSite(t, sources.String())
	s.run()
	s.until("every port is open", func() error {
		st, err := s.status()
		for _, src := range st.Sources {
			if src.State != "running" {
				return fmt.Errorf("%s is %s: %s", src.Name, src.State, src.Error)
			}
		}
		return err
	})
	before := s.agent.cpuTime(t)
	began := time.Now()
	var sent [floodPorts]uint64
	var boards sync.WaitGroup
	for i, w := range wires {
		boards.Go(func() { sent[i] = flood(t, w, length) })
	}
	boards.Wait()
	used, took := s.agent.cpuTime(t)-before, time.Since(began)

	s.until("every line is a reading", func() error {
		st, err := s.status()
		if err != nil {
			return err
		}
		for i, src := range st.Sources {
			if src.Readings != sent[i] || src.Rejected != 0 {
				return fmt.Errorf("%s: %d readings and %d rejected of %d lines", src.Name, src.Readings, src.Rejected, sent[i])
			}
		}
		return nil
	})
	samples := 0
	for _, lines := range sent {
		samples += int(lines+floodRate/2) / floodRate // the last window counts if it is at least half full
	}
	s.receivedCount(samples)
	t.Logf("%d ports, %d lines each in %v, %d samples delivered: no line lost, %.1f %% of a core",
		floodPorts, sent[0], took.Round(time.Millisecond), samples, 100*used.Seconds()/took.Seconds())
}

// flood writes lines at the pace of the wire and says how many.
func flood(t *testing.T, wire *os.File, length time.Duration) (lines uint64) {
	beat := time.NewTicker(5 * time.Millisecond)
	defer beat.Stop()
	begin, bytes := time.Now(), 0
	var text []byte
	for now := begin; now.Sub(begin) < length; now = <-beat.C {
		text = text[:0]
		for due := int(now.Sub(begin).Seconds() * floodBaud / 10); bytes+len(text) < due; lines++ {
			text = fmt.Appendf(text, "%d,-0.32,9.81,%d.5\r\n", lines, lines%1000)
		}
		bytes += len(text)
		if _, err := wire.Write(text); err != nil {
			t.Errorf("write to %s: %v", wire.Name(), err)
			return lines
		}
	}
	return lines
}

// cpuTime is what the process has used so far, user and system.
func (p *process) cpuTime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// The name in parentheses may hold blanks; utime and stime are the 12th
	// and 13th words after it, in clock ticks of 10 ms (proc(5)).
	words := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, w := range words[11:13] {
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
