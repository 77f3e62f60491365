package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler/samplertest"
	"github.com/edgespool/edgespool/sampler/serial"
)

// speaking has a device send lines at its own speed, 50 a second: who
// listens at another one gets garbage.
func speaking(t *testing.T, baud uint32) *samplertest.Device {
	d := samplertest.NewDevice(t)
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			line := fmt.Sprintf("%.2f,%d\r\n", float64(i)/8, i%7)
			if set, err := unix.IoctlGetTermios(int(d.Far().Fd()), unix.TCGETS2); err == nil && set.Ospeed != baud {
				line = strings.Repeat("\xfe\x00\x86", 12)
			}
			_, _ = d.Near().WriteString(line) // nobody may be listening
		}
	})
	t.Cleanup(func() { close(end); done.Wait() })
	return d
}

// accepted holds the proposed source against the decoder of the configuration.
func accepted(t *testing.T, source string) *serial.Config {
	t.Helper()
	c, err := ParseConfig("proposal", []byte(source))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, source)
	}
	return c.Sources[0].Room.(*serial.Config)
}

func TestTryFindsSpeedColumnsAndRate(t *testing.T) {
	if testing.Short() {
		t.Skip("listens for some seconds; leave out -short to run it")
	}
	d := speaking(t, 9600)
	var told strings.Builder
	h, err := Try(t.Context(), Trial{Port: d.Port, For: 4 * time.Second, Name: "press", Tell: func(s string) { told.WriteString(s + "\n") }})
	if err != nil {
		t.Fatal(err)
	}
	c := accepted(t, h.Source)
	if c.Port != d.Port || c.Baud != 9600 || c.Format != "csv" || len(c.Sensors) != 2 || c.Frequency < 45 || c.Frequency > 55 {
		t.Errorf("got\n%s", h.Source)
	}
	if !strings.Contains(told.String(), "listening at 115200 baud\nlistening at 9600 baud\nthis is it") {
		t.Errorf("it told\n%s", &told)
	}
}

func TestTrySaysWhatToDo(t *testing.T) {
	silent, garbled := samplertest.NewDevice(t), speaking(t, 4800)
	quiet := func(string) {}
	for _, c := range []struct {
		name string
		Trial
		problem, remedy string
	}{
		{"silence", Trial{Port: silent.Port, For: 300 * time.Millisecond}, "nothing came from " + silent.Port + " within 300ms", "is its TX on the board's RX"},
		{"another speed", Trial{Port: garbled.Port, Baud: 19200, For: 500 * time.Millisecond}, "and they are no text", "leave out --baud"},
		{"prose", Trial{Port: "-", In: strings.NewReader(strings.Repeat("good morning\n", 9))}, `such as "good morning": has no number`, "separated by commas"},
		{"too little", Trial{Port: "-", In: strings.NewReader("1,2\n")}, "only 2 lines came", "--for 1m"},
		{"empty", Trial{Port: "-", In: strings.NewReader("")}, "nothing came from -", ""},
		{"no port", Trial{Port: "/dev/ttyNONE", For: time.Second}, "port is not there: /dev/ttyNONE", ""},
		{"no name of a port", Trial{Port: "ttyUSB0", For: time.Second}, "is not a full path", ""},
	} {
		c.Tell = quiet
		_, err := Try(t.Context(), c.Trial)
		var h interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), c.problem) || c.remedy != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), c.remedy)) {
			t.Errorf("%s: got %v, want %s and the remedy %s", c.name, err, c.problem, c.remedy)
		}
	}
}

// FuzzTry: whatever a device sends, the proposed YAML is accepted and names
// what the device named.
func FuzzTry(f *testing.F) {
	f.Add("\"a: b\",#c,${HOME}\n1,2,3\n1,2,3\n1,2,3\n")
	f.Add("{\"yes\":1,\"\\u2028\":2}\n{\"yes\":1,\"\\u2028\":2}\n{\"yes\":1,\"\\u2028\":2}\n{\"yes\":1,\"\\u2028\":2}\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Try(t.Context(), Trial{Port: "-", In: strings.NewReader(text), Name: "sensor"})
		if err != nil {
			return
		}
		c := accepted(t, h.Source)
		for i, s := range h.Sensors {
			if c.Sensors[i].Name != s.Name {
				t.Errorf("got %q, want %q", c.Sensors[i].Name, s.Name)
			}
		}
	})
}

func TestRecordingsOfReceiversGiveProposals(t *testing.T) {
	folder := shared(t)
	found := 0
	for _, name := range []string{"ait250", "garmin38", "gp-320fw-2019-03-28", "saab-r4", "skytraq", "ublox-f9p-hpnmea"} {
		path := folder + "/data/serial-logs/" + name + ".log"
		if _, err := os.Stat(path); err != nil {
			continue
		}
		found++
		if h, err := Try(t.Context(), Trial{Port: path, Name: "gnss"}); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c := accepted(t, h.Source); c.Format != "nmea" {
			t.Errorf("%s: got format %s", name, c.Format)
		}
	}
	if found == 0 {
		t.Skipf("needs %s/data/serial-logs; set EDGESPOOL_SHARED", folder)
	}
}
