package serial

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgespool/edgespool/sampler"
)

// The formats of devices that are asked, by Modbus.
const (
	FormatModbusRTU = "modbus-rtu"
	FormatModbusTCP = "modbus-tcp"
)

// ModbusConfig says how devices are asked (MODBUS Application Protocol 1.1b3).
type ModbusConfig struct {
	// Unit is the address of the device whose registers do not name one.
	Unit int `yaml:"unit"`
	// Timeout is how long an answer may take.
	Timeout time.Duration `yaml:"timeout"`
}

// The tables of a Modbus device by the function that reads them.
var tables = []string{1: "coil", 2: "discrete", 3: "holding", 4: "input"}

// A register is what one sensor reads of a Modbus device.
type register struct {
	unit    int
	table   int // the function code, 1 to 4
	address int
	count   int // registers or coils
	kind    string
	swapped bool          // the low register comes first
	every   time.Duration // 0: at each poll
}

// parseRegister reads TABLE ADDRESS [TYPE] [swapped] [unit N] [every TIME].
func parseRegister(text string, unit int) (r register, ok bool) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return r, false
	}
	address, err := strconv.ParseUint(words[1], 0, 16)
	r = register{unit: unit, table: slices.Index(tables, words[0]), address: int(address), count: 1, kind: "u16"}
	if r.table < 1 || err != nil {
		return r, false
	}
	if r.table < 3 {
		r.kind = "u8"
	}
	for words = words[2:]; len(words) > 0; words = words[1:] {
		switch word := words[0]; {
		case r.table >= 3 && slices.Contains([]string{"u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64"}, word):
			r.kind = word
			bits, _ := strconv.Atoi(word[1:])
			r.count = bits / 16
		case r.table >= 3 && word == "swapped":
			r.swapped = true
		case word == "unit" && len(words) > 1:
			words = words[1:]
			if r.unit, err = strconv.Atoi(words[0]); err != nil || r.unit < 0 || r.unit > 255 {
				return r, false
			}
		case word == "every" && len(words) > 1:
			words = words[1:]
			if r.every, err = time.ParseDuration(words[0]); err != nil || r.every <= 0 {
				return r, false
			}
		default:
			return r, false
		}
	}
	return r, r.address+r.count <= 1<<16
}

// polled tells whether devices are asked.
func (c *Config) polled() bool { return c.Format == FormatModbusRTU || c.Format == FormatModbusTCP }

// registers are what the sensors read, one for each.
func (c *Config) registers() (all []register) {
	for _, s := range c.Sensors {
		r, _ := parseRegister(s.Field, c.Modbus.Unit)
		all = append(all, r)
	}
	return all
}

// validateModbus looks at what only devices that are asked have.
func (c *Config) validateModbus(fault func(field, problem, remedy string)) {
	if !c.polled() {
		if c.Modbus != DefaultConfig().Modbus {
			fault("modbus", "only formats modbus-rtu and modbus-tcp ask devices", "leave modbus out, or write format: modbus-rtu")
		}
		return
	}
	if c.Format == FormatModbusTCP && c.Port != "" && !strings.HasPrefix(c.Port, "tcp://") {
		fault("port", "modbus-tcp needs a network address", "write tcp://HOST:502, or format: modbus-rtu")
	}
	if c.Modbus.Unit < 0 || c.Modbus.Unit > 255 {
		fault("modbus.unit", fmt.Sprintf("%d is no unit", c.Modbus.Unit), "write the device's address, 1 to 247; 0 or 255 is a device on TCP itself")
	}
	if c.Modbus.Timeout < 10*time.Millisecond || c.Modbus.Timeout > time.Minute {
		fault("modbus.timeout", c.Modbus.Timeout.String()+" is out of range", "write how long an answer may take, 10ms to 1m, such as 500ms")
	}
	if c.Frame != (sampler.FrameConfig{}) || len(c.SkipColumns) > 0 || c.LabelColumn != "" {
		fault("format", "Modbus has neither frames nor columns", "leave out frame, skip_columns and label_column")
	}
	if len(c.Sensors) == 0 {
		fault("sensors", "nothing says which registers to read", `write sensors such as {name: voltage, field: "input 0 f32"}`)
	}
	for i, s := range c.Sensors {
		if _, ok := parseRegister(s.Field, c.Modbus.Unit); !ok {
			fault(fmt.Sprintf("sensors[%d].field", i), fmt.Sprintf("%q is no register", s.Field),
				`write TABLE ADDRESS TYPE such as "holding 0x10 i32", with "swapped", "unit 2" or "every 10s" behind it if need be; tables are coil, discrete, holding and input, addresses count from 0, types are u16 i16 u32 i32 f32 u64 i64 f64`)
		}
	}
}

// readings is how the recorder sees the readings: as they arrive or, of
// devices that are asked, as pack puts them together.
func (c *Config) readings() sampler.ReadingConfig {
	r := c.ReadingConfig
	if !c.polled() {
		return r
	}
	if r.Frequency == 0 {
		r.Frequency = 1
	}
	var fields []string
	at := 0
	for _, reg := range c.registers() {
		if reg.kind == "" {
			reg.kind = "u8" // it is no register; validateModbus says so
		}
		fields = append(fields, fmt.Sprintf("%sbe@%d", reg.kind, at))
		at += reg.bytes()
	}
	r.Frame, r.SkipColumns, r.LabelColumn = sampler.FrameConfig{}, nil, ""
	return r.Pack(fields)
}

// bytes is how long the register's value is in a reading.
func (r *register) bytes() int {
	if r.table < 3 {
		return 1
	}
	return 2 * r.count
}
