package serial

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/edgespool/edgespool/sampler"
	"github.com/edgespool/edgespool/sampler/acquisition"
	"github.com/edgespool/edgespool/sampler/samplertest"
)

// asking reads these registers at 20 Hz into samples of two readings.
func asking(format, port string, fields ...string) Config {
	c := DefaultConfig()
	c.Port, c.Format, c.Frequency, c.Gap = port, format, 20, time.Hour
	c.Window, c.MinWindow, c.Modbus.Timeout = 100*time.Millisecond, 100*time.Millisecond, 2*time.Second
	for i, f := range fields {
		c.Sensors = append(c.Sensors, sampler.Sensor{Name: fmt.Sprint("s", i), Field: f})
	}
	return c
}

// pymodbus starts devices made of another implementation.
func pymodbus(t *testing.T, port string) {
	t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import pymodbus, serial").Run(); err != nil {
		t.Skip("no pymodbus to ask: install it with apt-get install python3-pymodbus")
	}
	var said bytes.Buffer
	cmd := exec.Command(python, "testdata/modbus_device.py", port)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("device said: %s", said.Bytes())
		}
	})
}

// join connects two ports, each as the other's device.
func join(a, b *samplertest.Device) {
	go func() { _, _ = io.Copy(a.Near(), b.Near()) }()
	go func() { _, _ = io.Copy(b.Near(), a.Near()) }()
}

// freePort is a port on loopback that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestModbusOfAnotherImplementation reads every type and table of devices that
// know nothing of this program, over a serial port and over TCP.
func TestModbusOfAnotherImplementation(t *testing.T) {
	fields := []string{"holding 0", "holding 1 i16", "holding 2 u32", "holding 4 i32", "holding 6 i32 swapped", "holding 8 f64",
		"input 0 f32", "input 0x2 f32 swapped", "input 4 u16 every 1s", "coil 0", "coil 9", "discrete 1", "holding 5 unit 2"}
	want := []float64{1234, -2, 70000, -70000, -70001, -2.5, 230.5, -0.25, 7, 1, 1, 1, 99}
	bus := map[string]func(t *testing.T) string{
		FormatModbusRTU: func(t *testing.T) string {
			master, device := samplertest.NewDevice(t), samplertest.NewDevice(t)
			join(master, device)
			pymodbus(t, device.Port)
			return master.Port
		},
		FormatModbusTCP: func(t *testing.T) string {
			n := freePort(t)
			pymodbus(t, fmt.Sprint("tcp:", n))
			return fmt.Sprint("tcp://127.0.0.1:", n)
		},
	}
	for format, port := range bus {
		t.Run(format, func(t *testing.T) {
			r := startRig(t, nil, asking(format, port(t), fields...), slog.New(slog.DiscardHandler))
			rec := r.sink.Await(t, 2)[1]
			signed, err := acquisition.AppendEnvelope(nil, samplertest.Body(t, rec), acquisition.Envelope{})
			if err != nil {
				t.Fatal(err)
			}
			doc, err := acquisition.Decode(signed, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(doc.Rows) {
				if got := doc.Row(i); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got %v, want %v", got, want)
				}
			}
			r.stop()
			t.Logf("%+v", r.setup.Progress.Snapshot())
		})
	}
	t.Run("exceptions are named", func(t *testing.T) {
		r := startRig(t, nil, asking(FormatModbusTCP, bus[FormatModbusTCP](t), "holding 500"), slog.New(slog.DiscardHandler))
		r.progress("an exception", func(s sampler.Snapshot) bool {
			return s.Detail["exceptions"] > 0 && s.Rejected == s.Detail["exceptions"] &&
				s.LastBad == "unit 1, holding 500 to 500: device answers exception 2: address is not there"
		})
	})
}

// hearRTU reads a request of 8 bytes off the wire.
func hearRTU(t *testing.T, d *samplertest.Device) []byte {
	t.Helper()
	b := make([]byte, 8)
	if _, err := io.ReadFull(d.Near(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

func rtu(body string) string {
	b, _ := hex.DecodeString(body)
	crc := sampler.CRC16Modbus(b)
	return string(append(b, byte(crc), byte(crc>>8)))
}

// TestModbusOnABadLine: noise, echoes, wrong checks and silence are told apart,
// counted and survived.
func TestModbusOnABadLine(t *testing.T) {
	d := samplertest.NewDevice(t)
	c := asking(FormatModbusRTU, d.Port, "holding 0 i16", "holding 1 i16")
	c.Modbus.Timeout = 100 * time.Millisecond
	r := startRig(t, d, c, slog.New(slog.DiscardHandler))
	good := rtu("010304" + "0005" + "fffb") // 5 and -5
	answer := func(text string) {
		if asked := string(hearRTU(t, d)); asked != rtu("010300000002") {
			t.Fatalf("got %x for a request", asked)
		}
		d.Say(text)
	}
	r.sessions(1)
	answer("\x00\xff" + good)
	answer(rtu("010300000002") + good) // an adapter that hears itself
	r.sink.Await(t, 1)
	answer(good[:5])
	r.progress("half an answer", func(s sampler.Snapshot) bool { return s.Detail["bad_answers"] == 1 })
	answer(strings.Replace(good, "\x05", "\x07", 1))
	r.progress("a wrong check", func(s sampler.Snapshot) bool {
		return s.Detail["bad_answers"] == 2 && strings.HasPrefix(s.LastBad, "unit 1, holding 0 to 1: bytes came")
	})
	answer("")
	r.progress("silence", func(s sampler.Snapshot) bool {
		return s.Detail["timeouts"] == 1 && strings.HasSuffix(s.LastBad, "no answer within 100ms")
	})
	answer(rtu("0183" + "06"))
	r.progress("busy", func(s sampler.Snapshot) bool { return s.Detail["exceptions"] == 1 })
	answer(rtu("020304" + "0005" + "fffb")) // another unit
	answer(good)
	answer(good)
	if got := rows(t, r.sink.Await(t, 2)); got != "5 5 | 5 5" {
		t.Errorf("got %s", got)
	}
}

func TestModbusPlan(t *testing.T) {
	for _, tt := range []struct {
		fields string
		want   string
	}{
		{"holding 0; holding 1 f32; holding 3", "unit 1, holding 0 to 3"},
		{"holding 3; holding 0; holding 1 u32", "unit 1, holding 0 to 3"},
		{"holding 0; holding 2", "unit 1, holding 0 to 0; unit 1, holding 2 to 2"},
		{"holding 0; input 1; coil 1; discrete 2", "unit 1, coil 1 to 1; unit 1, discrete 2 to 2; unit 1, holding 0 to 0; unit 1, input 1 to 1"},
		{"holding 0 unit 2; holding 1", "unit 1, holding 1 to 1; unit 2, holding 0 to 0"},
		{"holding 0 every 1m; holding 1", "unit 1, holding 1 to 1; unit 1, holding 0 to 0"},
		{"holding 7; holding 7 i16", "unit 1, holding 7 to 7"},
		{"holding 65535", "unit 1, holding 65535 to 65535"},
	} {
		var all []register
		for _, f := range strings.Split(tt.fields, "; ") {
			r, ok := parseRegister(f, 1)
			if !ok {
				t.Fatalf("%q is no register", f)
			}
			all = append(all, r)
		}
		requests, _ := plan(all)
		var names []string
		for _, q := range requests {
			names = append(names, q.name())
		}
		if got := strings.Join(names, "; "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.fields, got, tt.want)
		}
	}
	var many []register
	for i := range 300 {
		r, _ := parseRegister(fmt.Sprintf("input %d", i), 1)
		many = append(many, r)
	}
	if requests, size := plan(many); len(requests) != 3 || size != 600 {
		t.Errorf("300 registers: got %d requests for %d bytes", len(requests), size)
	}
}

func TestModbusFaults(t *testing.T) {
	for _, tt := range []struct {
		want   string
		change func(c *Config)
	}{
		{"", func(c *Config) {}},
		{"", func(c *Config) { c.Port, c.Format = "tcp://plc:502", FormatModbusTCP }},
		{"port", func(c *Config) { c.Format = FormatModbusTCP }},
		{"modbus", func(c *Config) { c.Format, c.Sensors, c.Modbus.Unit = "csv", nil, 3 }},
		{"modbus.unit", func(c *Config) { c.Modbus.Unit = 256 }},
		{"modbus.timeout", func(c *Config) { c.Modbus.Timeout = time.Millisecond }},
		{"sensors", func(c *Config) { c.Sensors = nil }},
		{"sensors[0].field", func(c *Config) { c.Sensors[0].Field = "40001" }},
		{"sensors[0].field", func(c *Config) { c.Sensors[0].Field = "holding 65535 f32" }},
		{"sensors[0].field", func(c *Config) { c.Sensors[0].Field = "coil 3 f32" }},
		{"sensors[0].field", func(c *Config) { c.Sensors[0].Field = "holding 3 unit" }},
		{"format", func(c *Config) { c.LabelColumn = "3" }},
		{"window", func(c *Config) { c.Frequency, c.Window, c.MinWindow = 0.1, 2*time.Second, 0 }},
		{"format", func(c *Config) { c.Format, c.Modbus = "modbus", DefaultConfig().Modbus }},
	} {
		c := asking(FormatModbusRTU, "/dev/ttyRS485", "holding 0", "input 1 f32")
		tt.change(&c)
		var got []string
		c.Validate(func(field, problem, remedy string) {
			if len(got) == 0 || got[len(got)-1] != field {
				got = append(got, field)
			}
			if remedy == "" {
				t.Errorf("%s has no remedy", field)
			}
		})
		if len(got) > 0 && tt.want == "" || tt.want != "" && (len(got) == 0 || got[0] != tt.want) {
			t.Errorf("got faults in %q, want %q", got, tt.want)
		}
	}
}

// FuzzModbusAnswer: no bytes make the search panic, and values that it finds
// are as many as were asked for.
func FuzzModbusAnswer(f *testing.F) {
	f.Add([]byte(rtu("0103040005fffb")), "holding 0 f32", uint16(1))
	f.Add([]byte("\x00\x01\x00\x00\x00\x07\x01\x03\x04\x00\x05\xff\xfb"), "holding 0 f32", uint16(1))
	f.Add([]byte(rtu("010101ff")), "coil 3", uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, field string, number uint16) {
		r, ok := parseRegister(field, 1)
		if !ok {
			return
		}
		requests, size := plan([]register{r})
		q := requests[0]
		asked := append([]byte{1}, q.ask()...)
		for _, find := range []func() ([]byte, bool, error){
			func() ([]byte, bool, error) { return q.findRTU(b, asked) },
			func() ([]byte, bool, error) { return q.findTCP(b, number) },
		} {
			values, ok, err := find()
			if err != nil || !ok {
				if errors.Is(err, os.ErrNotExist) || values != nil {
					t.Fatalf("got %x, %v", values, err)
				}
				continue
			}
			q.keep(values)
			q.put(make([]byte, size))
		}
	})
}
