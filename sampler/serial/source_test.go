package serial

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/spool"
)

// threeLines makes a sample of every three lines "n,-n", however slow the
// machine is that runs the test.
func threeLines(port string) Config {
	c := DefaultConfig()
	c.Port = port
	c.Sensors = []sampler.Sensor{{Name: "up"}, {Name: "down"}}
	c.Frequency, c.Window, c.MinWindow, c.Gap = 10, 300*time.Millisecond, 300*time.Millisecond, time.Hour
	return c
}

// A rig is a source that runs on a device.
type rig struct {
	t      *testing.T
	device *samplertest.Device
	sink   *samplertest.Sink
	setup  sampler.Setup
	stop   func()
	next   int
}

func newRig(t *testing.T, change ...func(c *Config)) *rig {
	t.Helper()
	d := samplertest.NewDevice(t)
	c := threeLines(d.Port)
	for _, f := range change {
		f(&c)
	}
	return startRig(t, d, c, slog.New(slog.DiscardHandler))
}

func startRig(t *testing.T, d *samplertest.Device, c Config, log *slog.Logger) *rig {
	t.Helper()
	r := &rig{t: t, device: d, sink: samplertest.NewSink(), setup: samplertest.Setup("board", log)}
	s, err := New(r.setup, c)
	if err != nil {
		t.Fatal(err)
	}
	s.check = 20 * time.Millisecond
	r.stop = samplertest.Start(t, s, r.setup, r.sink)
	return r
}

// sessions waits until the port was opened for the nth time.
func (r *rig) sessions(n uint64) {
	r.t.Helper()
	r.progress(fmt.Sprintf("session %d", n), func(s sampler.Snapshot) bool {
		return s.Detail["sessions"] >= n && s.State == sampler.StateRunning
	})
}

func (r *rig) progress(what string, good func(s sampler.Snapshot) bool) sampler.Snapshot {
	r.t.Helper()
	return samplertest.AwaitProgress(r.t, what, r.setup.Progress, good)
}

// waiting waits until the source says that it waits for that reason.
func (r *rig) waiting(reason string) {
	r.t.Helper()
	r.progress("the source to wait: "+reason, func(s sampler.Snapshot) bool {
		return s.State == sampler.StateWaiting && strings.Contains(s.Error, reason)
	})
}

func (r *rig) say(n int) {
	for range n {
		r.device.Say(fmt.Sprintf("%d,%d\r\n", r.next, -r.next))
		r.next++
	}
}

// rows shows which readings the records have: "0 1 2 | 3 4 5".
func rows(t *testing.T, records []spool.Record) string {
	t.Helper()
	var all []string
	for _, r := range records {
		signed, err := acquisition.AppendEnvelope(nil, samplertest.Body(t, r), acquisition.Envelope{})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := acquisition.Decode(signed, nil)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for i := range int(doc.Rows) {
			if doc.Row(i)[1] != -doc.Row(i)[0] {
				t.Errorf("a torn row: %v", doc.Row(i))
			}
			words = append(words, fmt.Sprint(doc.Row(i)[0]))
		}
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, " | ")
}

func TestSuite(t *testing.T) {
	samplertest.Run(t, slog.New(slog.DiscardHandler), func(t *testing.T, s sampler.Setup) samplertest.Subject {
		d := samplertest.NewDevice(t)
		source, err := New(s, threeLines(d.Port))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		return samplertest.Subject{
			Source: source,
			Ready: func(t *testing.T) {
				samplertest.AwaitProgress(t, "the port to be open", s.Progress, func(p sampler.Snapshot) bool { return p.Detail["sessions"] > 0 })
			},
			Make: func(t *testing.T) {
				for range 3 {
					n++
					d.Say(fmt.Sprintf("%d,%d\n", n, -n))
				}
			},
		}
	})
}

func TestUnplugAndReplug(t *testing.T) {
	var logs bytes.Buffer
	d := samplertest.NewDevice(t)
	r := startRig(t, d, threeLines(d.Port), slog.New(slog.NewTextHandler(&logs, nil)))
	r.sessions(1)
	r.say(5)
	r.sink.Await(t, 1)
	r.progress("all five lines", func(s sampler.Snapshot) bool { return s.Readings == 5 })
	for session := uint64(2); session <= 3; session++ {
		d.Unplug()
		r.waiting("not there")
		d.Plug()
		r.sessions(session)
		r.say(4)
		r.sink.Await(t, int(session))
		// A line that waits in the kernel goes with the device.
		r.progress("all four lines", func(s sampler.Snapshot) bool { return s.Readings == 5+4*(session-1) })
	}
	r.stop()
	if got := rows(t, r.sink.Records()); got != "0 1 2 | 5 6 7 | 9 10 11" {
		t.Errorf("got %s: readings of two sessions must not meet", got)
	}
	if s := r.setup.Progress.Snapshot(); s.Dropped != 4 || s.Rejected != 0 {
		t.Errorf("%d dropped, %d rejected; want the 4 that came to no window", s.Dropped, s.Rejected)
	}
	if n := strings.Count(logs.String(), "level="); n > 7+2 {
		t.Errorf("%d log lines for 3 sessions:\n%s", n, &logs)
	}
}

// TestAnotherDeviceUnderTheName: after a quick replug the old descriptor is
// silent for ever.
func TestAnotherDeviceUnderTheName(t *testing.T) {
	r := newRig(t)
	r.sessions(1)
	r.say(3)
	r.sink.Await(t, 1)
	r.device.Swap()
	r.sessions(2)
	r.say(3)
	if got := rows(t, r.sink.Await(t, 2)); got != "0 1 2 | 3 4 5" {
		t.Errorf("got %s", got)
	}
}

func TestDeviceThatComesLate(t *testing.T) {
	d := samplertest.NewDevice(t)
	d.Unplug()
	r := startRig(t, d, threeLines(d.Port), slog.New(slog.DiscardHandler))
	r.waiting(d.Port + "; plug the device in")
	d.Plug()
	r.sessions(1)
	r.say(3)
	r.sink.Await(t, 1)
}

func TestPortThatIsTaken(t *testing.T) {
	d := samplertest.NewDevice(t)
	if err := unix.Flock(int(d.Far().Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	r := startRig(t, d, threeLines(d.Port), slog.New(slog.DiscardHandler))
	r.waiting("in use by another program")
	if err := unix.Flock(int(d.Far().Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	r.sessions(1)
	r.say(3)
	r.sink.Await(t, 1)
}

// TestNoise: whatever comes between good lines is counted, and costs no more
// than the window it falls in.
func TestNoise(t *testing.T) {
	noise := map[string]struct {
		text     string
		rejected uint64
		detail   string
	}{
		"text":            {"Booting, please wait...\r\n", 1, ""},
		"NUL":             {"1,\x00-1\n", 1, ""},
		"line of NULs":    {strings.Repeat("\x00", 100) + "\n", 1, ""},
		"binary":          {"\xb5\x62\x01\x07\xff\xfe\n", 1, ""},
		"half a line":     {"7\n", 1, ""},
		"too many":        {"1,2,3\n", 1, ""},
		"device error":    {"ERR: sensor\n", 1, "device_errors"},
		"a very long one": {strings.Repeat("123,", 17<<10) + "\n", 1, "long_lines"},
		"blank lines":     {"\n\r\n  \t\n\r", 0, ""},
	}
	for what, n := range noise {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			r.sessions(1)
			r.say(4)
			r.device.Say(n.text)
			r.say(3)
			r.progress("the noise to be counted", func(s sampler.Snapshot) bool { return s.Rejected == n.rejected && s.Readings == 7 })
			want := "0 1 2 | 4 5 6"
			if n.rejected == 0 {
				want = "0 1 2 | 3 4 5"
			}
			if got := rows(t, r.sink.Await(t, 2)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			s := r.setup.Progress.Snapshot()
			if (s.LastBad == "") != (n.rejected == 0) || n.detail != "" && s.Detail[n.detail] != 1 {
				t.Errorf("last bad line %s, counters %v", s.LastBad, s.Detail)
			}
		})
	}
}

func TestLinesInPieces(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Coalesce = 0 })
	r.sessions(1)
	for _, b := range "0,0\r\n1,-1\r2,-2\n" {
		r.device.Say(string(b))
	}
	if got := rows(t, r.sink.Await(t, 1)); got != "0 1 2" {
		t.Errorf("got %s", got)
	}
}

// TestRealNoise sends what real receivers wrote between good lines.
func TestRealNoise(t *testing.T) {
	shared := os.Getenv("EDGESPOOL_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	logs, _ := filepath.Glob(filepath.Join(shared, "data", "serial-logs", "*.log"))
	if len(logs) == 0 {
		t.Skipf("no serial logs in %s: set EDGESPOOL_SHARED to the shared folder", shared)
	}
	r := newRig(t, func(c *Config) { c.Coalesce = 0 })
	r.sessions(1)
	for i, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r.device.Say(string(text[:min(len(text), 16<<10)]) + "\n")
		r.say(3)
		r.sink.Await(t, i+1)
	}
	r.stop()
	s := r.setup.Progress.Snapshot()
	if s.Samples != uint64(len(logs)) || s.Rejected < 1000 || s.Detail["lost_lines"] != 0 || s.State != sampler.StateRunning {
		t.Errorf("after %d logs: %+v", len(logs), s)
	}
}

func TestSettleIgnoresWhatComesFirst(t *testing.T) {
	d := samplertest.NewDevice(t)
	c := threeLines(d.Port)
	c.Settle = 300 * time.Millisecond
	setup := samplertest.Setup("board", slog.New(slog.DiscardHandler))
	in := sampler.NewInbox(sampler.InboxSize)
	p := open(t, d.Port)
	d.Say("1,-1\n2,-2\n")
	r := reader{link: p, clock: setup.Clock, in: in, settle: c.Settle, intake: sampler.NewIntake(c.ReadingConfig, in, setup.Progress),
		watch: newWatch(p, time.Hour, setup.Progress, 0)}
	stopped := make(chan error)
	go func() { stopped <- r.run(t.Context()) }()
	samplertest.Until(t, "a line after settling", func() bool {
		d.Say("3,-3\n")
		l, ok := in.Take()
		if ok && string(l.Text) != "3,-3" {
			t.Errorf("got %q, which came before the device had settled", l.Text)
		}
		return ok
	}, nil)
	d.Unplug()
	if err := <-stopped; err == nil {
		t.Error("the reader ends without an error after unplugging")
	}
	for name, n := range setup.Progress.Snapshot().Detail {
		t.Errorf("%s: %d on a pseudo-terminal", name, n)
	}
}

// TestSerialServer reads tcp:// as it reads a device.
func TestSerialServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := startRig(t, nil, threeLines("tcp://"+l.Addr().String()), slog.New(slog.DiscardHandler))
	for session := range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "1,-1\n2,-2\n3,-3\n4,-4\n")
		r.sink.Await(t, session+1)
		c.Close()
	}
	r.stop()
	if got := rows(t, r.sink.Records()); got != "1 2 3 | 1 2 3" {
		t.Errorf("got %s", got)
	}
}

// TestStopKeepsAPart: stopping ends the window, and keeps what is enough.
func TestStopKeepsAPart(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MinWindow = 100 * time.Millisecond })
	r.sessions(1)
	r.say(5)
	r.progress("all lines", func(s sampler.Snapshot) bool { return s.Readings == 5 })
	r.stop()
	if got := rows(t, r.sink.Records()); got != "0 1 2 | 3 4" {
		t.Errorf("got %s", got)
	}
}

// TestSpoolThatIsSlow: while the sink hangs, lines are read all the same: the
// device can send more than the kernel would keep for it.
func TestSpoolThatIsSlow(t *testing.T) {
	d := samplertest.NewDevice(t)
	c := threeLines(d.Port)
	s := &slow{Sink: samplertest.NewSink(), hanging: make(chan struct{}), release: make(chan struct{})}
	setup := samplertest.Setup("board", slog.New(slog.DiscardHandler))
	source, err := New(setup, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextWithCancel(t)
	var running sync.WaitGroup
	running.Go(func() {
		if err := source.Run(ctx, s); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	samplertest.AwaitProgress(t, "the port", setup.Progress, func(p sampler.Snapshot) bool { return p.Detail["sessions"] == 1 })
	const lines = 6000 // 60 kB
	for i := range lines {
		d.Say(fmt.Sprintf("%d,%d\n", i, -i)) // blocks while nobody reads
		if i == 2 {
			<-s.hanging
		}
	}
	close(s.release)
	records := s.Await(t, lines/3)
	cancel()
	running.Wait()
	next := 0
	for _, row := range strings.Fields(strings.ReplaceAll(rows(t, records), "|", "")) {
		if row != fmt.Sprint(next) {
			t.Fatalf("got row %s, want %d", row, next)
		}
		next++
	}
	if n := setup.Progress.Snapshot(); n.Detail["lost_lines"] != 0 || n.Readings != lines {
		t.Errorf("progress: %+v", n)
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		field  string
		change func(c *Config)
	}{
		{"", func(c *Config) {}},
		{"", func(c *Config) { c.Port = "usb:2341:8057" }},
		{"", func(c *Config) { c.Port = "usb:2341:8057:A B:1" }},
		{"", func(c *Config) { c.Port = "tcp://[::1]:4001" }},
		{"", func(c *Config) { c.Category, c.Baud = "split", 74880 }},
		{"port", func(c *Config) { c.Port = "" }},
		{"port", func(c *Config) { c.Port = "ttyUSB0" }},
		{"port", func(c *Config) { c.Port = "usb:2341" }},
		{"port", func(c *Config) { c.Port = "tcp://host" }},
		{"baud", func(c *Config) { c.Baud = 0 }},
		{"data_bits", func(c *Config) { c.DataBits = 9 }},
		{"stop_bits", func(c *Config) { c.StopBits = 3 }},
		{"parity", func(c *Config) { c.Parity = "N" }},
		{"flow", func(c *Config) { c.Flow = "xon" }},
		{"dtr", func(c *Config) { c.DTR = "yes" }},
		{"category", func(c *Config) { c.Category = "train" }},
		{"settle", func(c *Config) { c.Settle = time.Hour }},
		{"coalesce", func(c *Config) { c.Coalesce = -1 }},
		{"label", func(c *Config) { c.Label = "a\nb" }},
		{"format", func(c *Config) { c.Format = "xml" }},
	}
	for i, tt := range tests {
		c := threeLines("/dev/ttyACM0")
		tt.change(&c)
		var fields []string
		c.Validate(func(field, problem, remedy string) { fields = append(fields, field) })
		if got := strings.Join(fields, " "); got != tt.field {
			t.Errorf("case %d: faults at %q, want %q", i, got, tt.field)
		}
		if _, err := New(samplertest.Setup("x", slog.New(slog.DiscardHandler)), c); (err != nil) != (tt.field != "") {
			t.Errorf("case %d: New: %v", i, err)
		}
	}
}

func TestConfigWarnsOfWhatIsNotThere(t *testing.T) {
	warnings := func(port string) (all []string) {
		c := threeLines(port)
		c.Warnings(func(field, problem, remedy string) { all = append(all, field+": "+problem) })
		return all
	}
	missing := filepath.Join(t.TempDir(), "ttyUSB0")
	if got := warnings(missing); len(got) != 1 || !strings.HasPrefix(got[0], "port: port is not there: "+missing) {
		t.Errorf("a missing port: got %q", got)
	}
	if got := append(warnings(samplertest.NewDevice(t).Port), warnings("tcp://127.0.0.1:1")...); len(got) != 0 {
		t.Errorf("ports that are there: got %q", got)
	}
}

// TestFramesOverAPort: binary frames become samples, and a broken one ends the
// sample it falls into and is counted.
func TestFramesOverAPort(t *testing.T) {
	frame := func(n int8) string {
		b := []byte{0xa5, byte(n), byte(-n)}
		return string(append(b, b[0]+b[1]+b[2]))
	}
	r := newRig(t, func(c *Config) {
		c.Format, c.Frame = sampler.FormatFrames, sampler.FrameConfig{Sync: "a5", Size: 4, Check: "sum8"}
		c.Sensors[0].Field, c.Sensors[1].Field = "i8", "i8"
	})
	r.sessions(1)
	r.device.Say("garbage" + frame(1) + frame(2) + frame(3) + frame(4) + "\xa5\x01\x01\x01" + frame(5) + frame(6) + frame(7))
	if got := rows(t, r.sink.Await(t, 2)); got != "1 2 3 | 5 6 7" {
		t.Errorf("got %s", got)
	}
	r.progress("counters", func(s sampler.Snapshot) bool {
		return s.Detail["skipped_bytes"] == 11 && s.Detail["bad_checks"] == 1 && s.Rejected == 1 && s.Readings == 7 && s.Dropped == 1
	})
}
