package agent

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"

	boards "github.com/edgespool/edgespool/board-configs"
	"github.com/edgespool/edgespool/sampler/serial"
	"github.com/edgespool/edgespool/spool"
)

// Board is what is known of one board.
type Board = boards.Board

// Boards lists the boards that are known.
func Boards() ([]*Board, error) { return boards.All() }

// A BoardReport says which board a machine is, and what follows from that.
type BoardReport struct {
	Board    *Board          `json:"board"`
	Known    bool            `json:"known"` // false: the board is the generic one of this GOARCH
	Because  string          `json:"because"`
	Identity boards.Identity `json:"identity"`
	Ports    []BoardPort     `json:"ports"`
	// MemoryBytes is what this process may use, MemoryClass the class of the
	// spool's limits that follows.
	MemoryBytes int64         `json:"memory_bytes"`
	MemoryClass string        `json:"memory_class"`
	RTC         bool          `json:"rtc"` // the kernel has a clock that runs without it
	Warnings    []BoardAdvice `json:"warnings"`
}

// A BoardPort is a port of the board on this machine; Path and Device are
// empty if it is not there.
type BoardPort struct {
	*boards.Port
	Path    string `json:"path,omitempty"`
	Device  string `json:"device,omitempty"`
	Console bool   `json:"console_now"`
}

// BoardAdvice is something to mind, and what to do about it.
type BoardAdvice struct {
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// DescribeBoard looks at the machine below root: "/" for this one, or a copy
// of its /proc, /sys and /dev. It opens no port.
func DescribeBoard(root string) (*BoardReport, error) {
	m, err := findBoard(root)
	if err != nil {
		return nil, err
	}
	memory := allowedMemory(root)
	clocks, _ := filepath.Glob(filepath.Join(root, "sys/class/rtc/rtc*")) // the pattern is a good one
	r := &BoardReport{Board: m.board, Known: m.known, Because: m.because, Identity: m.identity, RTC: len(clocks) > 0,
		MemoryBytes: memory, MemoryClass: spool.Class(memory), Ports: []BoardPort{}, Warnings: []BoardAdvice{}}
	warn := func(_, problem, remedy string) { r.Warnings = append(r.Warnings, BoardAdvice{problem, remedy}) }
	for i := range m.places {
		p := &m.places[i]
		console := p.Device != "" && m.isConsole(p.Device, p)
		r.Ports = append(r.Ports, BoardPort{p.Port, p.Path, p.Device, console})
		if console {
			m.warnOfUse(p.Device, p, warn)
		}
	}
	classes := []string{"small", "medium", "large"}
	if slices.Index(classes, r.MemoryClass) < slices.Index(classes, m.board.Memory) {
		warn("", fmt.Sprintf("edgespool may use %d MiB, less than this board has: the limits of a %s board apply", memory>>20, r.MemoryClass),
			"raise the service's MemoryMax, or give the graphics less of the memory, if that is not meant so")
	}
	if root == "/" {
		c := spool.DefaultConfig()
		c.Warnings(warn)
	}
	return r, nil
}

// thisBoard is the machine below root: its board, where that one's ports are, and
// what the kernel uses as its console.
type thisBoard struct {
	root     string
	board    *Board
	known    bool
	because  string
	identity boards.Identity
	places   []boards.Place
	consoles []string
	told     bool // the kernel says what its consoles are
}

func findBoard(root string) (*thisBoard, error) {
	m := &thisBoard{root: root, identity: boards.Identify(root)}
	var err error
	if m.board, m.because, m.known, err = boards.Detect(m.identity, runtime.GOARCH); err != nil {
		return nil, err
	}
	m.places = m.board.Places(root)
	m.consoles, m.told = boards.Consoles(root)
	return m, nil
}

// place is the board's port that a device is, nil if it is none of them.
func (m *thisBoard) place(device string) *boards.Place {
	i := slices.IndexFunc(m.places, func(p boards.Place) bool { return p.Device == device })
	if i < 0 {
		return nil
	}
	return &m.places[i]
}

// isConsole goes by what the kernel says, and by the board's file where it is
// silent. p is nil for a device that is no port of the board.
func (m *thisBoard) isConsole(device string, p *boards.Place) bool {
	if m.told {
		return slices.Contains(m.consoles, device)
	}
	return p != nil && p.Port.Console
}

// warnOfUse says who else has a port.
func (m *thisBoard) warnOfUse(device string, p *boards.Place, warn func(field, problem, remedy string)) {
	free := ""
	if p != nil {
		free = p.Port.Free
	}
	switch name := filepath.Base(device); {
	case m.isConsole(device, p):
		if free == "" {
			free = "remove console=" + name + " from the kernel's command line and stop serial-getty@" + name
		}
		warn("port", name+" is the console on this board ("+m.board.Title+"): the kernel writes to it and a login may read from it", free)
	case p != nil && p.Port.UsedBy != "":
		warn("port", fmt.Sprintf("%s (%s) is in use by %s as this board is delivered", name, p.Port.Label, p.Port.UsedBy), "if it still is: "+free)
	}
}

// warnOfPort says what is against a configured port on this board.
func (m *thisBoard) warnOfPort(c *serial.Config, warn func(field, problem, remedy string)) {
	if !filepath.IsAbs(c.Port) {
		return // usb: and tcp: are no ports of the board
	}
	device := boards.DeviceOf(m.root, c.Port)
	if device == "" {
		return
	}
	p := m.place(device)
	m.warnOfUse(device, p, warn)
	if p != nil && p.Port.MaxBaud > 0 && c.Baud > p.Port.MaxBaud {
		warn("baud", fmt.Sprintf("%d baud is more than the %d that are advised for %s of this board (%s)", c.Baud, p.Port.MaxBaud, p.Port.Label, m.board.Title),
			"lower the speed if the device can, or mind the count of rejected lines")
	}
}

// tellBoard puts into the log which board this is and what of the
// configuration is against it.
func tellBoard(c *Config, root string, log *slog.Logger) {
	m, err := findBoard(root)
	if err != nil {
		log.Warn("boards are not known, nothing is checked against this one", "error", err)
		return
	}
	log.Info("board", "board", m.board.Name, "because", m.because)
	for _, s := range c.Sources {
		if port, ok := s.Room.(*serial.Config); ok {
			m.warnOfPort(port, func(_, problem, remedy string) {
				log.Warn("serial port is against this board", "source", s.Name, "problem", problem, "remedy", remedy)
			})
		}
	}
	c.Spool.Warnings(func(_, problem, remedy string) {
		log.Warn("disk is against this spool", "spool", c.Spool.Path, "problem", problem, "remedy", remedy)
	})
}
