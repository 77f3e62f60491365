package serial

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/edgespool/edgespool/sampler"
)

// Config is a source of type serial, without the fields that all sources have
// (name, type, metadata).
type Config struct {
	// Port is a device such as /dev/serial/by-id/…, usb:VENDOR:PRODUCT with
	// an optional :SERIAL, or tcp://HOST:PORT.
	Port string `yaml:"port"`
	// Baud is the speed; any number that the hardware can do.
	Baud     int    `yaml:"baud"`
	DataBits int    `yaml:"data_bits"` // 5 to 8
	Parity   string `yaml:"parity"`    // none, odd, even, mark or space
	StopBits int    `yaml:"stop_bits"` // 1 or 2
	Flow     string `yaml:"flow"`      // none or rts-cts
	// DTR is what becomes of the DTR and RTS lines: on, off, or keep, which
	// also leaves them as they are when the port is closed. Linux raises them
	// on opening in any case, which resets many boards.
	DTR string `yaml:"dtr"`
	// Settle is how long to ignore what comes after opening.
	Settle time.Duration `yaml:"settle"`
	// Coalesce is how long to let bytes gather before the next read. It saves
	// wake-ups and blurs arrival times by as much.
	Coalesce time.Duration `yaml:"coalesce"`
	// Modbus says how devices are asked, with Format modbus-rtu or modbus-tcp.
	Modbus ModbusConfig `yaml:"modbus"`
	// Label is what the samples show; empty leaves them unlabelled.
	Label string `yaml:"label"`
	// Category is one of sampler.Categories, or split.
	Category string `yaml:"category"`

	sampler.ReadingConfig `yaml:",inline"`
}

// The words for Config.DTR and Config.Flow.
const (
	DTROn      = "on"
	DTROff     = "off"
	DTRKeep    = "keep"
	FlowNone   = "none"
	FlowRTSCTS = "rts-cts"
)

const (
	maxBaud   = 12_000_000
	maxSettle = time.Minute
)

// DefaultConfig holds the defaults of the contract; Port has none.
func DefaultConfig() Config {
	return Config{
		Baud: 115200, DataBits: 8, Parity: "none", StopBits: 1, Flow: FlowNone, DTR: DTROn,
		Coalesce: 10 * time.Millisecond, Category: "training",
		Modbus: ModbusConfig{Unit: 1, Timeout: 500 * time.Millisecond}, ReadingConfig: sampler.DefaultReadingConfig(),
	}
}

// Validate calls fault for everything that is wrong with the configuration.
func (c *Config) Validate(fault func(field, problem, remedy string)) {
	c.validatePort(fault)
	if c.Baud < 1 || c.Baud > maxBaud {
		fault("baud", fmt.Sprintf("%d is not a speed", c.Baud), "write what the device sends at, such as 115200")
	}
	if c.DataBits < 5 || c.DataBits > 8 {
		fault("data_bits", fmt.Sprintf("%d data bits are not possible", c.DataBits), "write a number from 5 to 8; nearly always 8")
	}
	if c.StopBits != 1 && c.StopBits != 2 {
		fault("stop_bits", fmt.Sprintf("%d stop bits are not possible", c.StopBits), "write 1 or 2; nearly always 1")
	}
	oneOf(fault, "parity", c.Parity, "none", "odd", "even", "mark", "space")
	oneOf(fault, "flow", c.Flow, FlowNone, FlowRTSCTS)
	oneOf(fault, "dtr", c.DTR, DTROn, DTROff, DTRKeep)
	if c.Settle < 0 || c.Settle > maxSettle {
		fault("settle", c.Settle.String()+" is out of range", "write a time from 0s to 1m, such as 2s")
	}
	if c.Coalesce < 0 || c.Coalesce > time.Second {
		fault("coalesce", c.Coalesce.String()+" is out of range", "write a time from 0s to 1s, such as 10ms")
	}
	sampler.ValidateChoice(c.Label, c.Category, fault)
	c.validateModbus(fault)
	r := c.readings()
	r.ValidateReadings(func(field, problem, remedy string) {
		if field == "format" {
			remedy += ", or modbus-rtu or modbus-tcp"
		}
		fault(field, problem, remedy)
	})
}

// Warnings calls warn for what is in the way at the moment on this machine. It
// opens nothing.
func (c *Config) Warnings(warn func(field, problem, remedy string)) {
	if strings.HasPrefix(c.Port, "tcp://") {
		return
	}
	path, err := locate(c.Port, "/")
	if err != nil {
		warn("port", err.Error(), "the agent starts all the same, and waits for it")
		return
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		warn("port", fmt.Sprintf("this user may not open %s: %v", path, err), "add the agent's user to the group that owns it (often dialout)")
	}
}

func oneOf(fault func(field, problem, remedy string), field, value string, words ...string) {
	if !slices.Contains(words, value) {
		fault(field, fmt.Sprintf("%q is not known here", value), "write one of "+strings.Join(words, ", "))
	}
}

var usbPort = regexp.MustCompile(`^usb:([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(.+))?$`)

func (c *Config) validatePort(fault func(field, problem, remedy string)) {
	const remedy = `write a path such as /dev/serial/by-id/…, usb:2341:8057 or tcp://host:port; "edgespool ports" lists what is there`
	switch address, tcp := strings.CutPrefix(c.Port, "tcp://"); {
	case c.Port == "":
		fault("port", "no port is given", remedy)
	case tcp:
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			fault("port", fmt.Sprintf("%q is not tcp://host:port", c.Port), remedy)
		}
	case strings.HasPrefix(c.Port, "usb:"):
		if !usbPort.MatchString(c.Port) {
			fault("port", fmt.Sprintf("%q is not usb:VENDOR:PRODUCT with four hexadecimal digits each", c.Port), remedy)
		}
	case !filepath.IsAbs(c.Port):
		fault("port", fmt.Sprintf("%q is not a full path", c.Port), remedy)
	}
}
